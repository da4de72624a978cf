//! What sagas and process managers send: commands and facts (rows G1, G2, G3, G6).
//!
//! In: a command or a fact, and the event that it is for. Out: it is done once, told as rejected to its source, or waits in
//! the dead letters. Never: the same work twice; every repeat has the same provenance, and its target knows it.

use bytes::Bytes;
use uuid::Uuid;

use super::cascade::DoneCommand;
use super::{CascadeFailure, CascadeLink, ComponentKind};
use crate::command::{
    Alone, Along, Because, CascadeErrorMode, Core, Decided, FactWork, Outcome, Provenance, ReactionCommand, Refusal,
    external_dedup,
};
use crate::dead_letter;
use crate::declare::{AnyCommand, AnyFact, Emission, ReactionError};
use crate::error::{Error, Result};
use crate::storage::{Answer, Extras, Intent, Settle, Write, WriteError};
use crate::stream::{Edition, Headers, Name, StreamKey};
use crate::telemetry::{self, AtCommand};

/// Who sends, and for which event.
pub(super) struct Sender<'a> {
    pub(super) kind: ComponentKind,
    pub(super) component: Name,
    pub(super) source: &'a StreamKey,
    pub(super) source_seq: u32,
    pub(super) edition: Edition,
    pub(super) headers: Headers,
    pub(super) link: Option<&'a CascadeLink>,
    /// An earlier run of the same may have been interrupted.
    pub(super) in_doubt: bool,
    /// The event that it is for, unless an intent stands for it: that goes with its branch.
    pub(super) because: Option<Because<'a>>,
    /// The intent that it carries out.
    pub(super) intent: Option<&'a Intent>,
}

impl Sender<'_> {
    pub(super) fn provenance(&self, command_index: u32) -> Provenance {
        Provenance {
            source: self.source.clone(),
            source_seq: self.source_seq,
            component: self.component.clone(),
            command_index,
        }
    }

    /// What is told of a command.
    pub(super) fn at<'e>(&'e self, command: &'e AnyCommand) -> AtCommand<'e> {
        AtCommand {
            component: &self.component,
            source: self.source,
            source_seq: self.source_seq,
            correlation_id: self.headers.correlation_id(),
            domain: command.domain(),
            root: command.root,
            command: command.type_name(),
        }
    }

    /// A failure as the cascade that this belongs to learns of it; `None` without one.
    pub(super) fn failure(&self, provenance: &Provenance, error: &Error) -> Option<CascadeFailure> {
        self.link.map(|_| CascadeFailure {
            component: self.component.to_string(),
            kind: self.kind,
            source: self.source.clone(),
            sequence: self.source_seq,
            command_index: Some(provenance.command_index),
            message: error.to_string(),
            code: error.code(),
            status: error.status(),
        })
    }

    /// What the process that waits for the cascade is told of a failure, in the commit that records it.
    pub(super) fn told_elsewhere(&self, failure: Option<&CascadeFailure>) -> Vec<Answer> {
        let answer = self.link.zip(failure).and_then(|(link, failure)| link.failed(failure));
        answer.into_iter().collect()
    }

    /// The cascade that this belongs to learns of a failure, if this process waits for it.
    pub(super) fn tell_cascade(&self, core: &Core, failure: Option<CascadeFailure>) {
        if let (Some(link), Some(failure)) = (self.link, failure) {
            link.fail(core, &failure);
        }
    }
}

/// An intent that is carried out by a write, and nothing else.
pub(super) struct Settling {
    settle: Option<Settle>,
    /// What stays of it until something else is done as well.
    rest: Option<Intent>,
}

impl Settling {
    pub(super) fn of(settle: Option<Settle>) -> Self {
        Self { settle, rest: None }
    }
}

impl Along for Settling {
    fn extras(&self, _: &Core, _: &Decided<'_>) -> Result<Extras, Refusal> {
        let (settles, intents) = (self.settle.into_iter().collect(), self.rest.iter().cloned().collect());
        Ok(Extras { settles, intents, ..Extras::default() })
    }
}

impl Core {
    /// Whether everything that is to be sent has a target that takes it: a reaction with one that has none fails as a whole,
    /// before any of its commands runs (row G6).
    pub(crate) fn check_emissions<'e>(
        &self,
        emissions: impl IntoIterator<Item = &'e Emission>,
    ) -> Result<(), ReactionError> {
        for emission in emissions {
            let problem = match emission {
                Emission::Command(command) => match self.registry.aggregates.get(command.domain()) {
                    Some(aggregate) => aggregate
                        .takes(command.type_name())
                        .then_some(())
                        .ok_or_else(|| format!("`{}` does not handle `{}`", command.domain(), command.type_name())),
                    None => Err(self.unknown_domain(command.domain()).to_string()),
                },
                Emission::Fact(fact) => match self.registry.aggregates.get(fact.domain()) {
                    Some(aggregate) => FactWork::find(aggregate, fact.type_name(), fact.payload.clone(), true)
                        .map(drop)
                        .map_err(|error| error.to_string()),
                    None => Err(self.unknown_domain(fact.domain()).to_string()),
                },
            };
            problem.map_err(ReactionError::permanent)?;
        }
        Ok(())
    }

    /// Does one of them. An error holds it back: it has to be tried again later. `settle` is the intent that it carries out.
    pub(super) async fn emit(
        &self,
        by: &Sender<'_>,
        index: u32,
        emission: &Emission,
        settle: Option<Settle>,
    ) -> Result<(), String> {
        match emission {
            Emission::Command(command) => self.emit_command(by, &by.provenance(index), command, settle).await,
            Emission::Fact(fact) => self.emit_fact(by, &by.provenance(index), fact, settle).await,
        }
    }

    /// Runs one command. A rejection is final; what can pass is retried, then dead-lettered (row G3).
    async fn emit_command(
        &self,
        by: &Sender<'_>,
        provenance: &Provenance,
        command: &AnyCommand,
        settle: Option<Settle>,
    ) -> Result<(), String> {
        // A command that was rejected before is not asked again: its source knows it as rejected (rows G2, K1).
        if by.in_doubt && self.was_rejected(by, provenance).await.map_err(|error| error.to_string())? {
            return Ok(());
        }
        // An intent stays until it is known that its command has not to be undone: whoever dies in between leaves that to others. As
        // another one, so that of two who carry it out one still finds it settled.
        let rest = by.intent.filter(|_| by.link.is_some_and(CascadeLink::may_be_undone));
        let rest = rest.map(|intent| Intent { due: intent.due.saturating_add(1), ..intent.clone() });
        let left = rest.as_ref().map(|rest| Settle { id: rest.id, due: rest.due });
        let settling = Settling { settle, rest };
        let reaction = ReactionCommand {
            command,
            provenance,
            edition: &by.edition,
            headers: by.headers.clone(),
            along: settle.is_some().then_some(&settling as &dyn Along),
            link: by.link,
            because: by.because,
        };
        let (error, tries) = match self.with_retries(|| self.handle_reaction(&reaction)).await? {
            Ok(outcome) => {
                telemetry::command_sent(command, &by.edition, &outcome);
                let target = StreamKey {
                    domain: command.domain.clone(),
                    edition: by.edition.name().clone(),
                    root: command.root,
                };
                self.may_have_to_be_undone(by, provenance, target.clone(), &outcome).await?;
                self.went_through(by, &target, outcome, settle).await?;
                return match left {
                    Some(left) => self.withdraw(left).await,
                    None => Ok(()),
                };
            }
            Err(failed) => failed,
        };
        if let Error::Rejected(rejection) = &error {
            return self.rejected(by, &reaction, rejection, &error, settle).await;
        }
        let failure = by.failure(provenance, &error);
        let answers = by.told_elsewhere(failure.as_ref());
        by.tell_cascade(self, failure);
        let pass = self.pass_for(by.because.as_ref()).await.map_err(|error| error.to_string())?;
        let Some(_pass) = pass else { return Ok(()) };
        let letter = dead_letter::reaction_command(self, by.kind, &reaction, &error, tries);
        if self.store_letter(letter, settle, Extras { answers, ..Extras::default() }).await? {
            telemetry::command_dead_lettered(by.at(command), error.code(), &error);
        }
        Ok(())
    }

    /// What follows a command or fact that went through: its intent is settled, and a cascade waits for what it caused.
    async fn went_through(
        &self,
        by: &Sender<'_>,
        target: &StreamKey,
        outcome: Outcome,
        settle: Option<Settle>,
    ) -> Result<(), String> {
        if outcome.duplicate
            && let Some(settle) = settle
        {
            self.withdraw(settle).await?;
        }
        if let Some(link) = by.link {
            link.adopt(self, target, outcome.waiting, &outcome.events);
        }
        Ok(())
    }

    /// A cascade remembers a command that went through.
    async fn may_have_to_be_undone(
        &self,
        by: &Sender<'_>,
        provenance: &Provenance,
        target: StreamKey,
        outcome: &Outcome,
    ) -> Result<(), String> {
        if let Some(link) = by.link
            && let (Some(first), Ok(count)) = (outcome.events.first(), u32::try_from(outcome.events.len()))
        {
            let done = DoneCommand {
                provenance: provenance.clone(),
                target,
                edition: by.edition.clone(),
                headers: by.headers.clone(),
                first: first.sequence,
                count,
            };
            let mut late = link.succeeded(self, &done);
            // Behind the commit of the command: either this sees that the cascade is undone, or whoever undoes it sees the command's
            // events.
            if late.is_none() && self.is_undone(link).await.map_err(|error| error.to_string())? {
                late = Some(done);
            }
            if let Some(late) = late {
                self.compensate(&[late]).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Records one fact (row G6).
    async fn emit_fact(
        &self,
        by: &Sender<'_>,
        provenance: &Provenance,
        fact: &AnyFact,
        settle: Option<Settle>,
    ) -> Result<(), String> {
        let settling = Settling::of(settle);
        let external_id = fact.external_id.clone().unwrap_or_else(|| provenance.external_id());
        let (error, tries) = match self.with_retries(|| self.record_fact(by, fact, &external_id, &settling)).await? {
            Ok(outcome) => {
                let target =
                    StreamKey { domain: fact.domain.clone(), edition: by.edition.name().clone(), root: fact.root };
                return self.went_through(by, &target, outcome, settle).await;
            }
            Err(failed) => failed,
        };
        let failure = by.failure(provenance, &error);
        let answers = by.told_elsewhere(failure.as_ref());
        by.tell_cascade(self, failure);
        let pass = self.pass_for(by.because.as_ref()).await.map_err(|error| error.to_string())?;
        let Some(_pass) = pass else { return Ok(()) };
        let letter = dead_letter::reaction_fact(
            self,
            by.kind,
            provenance,
            &by.edition,
            &by.headers,
            fact,
            &external_id,
            &error,
            tries,
        );
        self.store_letter(letter, settle, Extras { answers, ..Extras::default() }).await?;
        Ok(())
    }

    async fn record_fact(
        &self,
        by: &Sender<'_>,
        fact: &AnyFact,
        external_id: &str,
        settling: &Settling,
    ) -> Result<Outcome> {
        let aggregate =
            self.registry.aggregates.get(fact.domain()).ok_or_else(|| self.unknown_domain(fact.domain()))?;
        if let Some(id) = &fact.external_id {
            self.limits.check_id("external_id", id)?;
        }
        self.limits.check_payload(|| "fact".into(), fact.payload.len())?;
        let work = FactWork::find(aggregate, fact.type_name(), fact.payload.clone(), true)?;
        let key = self.key(aggregate, &by.edition, fact.root)?;
        self.decide_alone(Alone {
            aggregate,
            key,
            edition: &by.edition,
            headers: by.headers.clone(),
            decider: work.decider(),
            work: &work,
            dedup: Some(external_dedup(external_id)),
            at: None,
            along: Some(settling),
            link: by.link,
            for_open_process: false,
            because: by.because,
        })
        .await
    }

    /// Tries again what a later try can do, within the budget. The outer error holds the work back; the inner one is final,
    /// with the number of tries.
    async fn with_retries<T, F: Future<Output = Result<T>>>(
        &self,
        mut once: impl FnMut() -> F,
    ) -> Result<std::result::Result<T, (Error, u32)>, String> {
        let mut delays = self.reaction_delays();
        let mut tries = 1;
        loop {
            match once().await {
                Ok(done) => return Ok(Ok(done)),
                // Not an outcome of the work: it comes again after the restart.
                Err(Error::ShuttingDown) => return Err("the runtime is shutting down".to_owned()),
                Err(error) => match delays.next().filter(|_| error.is_retryable()) {
                    Some(delay) => tokio::time::sleep(delay).await,
                    // A full disk, or a component out of reach, says nothing about the command: it waits until all is well
                    // again.
                    None if matches!(error, Error::Storage(_) | Error::OutOfReach { outage: true, .. }) => {
                        return Err(error.to_string());
                    }
                    None => return Ok(Err((error, tries))),
                },
            }
            tries += 1;
        }
    }

    /// Stores a letter together with whatever belongs to it; `false` if an operator has discarded it before.
    pub(super) async fn store_letter(
        &self,
        mut letter: dead_letter::DeadLetter,
        settle: Option<Settle>,
        mut extras: Extras,
    ) -> Result<bool, String> {
        let (id, known) = dead_letter::in_use(self, letter.id).await.map_err(|error| error.to_string())?;
        letter.id = id;
        let is_news = !known.is_some_and(|it| matches!(it.resolution, Some(dead_letter::Resolution::Discarded { .. })));
        if is_news {
            extras.dead_letters.push(letter);
        }
        extras.settles.extend(settle);
        self.write_extras(extras).await?;
        Ok(is_news)
    }

    /// Takes an intent back whose work is done.
    pub(super) async fn withdraw(&self, settle: Settle) -> Result<(), String> {
        self.write_extras(Extras { settles: vec![settle], ..Extras::default() }).await.map(drop)
    }

    /// Stores what has no events; `false` where the intent that it settles was settled or moved by somebody else.
    pub(super) async fn write_extras(&self, extras: Extras) -> Result<bool, String> {
        match self.writer.commit(Write::extras(extras)).await {
            Ok(_) => Ok(true),
            Err(WriteError::Settled { .. }) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What a component is, by its name.
    pub(crate) fn kind_of(&self, component: &str) -> ComponentKind {
        if self.registry.process_managers.contains_key(component) {
            ComponentKind::ProcessManager
        } else if self.registry.projectors.contains_key(component) {
            ComponentKind::Projector
        } else {
            ComponentKind::Saga
        }
    }
}

/// A command that waits in the store, as [`Emission`].
pub(super) fn command_of(domain: &str, root: Uuid, type_name: &str, payload: Bytes, at: Option<i64>) -> AnyCommand {
    AnyCommand { domain: Name::new(domain), root, type_name: Name::new(type_name), payload, at }
}

/// Whether failures of this cascade go to the dead letters (row E4).
pub(super) fn dead_letters_failures(link: Option<&CascadeLink>) -> bool {
    link.is_some_and(|link| link.cascade.mode == CascadeErrorMode::DeadLetter)
}
