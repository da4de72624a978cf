//! Rejections reach their source, and what had succeeded is undone (rows K, E3, E5).
//!
//! In: a command of a saga or process manager that was rejected, or that a cascade takes back. Out: the source's `#[rejected]`,
//! the target's `#[compensate]`, each once; without one, a dead letter. Never: a notification in a stream (row K5).

use angzarr_proto as proto;
use parking_lot::Mutex;
use prost::Message as _;
use proto::CommandPageExt as _;
use proto::page_header::SequenceType;
use uuid::Uuid;

use super::cascade::DoneCommand;
use super::emission::{Sender, dead_letters_failures};
use super::intents::Claim;
use super::revocation::{AfterRevocation, By, COMPENSATE, CompensateWork, RejectedWork};
use super::{CascadeFailure, CascadeLink};
use crate::command::{Alone, Core, Decider, Outcome, Provenance, ReactionCommand, cover_on, edition_of};
use crate::dead_letter;
use crate::declare::{CompensateDescriptor, RejectedCommand, RejectedDescriptor, Rejection, Revocation};
use crate::error::{Code, Error, Result};
use crate::registry::{Aggregate, rejected_by};
use crate::storage::{Dedup, Extras, Intent, IntentKind, Settle, Write, WriteError};
use crate::stream::{Edition, Headers, Name, StreamKey, WaitMark};
use crate::telemetry::{self, AtCommand};

/// Namespace of intents: the same work has the same id.
pub(super) const INTENTS: Uuid = Uuid::from_u128(0x7d10_6e8a_40c3_5b7f_9a51_c2e6_83f4_1d09);

/// Kinds of dedup keys beside that of commands (row K5): a notification is never taken for the command that it speaks of.
const NOTIFIED: u8 = b'n';
pub(super) const COMPENSATED: u8 = b'c';

/// A compensation gave up and asks for a person (row K4).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Escalation {
    /// The stream whose method asked.
    pub stream: StreamKey,
    /// The saga or process manager whose command it is about.
    pub component: String,
    /// Full protobuf name of that command; `angzarr.Compensate` where it was to be undone.
    pub command_type: String,
    /// Why.
    pub reason: String,
}

/// Who is called for an [`Escalation`].
pub type Escalate = dyn Fn(&Escalation) + Send + Sync;

/// Why something was not delivered.
pub(super) enum Undelivered {
    /// Something else is in the way: it has to wait.
    Held(String),
    /// Its method failed.
    Failed { reason: String, permanent: bool },
}

/// What a method answered instead of events, if it did.
pub(super) type Delivery = Result<Option<Revocation>, Undelivered>;

impl Undelivered {
    pub(super) fn of(error: Error) -> Self {
        match error {
            Error::ShuttingDown
            | Error::Storage(_)
            | Error::Contention { .. }
            | Error::OutOfReach { outage: true, .. } => Self::Held(error.to_string()),
            Error::Reaction { message, permanent, .. } => Self::Failed { reason: message, permanent },
            Error::HandlerPanicked { .. } => Self::Failed { reason: error.to_string(), permanent: false },
            other => Self::Failed { permanent: !other.is_retryable(), reason: other.to_string() },
        }
    }
}

/// A notification, as it waits in the store: a `RejectionNotification`, and what it was forwarded for.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NotificationWork {
    #[prost(message, optional, tag = "1")]
    pub(super) rejected_command: Option<proto::CommandBook>,
    #[prost(string, tag = "2")]
    rejection_reason: String,
    #[prost(bytes = "vec", tag = "15")]
    forwarded: Vec<u8>,
    /// The mark of the wait that the command belonged to; empty for none.
    #[prost(bytes = "vec", tag = "16")]
    mark: Vec<u8>,
}

impl NotificationWork {
    /// The command with the mark of its wait, if it has one.
    pub(super) fn marked(self) -> Option<(proto::CommandBook, WaitMark)> {
        Some((self.rejected_command?, WaitMark::from_bytes(&self.mark)?))
    }

    pub(super) fn about(self) -> Option<About> {
        let Self { rejected_command, rejection_reason, forwarded, mark: _ } = self;
        let notification = proto::RejectionNotification { rejected_command, rejection_reason };
        Some(About { forwarded, ..About::of(notification)? })
    }
}

/// A forwarded notification is another one than that of the command which it is handed on for.
fn forwarded_as(parent: &Provenance, from: &[u8]) -> Provenance {
    let from = Uuid::new_v5(&INTENTS, from);
    Provenance { component: Name::from(format!("{} {from}", parent.component)), ..parent.clone() }
}

/// A notification or compensation, taken apart.
pub(super) struct About {
    pub(super) book: proto::CommandBook,
    pub(super) provenance: Provenance,
    /// The key of what was forwarded to here; empty where nothing was.
    pub(super) forwarded: Vec<u8>,
    pub(super) rejected: RejectedCommand,
    pub(super) edition: Edition,
    pub(super) headers: Headers,
}

impl About {
    /// `None` where the work is not what this program writes.
    pub(super) fn of(notification: proto::RejectionNotification) -> Option<Self> {
        use proto::{CoverExt as _, PageHeaderExt as _};
        let book = notification.rejected_command?;
        let cover = book.cover.as_ref()?;
        let page = book.pages.first()?;
        let provenance = Provenance::from_proto(page.header.as_ref()?.provenance()?)?;
        let command = page.command()?;
        let rejected = RejectedCommand {
            domain: Name::new(&cover.domain),
            root: Uuid::from_bytes(cover.root_bytes()?),
            type_name: Name::new(proto::type_name_of(&command.type_url)),
            payload: command.value.clone().into(),
            reason: notification.rejection_reason,
            component: provenance.component.clone(),
            source_seq: provenance.source_seq,
        };
        let edition = edition_of(cover);
        let headers = Headers::new(cover.correlation_id.as_str(), cover.ext.clone())
            .with_divergences(edition.named_divergences());
        Some(Self { provenance, forwarded: Vec::new(), rejected, edition, headers, book })
    }

    /// What this notification is known by: the command that it speaks of, and for one that was forwarded that it was
    /// (row K5).
    pub(super) fn key(&self) -> Provenance {
        if self.forwarded.is_empty() {
            return self.provenance.clone();
        }
        forwarded_as(&self.provenance, &self.forwarded)
    }
}

impl Core {
    /// A rejection as somebody in another process gets it.
    pub(super) fn notification(&self, about: &About) -> proto::Notification {
        use proto::TimestampExt as _;
        let rejection = proto::RejectionNotification {
            rejected_command: Some(about.book.clone()),
            rejection_reason: about.rejected.reason.clone(),
        };
        proto::Notification {
            cover: Some(cover_on(&about.provenance.source, &about.edition, &about.headers)),
            payload: Some(proto::pack_as("angzarr.RejectionNotification", &rejection)),
            sent_at: Some(prost_types::Timestamp::from_unix_nanos(self.now())),
        }
    }

    /// Who answers to the rejection of a command that was sent for an event of this aggregate (row K2).
    pub(super) fn answers_to_rejection(&self, aggregate: &Aggregate, about: &About) -> Option<By<RejectedDescriptor>> {
        if let Some(remote) = &aggregate.remote {
            let question = remote.rejection(self.notification(about));
            return Some(By::Elsewhere(question, aggregate.descriptor.location));
        }
        rejected_by(&aggregate.rejected, &about.rejected.type_name, &about.rejected.domain).map(By::Method)
    }

    /// Whether this very command was rejected before: told to its source, on the way there, or in the dead letters.
    pub(super) async fn was_rejected(&self, by: &Sender<'_>, provenance: &Provenance) -> Result<bool> {
        let known = self.storage.find_duplicate(by.source, &provenance.dedup_as(NOTIFIED)).await?.is_some()
            || self.storage.intent(notification_id(provenance)).await?.is_some()
            || dead_letter::in_use(self, dead_letter::command_letter_id(provenance)).await?.1.is_some();
        Ok(known)
    }

    /// Records that a command was rejected, before that counts as handled, and tells its source (row K1).
    pub(super) async fn rejected(
        &self,
        by: &Sender<'_>,
        reaction: &ReactionCommand<'_>,
        rejection: &Rejection,
        error: &Error,
        settle: Option<Settle>,
    ) -> Result<(), String> {
        let mark = by.link.and_then(CascadeLink::mark);
        let notification = NotificationWork {
            rejected_command: Some(reaction.book()),
            rejection_reason: rejection.to_string(),
            forwarded: Vec::new(),
            mark: mark.map_or_else(Vec::new, |mark| mark.to_bytes().to_vec()),
        };
        let intent = Intent {
            id: notification_id(reaction.provenance),
            kind: IntentKind::Notification,
            stream: by.source.clone(),
            due: self.now(),
            attempts: 0,
            work: notification.encode_to_vec().into(),
        };
        let _claim = self.intents.claim(intent.id);
        let pass = self.pass_for(by.because.as_ref()).await.map_err(|error| error.to_string())?;
        let Some(pass) = pass else { return Ok(()) };
        let failure = by.failure(reaction.provenance, error);
        let answers = by.told_elsewhere(failure.as_ref());
        let mut extras = Extras { intents: vec![intent.clone()], answers, ..Extras::default() };
        if dead_letters_failures(by.link) {
            let letter = dead_letter::reaction_command(self, by.kind, reaction, error, 1);
            self.store_letter(letter, settle, extras).await?;
        } else {
            extras.settles.extend(settle);
            if !self.write_extras(extras).await? {
                return Ok(()); // somebody else has carried the command out meanwhile
            }
        }
        drop(pass);
        // Only now: a request that fails finds the rejection recorded.
        by.tell_cascade(self, failure);
        telemetry::command_rejected(by.at(reaction.command), error);
        // What cannot be delivered now is delivered later (row K5).
        self.carry_out(&intent, by.link).await;
        Ok(())
    }

    /// Delivers a notification to the source of the rejected command (rows K1, K2, K3). Done is what it answers instead of events.
    pub(super) async fn notify(&self, intent: &Intent, link: Option<&CascadeLink>) -> Delivery {
        let unreadable =
            || Undelivered::Failed { reason: "the notification cannot be read".to_owned(), permanent: true };
        let work = NotificationWork::decode(intent.work.clone()).map_err(|_| unreadable())?;
        let mark = WaitMark::from_bytes(&work.mark);
        let mut about = work.about().ok_or_else(unreadable)?;
        // Who delivers what another process has recorded finds its cascade by the mark.
        let found = if link.is_none() { mark.and_then(|mark| self.link_at(&mark)) } else { None };
        let link = link.or(found.as_ref());
        about.headers = about.headers.with_wait(link.and_then(CascadeLink::mark));
        let settle = Settle { id: intent.id, due: intent.due };
        let (component, source) = (about.provenance.component.as_str(), &about.provenance.source);
        if let Some(process) = self.registry.process_managers.get(component)
            && let Some(trigger) = self.told_of_rejection(process, &about)
        {
            return self.notify_process(process, trigger, &about, settle, link).await.map(|()| None);
        }
        if !self.registry.process_managers.contains_key(component) {
            // A saga may listen to a process manager.
            if let Some(process) = self.registry.process_managers.get(source.domain.as_str())
                && let Some(trigger) = self.told_of_rejection(process, &about)
            {
                return self.notify_process(process, trigger, &about, settle, link).await.map(|()| None);
            }
            if let Some(aggregate) = self.registry.aggregates.get(source.domain.as_str())
                && let Some(by) = self.answers_to_rejection(aggregate, &about)
            {
                return self.notify_aggregate(aggregate, by, &about, settle, link).await;
            }
        }
        self.nobody_answers(&about, settle, "no `#[rejected]` method answers to it").await.map(|()| None)
    }

    /// The rejected command waits for a person (row K3).
    async fn nobody_answers(&self, about: &About, settle: Settle, why: &str) -> Result<(), Undelivered> {
        let reason = format!("{}; {why}", about.rejected.reason);
        let id = dead_letter::command_letter_id(&about.provenance);
        let letter = dead_letter::undone_command(self, id, about.book.clone(), reason.clone(), 1, false);
        self.store_letter(letter, Some(settle), Extras::default()).await.map_err(Undelivered::Held)?;
        let at = AtCommand {
            component: &about.provenance.component,
            source: &about.provenance.source,
            source_seq: about.provenance.source_seq,
            correlation_id: about.headers.correlation_id(),
            domain: &about.rejected.domain,
            root: about.rejected.root,
            command: &about.rejected.type_name,
        };
        telemetry::command_dead_lettered(at, "REJECTED", &reason);
        Ok(())
    }

    async fn notify_aggregate(
        &self,
        aggregate: &Aggregate,
        by: By<RejectedDescriptor>,
        about: &About,
        settle: Settle,
        link: Option<&CascadeLink>,
    ) -> Delivery {
        let (letter_id, _) = dead_letter::in_use(self, dead_letter::command_letter_id(&about.provenance))
            .await
            .map_err(|error| Undelivered::of(error.into()))?;
        let after = AfterRevocation {
            settle: Some(settle),
            letter_id,
            about,
            reason: &about.rejected.reason,
            revocation: Mutex::new(None),
            has_letter: dead_letters_failures(link),
            link,
        };
        let decider = by.decider(|method| Decider {
            method: method.method,
            location: method.location,
            merge: None,
            full_name: || "angzarr.RejectionNotification".to_owned(),
        });
        let work = RejectedWork { by, about, after: &after };
        let key = about.provenance.source.clone();
        let dedup = notified(about);
        let (edition, headers) = (&about.edition, about.headers.clone());
        let outcome = self
            .decide_alone(Alone {
                aggregate,
                key: key.clone(),
                edition,
                headers,
                decider,
                work: &work,
                dedup: Some(dedup),
                at: None,
                along: Some(&after),
                link,
                for_open_process: false,
                because: None,
            })
            .await;
        let revocation = after.revocation.lock().take();
        if outcome.is_err() && revocation.as_ref().is_some_and(|it| it.forward) {
            return self.forward(about, &key, settle).await.map(|()| revocation).map_err(Undelivered::Held);
        }
        let outcome = outcome.map_err(Undelivered::of)?;
        self.delivered(about, outcome, settle, revocation, link).await
    }

    /// What a method wants to be done beside its events.
    async fn delivered(
        &self,
        about: &About,
        outcome: Outcome,
        settle: Settle,
        revocation: Option<Revocation>,
        link: Option<&CascadeLink>,
    ) -> Delivery {
        if outcome.duplicate {
            return self.withdraw(settle).await.map(|()| None).map_err(Undelivered::Held);
        }
        if let Some(link) = link {
            link.adopt(self, &about.provenance.source, outcome.waiting, &outcome.events);
        }
        // Somebody else has delivered it meanwhile.
        let Some(revocation) = revocation.filter(|_| !outcome.moot) else { return Ok(None) };
        if revocation.response.abort
            && let Some(link) = link
        {
            link.abort(self, &self.abortion(about, &revocation));
        }
        Ok(Some(revocation))
    }

    pub(super) fn abortion(&self, about: &About, revocation: &Revocation) -> CascadeFailure {
        CascadeFailure {
            component: about.provenance.component.to_string(),
            kind: self.kind_of(&about.provenance.component),
            source: about.provenance.source.clone(),
            sequence: about.provenance.source_seq,
            command_index: Some(about.provenance.command_index),
            message: format!("aborted: {}", revocation.reason()),
            code: "ABORTED",
            status: Code::Aborted,
        }
    }

    /// The hook is the user's: its panic is none of the delivery's.
    pub(super) fn escalate(&self, stream: &StreamKey, about: &About, revocation: &Revocation) {
        let escalation = Escalation {
            stream: stream.clone(),
            component: about.provenance.component.to_string(),
            command_type: about.rejected.type_name.to_string(),
            reason: revocation.reason().to_owned(),
        };
        telemetry::escalated(&escalation);
        if let Some(hook) = &self.escalate {
            let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hook(&escalation)));
            if let Err(panic) = called {
                telemetry::escalation_failed(&escalation, crate::command::panic_text(panic.as_ref()));
            }
        }
    }

    /// Hands a notification on to whoever sent the command that the source's event came from (row K2).
    async fn forward(&self, about: &About, key: &StreamKey, settle: Settle) -> Result<(), String> {
        let keys = self.storage.dedup_keys(key).await.map_err(|error| error.to_string())?;
        let sequence = about.provenance.source_seq;
        let parent = keys.iter().find_map(|(dedup, written)| {
            let is_in = sequence >= written.first_sequence && sequence - written.first_sequence < written.count;
            let (kind, parent) = Provenance::of(dedup)?;
            (is_in && kind == b'a').then_some(parent)
        });
        let mut book = about.book.clone();
        let Some(parent) = parent else {
            let id = dead_letter::command_letter_id(&about.provenance);
            let reason = format!("{}; nobody sent what it came from", about.rejected.reason);
            let letter = dead_letter::undone_command(self, id, book, reason, 1, false);
            return self.store_letter(letter, Some(settle), Extras::default()).await.map(drop);
        };
        for page in &mut book.pages {
            let deferred = SequenceType::AngzarrDeferred(parent.to_proto());
            page.header.get_or_insert_default().sequence_type = Some(deferred);
        }
        let notification = NotificationWork {
            rejected_command: Some(book),
            rejection_reason: about.rejected.reason.clone(),
            forwarded: notified(about).0.to_vec(),
            mark: about.headers.wait().map_or_else(Vec::new, |mark| mark.to_bytes().to_vec()),
        };
        let intent = Intent {
            id: notification_id(&forwarded_as(&parent, &notified(about).0)),
            kind: IntentKind::Notification,
            stream: parent.source.clone(),
            due: self.now(),
            attempts: 0,
            work: notification.encode_to_vec().into(),
        };
        let extras = Extras { intents: vec![intent], settles: vec![settle], ..Extras::default() };
        self.write_extras(extras).await?;
        self.intents.wake();
        Ok(())
    }

    /// Records a compensation for each command, durably, and delivers them, the last command first (row E3).
    pub(super) async fn compensate(&self, done: &[DoneCommand]) -> Result<()> {
        let intents = self.record_compensations(done).await?;
        self.deliver_compensations(intents).await;
        Ok(())
    }

    /// From here on it is certain that they are compensated. Nobody else delivers them before this is dropped.
    pub(super) async fn record_compensations(&self, done: &[DoneCommand]) -> Result<Vec<(Intent, Claim)>> {
        let intents: Vec<Intent> = done.iter().rev().map(|done| self.compensation(done)).collect();
        if intents.is_empty() {
            return Ok(Vec::new());
        }
        let extras = Extras { intents: intents.clone(), ..Extras::default() };
        let claim = |intent: Intent| {
            let claim = self.intents.claim(intent.id);
            (intent, claim)
        };
        let claimed: Vec<_> = intents.into_iter().map(claim).collect();
        self.writer.commit(Write::extras(extras)).await.map_err(|error| match error {
            WriteError::Storage(error) => Error::from(error),
            other => Error::Component { component: "cascade".to_owned(), message: other.to_string() },
        })?;
        Ok(claimed)
    }

    /// Delivers what was recorded. Whatever fails, or is left when this is dropped, is delivered later.
    pub(super) async fn deliver_compensations(&self, recorded: Vec<(Intent, Claim)>) {
        for (intent, _claim) in &recorded {
            self.carry_out(intent, None).await;
        }
    }

    pub(super) fn compensation(&self, done: &DoneCommand) -> Intent {
        let compensate = proto::Compensate {
            target: Some(cover_on(&done.target, &done.edition, &done.headers)),
            sequences: (done.first..done.first + done.count).collect(),
            reason: "the cascade that the command belonged to failed".to_owned(),
        };
        let page = proto::CommandPage {
            header: Some(proto::PageHeader {
                sequence_type: Some(SequenceType::AngzarrDeferred(done.provenance.to_proto())),
                sync_mode: None,
            }),
            merge_strategy: 0,
            payload: Some(proto::command_page::Payload::Command(proto::pack_as(COMPENSATE, &compensate))),
        };
        let book =
            proto::CommandBook { cover: Some(cover_on(&done.target, &done.edition, &done.headers)), pages: vec![page] };
        Intent {
            id: Uuid::new_v5(&INTENTS, &done.provenance.dedup_as(COMPENSATED).0),
            kind: IntentKind::Compensation,
            stream: done.target.clone(),
            due: self.now(),
            attempts: 0,
            work: book.encode_to_vec().into(),
        }
    }

    /// Delivers a compensation to the aggregate that accepted the command (row E3).
    pub(super) async fn undo(&self, intent: &Intent) -> Delivery {
        let unreadable =
            || Undelivered::Failed { reason: "the compensation cannot be read".to_owned(), permanent: true };
        let book = proto::CommandBook::decode(intent.work.clone()).map_err(|_| unreadable())?;
        let command = book.pages.first().and_then(|page| page.command().cloned()).ok_or_else(unreadable)?;
        let compensate = proto::Compensate::decode(command.value.as_slice()).map_err(|_| unreadable())?;
        let notification =
            proto::RejectionNotification { rejected_command: Some(book), rejection_reason: compensate.reason.clone() };
        let about = About::of(notification).ok_or_else(unreadable)?;
        let settle = Settle { id: intent.id, due: intent.due };
        self.undo_events(&about, &compensate, settle).await
    }

    async fn undo_events(&self, about: &About, compensate: &proto::Compensate, settle: Settle) -> Delivery {
        let aggregate = self.registry.aggregates.get(about.rejected.domain.as_str());
        let answers = |aggregate| Some((aggregate, answers_to_compensation(aggregate, compensate)?));
        let Some((aggregate, by)) = aggregate.and_then(answers) else {
            let reason = format!("{}; `{}` has no `#[compensate]` method", compensate.reason, about.rejected.domain);
            let letter = dead_letter::undone_command(self, settle.id, about.book.clone(), reason, 1, false);
            let stored = self.store_letter(letter, Some(settle), Extras::default()).await;
            return stored.map(|_| None).map_err(Undelivered::Held);
        };
        let (letter_id, _) =
            dead_letter::in_use(self, settle.id).await.map_err(|error| Undelivered::of(error.into()))?;
        let after = AfterRevocation {
            settle: Some(settle),
            letter_id,
            about,
            reason: &compensate.reason,
            revocation: Mutex::new(None),
            has_letter: false,
            link: None,
        };
        let decider = by.decider(|method| Decider {
            method: method.method,
            location: method.location,
            merge: None,
            full_name: || COMPENSATE.to_owned(),
        });
        let work = CompensateWork { by, compensate, about, after: &after };
        let key = StreamKey {
            domain: about.rejected.domain.clone(),
            edition: about.edition.name().clone(),
            root: about.rejected.root,
        };
        let outcome = self
            .decide_alone(Alone {
                aggregate,
                key: key.clone(),
                edition: &about.edition,
                headers: about.headers.clone(),
                decider,
                work: &work,
                dedup: Some(about.provenance.dedup_as(COMPENSATED)),
                at: None,
                along: Some(&after),
                link: None,
                for_open_process: false,
                because: None,
            })
            .await
            .map_err(Undelivered::of)?;
        let revocation = after.revocation.lock().take();
        self.delivered(about, outcome, settle, revocation, None).await
    }
}

/// Who undoes events of this aggregate (row E3).
pub(super) fn answers_to_compensation(
    aggregate: &Aggregate,
    compensate: &proto::Compensate,
) -> Option<By<CompensateDescriptor>> {
    match &aggregate.remote {
        Some(remote) => Some(By::Elsewhere(remote.compensation(compensate), aggregate.descriptor.location)),
        None => aggregate.compensate.map(By::Method),
    }
}

/// A rejection in a branch, for its source's merged events on main (row B6).
pub(super) fn notification_on_main(intent: &Intent, edition: &str) -> Option<Intent> {
    let mut work = NotificationWork::decode(intent.work.clone()).ok()?;
    super::merged::book_on_main(work.rejected_command.as_mut()?, edition)?;
    work.mark.clear();
    let id = notification_id(&work.clone().about()?.key());
    Some(Intent { id, stream: intent.stream.on_main(), work: work.encode_to_vec().into(), ..intent.clone() })
}

/// The same for a compensation.
pub(super) fn compensation_on_main(intent: &Intent, edition: &str) -> Option<Intent> {
    let mut book = proto::CommandBook::decode(intent.work.clone()).ok()?;
    let provenance = super::merged::book_on_main(&mut book, edition)?;
    let id = Uuid::new_v5(&INTENTS, &provenance.dedup_as(COMPENSATED).0);
    Some(Intent { id, stream: intent.stream.on_main(), work: book.encode_to_vec().into(), ..intent.clone() })
}

pub(super) fn notification_id(provenance: &Provenance) -> Uuid {
    Uuid::new_v5(&INTENTS, &provenance.dedup_as(NOTIFIED).0)
}

/// The dedup key of a notification (row K5).
pub(super) fn notified(about: &About) -> Dedup {
    about.key().dedup_as(NOTIFIED)
}
