//! What answers to a rejection or a compensation: events, or a revocation (row K4).
//!
//! In: the notification, and the state of whoever is told. Out: events to append, or what a revocation asks for: a record in the
//! stream, a dead letter. Never: both.

use std::any::Any;

use angzarr_proto as proto;
use parking_lot::Mutex;
use proto::CommandPageExt as _;

use super::CascadeLink;
use super::notification::About;
use crate::command::{Along, Core, Decided, Decider, Decoded, Refusal, cover_on, note};
use crate::dead_letter::{self, DeadLetterId};
use crate::declare::{
    CommandContext, CompensateDescriptor, EventSink, Location, ReactionError, RejectedDescriptor, Revocation,
};
use crate::error::Result;
use crate::remote::{Instead, Question};
use crate::storage::{Extras, Settle};

/// What goes with the decision of a `#[rejected]` or `#[compensate]` method.
pub(super) struct AfterRevocation<'a> {
    /// The intent that is carried out; none for what is asked from outside.
    pub(super) settle: Option<Settle>,
    pub(super) letter_id: DeadLetterId,
    pub(super) about: &'a About,
    pub(super) reason: &'a str,
    pub(super) revocation: Mutex<Option<Revocation>>,
    /// The letter exists already (row E4).
    pub(super) has_letter: bool,
    /// The cascade that it belongs to.
    pub(super) link: Option<&'a CascadeLink>,
}

impl Along for AfterRevocation<'_> {
    fn extras(&self, core: &Core, decided: &Decided<'_>) -> Result<Extras, Refusal> {
        let mut extras = Extras { settles: self.settle.into_iter().collect(), ..Extras::default() };
        let revocation = self.revocation.lock();
        // Before the write, so that a crash in between calls again instead of not at all.
        if let Some(revocation) = revocation.as_ref().filter(|it| it.response.escalate) {
            core.escalate(decided.key, self.about, revocation);
        }
        if let Some(revocation) = &*revocation
            && revocation.response.abort
            && let Some(answer) = self.link.and_then(|link| link.aborted(&core.abortion(self.about, revocation)))
        {
            extras.answers.push(answer);
        }
        if let Some(revocation) = &*revocation
            && revocation.response.send_to_dead_letter_queue
            && !self.has_letter
        {
            let reason = format!("{}: {}", self.reason, revocation.reason());
            extras.dead_letters.push(dead_letter::undone_command(
                core,
                self.letter_id,
                self.about.book.clone(),
                reason,
                1,
                false,
            ));
        }
        Ok(extras)
    }
}

/// Who answers to a rejection or compensation: a method, or the aggregate in its own process.
pub(super) enum By<D: 'static> {
    Method(&'static D),
    Elsewhere(Question, Location),
}

impl<D> By<D> {
    fn question(&self) -> Option<&Question> {
        match self {
            Self::Method(_) => None,
            Self::Elsewhere(question, _) => Some(question),
        }
    }

    pub(super) fn decider(&self, of_method: impl FnOnce(&'static D) -> Decider) -> Decider {
        match self {
            Self::Method(method) => of_method(method),
            Self::Elsewhere(_, location) => Decider::elsewhere(*location),
        }
    }
}

/// What an aggregate in another process has answered, as a method would.
fn elsewhere(question: &Question, events: &mut EventSink) -> Result<Result<(), Revocation>, Refusal> {
    let answered = question.take()?;
    Ok(match answered.instead {
        None => {
            events.events.extend(answered.events);
            Ok(())
        }
        Some(Instead::Revocation(response)) => Err(Revocation { response, forward: false }),
        Some(Instead::Notification(_)) => {
            Err(Revocation { response: proto::RevocationResponse::default(), forward: true })
        }
    })
}

/// A rejected command on its way to the aggregate whose event it was sent for.
pub(super) struct RejectedWork<'a> {
    pub(super) by: By<RejectedDescriptor>,
    pub(super) about: &'a About,
    pub(super) after: &'a AfterRevocation<'a>,
}

impl Decoded for RejectedWork<'_> {
    fn decide(&self, state: &dyn Any, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal> {
        let answer = match &self.by {
            By::Method(method) => (method.run)(state, &self.about.rejected, context, events),
            By::Elsewhere(question, _) => elsewhere(question, events)?,
        };
        revoked(answer, self.after, events, |revocation| failed_compensation(self.about, context, revocation))
    }

    fn encoded(&self) -> prost_types::Any {
        self.about.book.pages.first().and_then(|page| page.command().cloned()).unwrap_or_default()
    }

    fn question(&self) -> Option<&Question> {
        self.by.question()
    }
}

/// A compensation on its way to the aggregate whose events it takes back.
pub(super) struct CompensateWork<'a> {
    pub(super) by: By<CompensateDescriptor>,
    pub(super) compensate: &'a proto::Compensate,
    pub(super) about: &'a About,
    pub(super) after: &'a AfterRevocation<'a>,
}

impl Decoded for CompensateWork<'_> {
    fn decide(&self, state: &dyn Any, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal> {
        let answer = match &self.by {
            By::Method(method) => (method.run)(state, self.compensate, context, events),
            By::Elsewhere(question, _) => elsewhere(question, events)?,
        };
        revoked(answer, self.after, events, |revocation| failed_compensation(self.about, context, revocation))
    }

    fn encoded(&self) -> prost_types::Any {
        proto::pack_as(COMPENSATE, self.compensate)
    }

    fn question(&self) -> Option<&Question> {
        self.by.question()
    }
}

pub(super) const COMPENSATE: &str = "angzarr.Compensate";

/// A revocation instead of events: what it wants to be in the stream is.
fn revoked(
    answer: Result<(), Revocation>,
    after: &AfterRevocation<'_>,
    events: &mut EventSink,
    system_event: impl FnOnce(&Revocation) -> proto::SagaCompensationFailed,
) -> Result<(), Refusal> {
    let mut kept = after.revocation.lock();
    *kept = None;
    if let Err(revocation) = answer {
        events.events.clear();
        if revocation.response.emit_system_revocation {
            events.events.push(note("angzarr.SagaCompensationFailed", &system_event(&revocation)));
        }
        let is_forwarded = revocation.forward;
        *kept = Some(revocation);
        if is_forwarded {
            // Nothing is stored here: the notification goes on in one step with its new recipient.
            return Err(Refusal::Failed(ReactionError::permanent("forwarded")));
        }
    }
    Ok(())
}

fn failed_compensation(
    about: &About,
    context: &CommandContext<'_>,
    revocation: &Revocation,
) -> proto::SagaCompensationFailed {
    use proto::TimestampExt as _;
    let now = crate::declare::nanos_of(context.now());
    proto::SagaCompensationFailed {
        triggering_aggregate: Some(cover_on(&about.provenance.source, &about.edition, &about.headers)),
        triggering_event_sequence: about.provenance.source_seq,
        saga_name: about.provenance.component.to_string(),
        rejection_reason: about.rejected.reason.clone(),
        compensation_failure_reason: revocation.reason().to_owned(),
        rejected_command: Some(about.book.clone()),
        occurred_at: Some(prost_types::Timestamp::from_unix_nanos(now)),
    }
}
