//! An event on its way to a saga or projector: its span, and what came of it.
//!
//! In: what a component knows. Out: the spans and events of the table in [`telemetry`](super). Never: a decision.

use tracing::Span;
use uuid::Uuid;

use super::{known, metrics};
use crate::command::Outcome;
use crate::dead_letter::DeadLetter;
use crate::declare::{AnyCommand, ReactionError};
use crate::error::Error;
use crate::reaction::{ComponentKind, Escalation, RebuildProgress};
use crate::storage::{Intent, StorageError};
use crate::stream::{Edition, StoredEvent, StreamKey};

const TARGET: &str = "angzarr_runtime::reaction";

/// Which component is at which event.
#[derive(Clone, Copy)]
pub(crate) struct AtEvent<'a> {
    pub(crate) component: &'static str,
    pub(crate) kind: ComponentKind,
    pub(crate) stream: &'a StreamKey,
    pub(crate) event: &'a StoredEvent,
}

/// Says what happened at an event, beside where that was.
macro_rules! tell {
    ($level:ident, $about:ident, $($what:tt)+) => {
        tracing::$level!(
            target: TARGET,
            component = $about.component,
            stream = %$about.stream,
            sequence = $about.event.sequence,
            correlation_id = $about.correlation_id(),
            $($what)+
        )
    };
}

impl<'a> AtEvent<'a> {
    fn correlation_id(&self) -> Option<&'a str> {
        known(self.event.headers.correlation_id())
    }
}

/// The span around an event that a component handles.
pub(crate) fn reaction_span(about: AtEvent<'_>) -> Span {
    let AtEvent { component, kind, stream, event } = about;
    let span = tracing::debug_span!(
        target: TARGET,
        "reaction",
        component,
        kind = kind.as_str(),
        event = event.type_name.as_str(),
        domain = stream.domain.as_str(),
        root = %stream.root,
        edition = known(stream.edition.as_str()),
        sequence = event.sequence,
        correlation_id = about.correlation_id(),
    );
    #[cfg(feature = "otel")]
    if let Some(trace) = event.headers.trace() {
        super::otel::continue_from(&span, trace);
    }
    span
}

/// A handler has returned.
pub(crate) fn handled(handler: &'static str, commands: Option<usize>) {
    tracing::debug!(target: TARGET, handler, commands, "event handled");
}

/// A read model holds everything up to a position.
pub(crate) fn committed(component: &'static str, position: u64) {
    tracing::debug!(target: TARGET, component, position, "read model committed");
}

/// A batch was rolled back.
pub(crate) fn fell_back(error: &ReactionError) {
    tracing::debug!(target: TARGET, %error, "batch falls back to single events");
}

/// A saga's command was accepted.
pub(crate) fn command_sent(command: &AnyCommand, edition: &Edition, outcome: &Outcome) {
    tracing::debug!(
        target: TARGET,
        to = format_args!("{}/{}", command.domain(), command.root),
        edition = known(edition.name()),
        command = command.type_name(),
        next_sequence = outcome.next_sequence,
        repeat = outcome.duplicate,
        "command sent"
    );
}

/// A handler failed.
pub(crate) fn failed(about: AtEvent<'_>, attempt: u32, error: &ReactionError) {
    metrics::reaction_failed(about.component, about.kind.as_str());
    tell!(
        warn,
        about,
        kind = about.kind.as_str(),
        attempt,
        %error,
        "event failed"
    );
}

/// A saga cannot handle an event.
pub(crate) fn event_dead_lettered(about: AtEvent<'_>, reason: &str) {
    tell!(warn, about, reason, "event dead-lettered");
}

/// Which command of a component, and for which event it was sent.
#[derive(Clone, Copy)]
pub(crate) struct AtCommand<'a> {
    pub(crate) component: &'a str,
    pub(crate) source: &'a StreamKey,
    pub(crate) source_seq: u32,
    pub(crate) correlation_id: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) root: Uuid,
    pub(crate) command: &'a str,
}

/// Says what became of a command.
macro_rules! tell_command {
    ($level:ident, $about:ident, $($what:tt)+) => {
        tracing::$level!(
            target: TARGET,
            component = $about.component,
            stream = %$about.source,
            sequence = $about.source_seq,
            correlation_id = known($about.correlation_id),
            to = format_args!("{}/{}", $about.domain, $about.root),
            command = $about.command,
            $($what)+
        )
    };
}

/// A command was refused for good, and waits for somebody to look at it.
pub(crate) fn command_dead_lettered(about: AtCommand<'_>, code: &str, error: &dyn std::fmt::Display) {
    tell_command!(warn, about, code, %error, "command dead-lettered");
}

/// A projector cannot handle an event.
pub(crate) fn parked(about: AtEvent<'_>, reason: &str) {
    tell!(error, about, reason, "stream parked: its events wait in the dead letters");
}

/// An event of the dead letters failed again: those behind it have to wait.
pub(crate) fn stays_parked(component: &'static str, letter: &DeadLetter, reason: &str) {
    let place = letter.event_place();
    tracing::warn!(
        target: TARGET,
        component,
        stream = place.as_ref().map(|(stream, _)| tracing::field::display(stream)),
        sequence = place.as_ref().map(|(_, sequence)| sequence),
        correlation_id = letter.letter.cover.as_ref().and_then(|cover| known(&cover.correlation_id)),
        letter = %letter.id,
        reason,
        "stream stays parked"
    );
}

/// An event waits behind one that its projector cannot handle.
pub(crate) fn parked_behind(about: AtEvent<'_>) {
    tell!(debug, about, "event parked behind an earlier one");
}

/// A target has said no; the source will be told.
pub(crate) fn command_rejected(about: AtCommand<'_>, error: &Error) {
    tell_command!(debug, about, %error, "command rejected");
}

/// A compensation gave up.
pub(crate) fn escalated(escalation: &Escalation) {
    let Escalation { stream, component, command_type, reason, .. } = escalation;
    tracing::error!(target: TARGET, %stream, component, command = command_type, reason, "compensation escalated");
}

/// The escalation hook panicked.
pub(crate) fn escalation_failed(escalation: &Escalation, panic: &str) {
    tracing::error!(target: TARGET, stream = %escalation.stream, panic, "the escalation hook panicked");
}

/// A process manager skips an event without a correlation id (row P2).
/// Once is a hint that somebody may have forgotten it; a million times it is how the program is meant.
pub(crate) fn no_correlation(about: AtEvent<'_>, is_first: bool) {
    if is_first {
        tell!(info, about, "event skipped: it has no correlation id, and a process is known by one");
    } else {
        tell!(debug, about, "event skipped: it has no correlation id, and a process is known by one");
    }
}

/// An event comes for a process that is over (row P7).
pub(crate) fn process_is_over(about: AtEvent<'_>) {
    tell!(debug, about, "event ignored: its process is over");
}

/// A timeout is due.
pub(crate) fn timeout_fires(intent: &Intent, name: &str) {
    tracing::debug!(target: TARGET, stream = %intent.stream, timeout = name, "timeout fires");
}

/// What was to be done failed.
pub(crate) fn intent_failed(intent: &Intent, attempt: u32, reason: &str) {
    tracing::warn!(
        target: TARGET, kind = intent.kind.as_str(), stream = %intent.stream, attempt, reason, "intent failed"
    );
}

/// What was to be done has to wait.
pub(crate) fn intent_held_back(intent: &Intent, reason: &str) {
    tracing::debug!(target: TARGET, kind = intent.kind.as_str(), stream = %intent.stream, reason, "intent held back");
}

/// Nothing can be carried out for the moment.
pub(crate) fn intents_held_back(reason: &str) {
    tracing::error!(target: TARGET, reason, "intents held back; they will be tried again");
}

/// This process works on a share of what is to be done (row R5).
pub(crate) fn share_taken(share: &str) {
    tracing::info!(target: TARGET, share, "share taken");
}

/// Others have to do more than this process: it has given a share to them.
pub(crate) fn share_given_back(share: &str) {
    tracing::info!(target: TARGET, share, "share given back");
}

/// It was not renewed in time, and another process has taken it over.
pub(crate) fn share_lost(share: &str) {
    tracing::warn!(target: TARGET, share, "share lost to another process");
}

/// The store does not answer: without leases this process stops working on its shares.
pub(crate) fn shares_in_doubt(error: &StorageError) {
    tracing::warn!(target: TARGET, %error, "shares cannot be renewed; it will be tried again");
}

/// A projector is built anew.
pub(crate) fn rebuild_started(component: &'static str) {
    tracing::info!(target: TARGET, component, "rebuild started");
}

/// The fresh state is in place.
pub(crate) fn rebuild_switched(component: &'static str, done: &RebuildProgress) {
    let RebuildProgress { position, events, parked_streams, .. } = done;
    tracing::info!(target: TARGET, component, position, events, parked_streams, "rebuild switched over");
}

/// The old state stays.
pub(crate) fn rebuild_failed(component: &'static str, error: &Error) {
    tracing::error!(target: TARGET, component, code = error.code(), %error, "rebuild failed");
}

/// What a rebuild that failed had made could not be thrown away.
pub(crate) fn fresh_left_behind(component: &'static str, error: &ReactionError) {
    tracing::warn!(target: TARGET, component, %error, "a fresh read model was left behind");
}

/// What other processes wait for was not told: they go by positions.
pub(crate) fn answers_lost(count: usize, error: &StorageError) {
    tracing::warn!(target: TARGET, count, %error, "answers for other processes were lost; those who wait go by positions");
}

/// What other processes have told cannot be read or removed for the moment.
pub(crate) fn answers_out_of_reach(error: &StorageError) {
    tracing::warn!(target: TARGET, %error, "answers of other processes are out of reach; those who wait go by positions");
}
