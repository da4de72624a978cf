//! An event on its way to a saga or projector: its span, and what came of it.
//!
//! In: what a component knows. Out: the spans and events of the table in [`telemetry`](super). Never: a decision.

use tracing::Span;

use super::known;
use crate::command::Receipt;
use crate::dead_letter::DeadLetter;
use crate::declare::{AnyCommand, ReactionError};
use crate::error::Error;
use crate::reaction::{ComponentKind, RebuildProgress};
use crate::stream::{StoredEvent, StreamKey};

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
    tracing::debug_span!(
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
    )
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
pub(crate) fn command_sent(command: &AnyCommand, receipt: &Receipt) {
    tracing::debug!(
        target: TARGET,
        to = %receipt.stream(),
        command = command.type_name(),
        next_sequence = receipt.next_sequence(),
        repeat = receipt.already_processed(),
        "command sent"
    );
}

/// A handler failed.
pub(crate) fn failed(about: AtEvent<'_>, attempt: u32, error: &ReactionError) {
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

/// A saga's command was refused for good.
pub(crate) fn command_dead_lettered(about: AtEvent<'_>, command: &AnyCommand, error: &Error) {
    tell!(
        warn,
        about,
        to = format_args!("{}/{}", command.domain(), command.root),
        command = command.type_name(),
        code = error.code(),
        %error,
        "command dead-lettered"
    );
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
