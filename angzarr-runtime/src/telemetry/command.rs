//! A command on its way: its span, and an event for each stage.
//!
//! In: what a stage knows. Out: the spans and events of the table in [`telemetry`](super). Never: a decision.

use tracing::field::Empty;
use tracing::{Level, Span};
use uuid::Uuid;

use super::{known, metrics};
use crate::command::{Outcome, Receipt, Submission};
use crate::declare::Location;
use crate::error::{Error, Result};
use crate::reaction::WaitResult;
use crate::registry::Aggregate;
use crate::storage::Written;
use crate::stream::limits::shorten;
use crate::stream::{Headers, StreamKey};

const TARGET: &str = "angzarr_runtime::command";

/// The span of a command, or of a book of several that begins with it.
pub(crate) fn command_span(
    aggregate: &Aggregate,
    key: &StreamKey,
    headers: &Headers,
    command: impl FnOnce() -> String,
    commands: usize,
) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "command",
        component = aggregate.descriptor.name,
        command = command(),
        commands = (commands > 1).then_some(commands),
        domain = key.domain.as_str(),
        root = %key.root,
        edition = known(key.edition.as_str()),
        correlation_id = known(headers.correlation_id()),
        sequence = Empty,
    )
}

/// The state was in the cache.
pub(crate) fn at_hand(key: &StreamKey, next_sequence: u32) {
    metrics::state_loaded(&key.domain, "cache");
    tracing::debug!(target: TARGET, stream = %key, source = "cache", events = 0, next_sequence, "state loaded");
}

/// The state was folded from what is stored.
pub(crate) fn folded(key: &StreamKey, snapshot: Option<u32>, events: usize, next_sequence: u32) {
    metrics::state_loaded(&key.domain, "store");
    tracing::debug!(target: TARGET, stream = %key, source = "store", snapshot, events, next_sequence, "state loaded");
}

/// The handlers have accepted.
pub(crate) fn decided(events: usize) {
    tracing::debug!(target: TARGET, events, "decided");
}

/// A handler, or the `#[apply]` of its event, panicked: the answer carries the reference, this the text.
pub(crate) fn panicked(submission: &Submission<'_>, reference: Uuid, handler: &str, location: Location, panic: &str) {
    tracing::error!(
        target: TARGET,
        %reference,
        handler,
        stream = %submission.key,
        correlation_id = known(submission.headers.correlation_id()),
        %location,
        panic,
        "a command handler panicked"
    );
}

/// Somebody else wrote first.
pub(crate) fn raced(key: &StreamKey) {
    metrics::command_retried("raced");
    tracing::debug!(target: TARGET, stream = %key, "raced by another writer");
}

/// The caller wants a mismatch to be tried again.
pub(crate) fn retried(expected: u32, actual: u32) {
    metrics::command_retried("sequence");
    tracing::debug!(target: TARGET, expected, actual, "retried with the fresh sequence");
}

/// The events are stored and announced.
pub(crate) fn stored(span: &Span, written: &Written) {
    if written.count > 0 {
        span.record("sequence", written.first_sequence);
    }
    let Written { first_sequence: sequence, count: events, last_position: position } = *written;
    tracing::debug!(target: TARGET, sequence, events, position, "stored");
}

/// The projectors that a SIMPLE command is about have had their time.
pub(crate) fn waited(result: &WaitResult) {
    tracing::debug!(
        target: TARGET, done = result.done.len(), missing = result.missing.len(), "projectors waited for"
    );
}

/// The answer to a command that had a stream; said inside of its span.
pub(crate) fn accepted_or_refused(answer: &Result<Receipt>) {
    tell_answer(
        answer.as_ref().map(|receipt| (receipt.events().len(), receipt.next_sequence(), receipt.already_processed())),
    );
}

/// The same for what the runtime itself brings to a state.
pub(crate) fn done_or_refused(answer: &Result<Outcome>) {
    tell_answer(answer.as_ref().map(|outcome| (outcome.events.len(), outcome.next_sequence, outcome.duplicate)));
}

fn tell_answer(answer: std::result::Result<(usize, u32, bool), &Error>) {
    match answer {
        Ok((events, next_sequence, repeat)) => {
            tracing::debug!(target: TARGET, events, next_sequence, repeat, "command accepted");
        }
        Err(error) => tracing::debug!(
            target: TARGET,
            code = error.code(),
            rejection = error.rejection().map(|rejection| rejection.code()),
            %error,
            "command refused"
        ),
    }
}

/// The answer to a command that never had a stream, with what is known of it.
pub(crate) fn refused_early(error: &Error, correlation_id: &str) {
    if !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let facts = error.facts();
    let fact = |wanted: &str| facts.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
    tracing::debug!(
        target: TARGET,
        code = error.code(),
        command = fact("command_type"),
        domain = fact("domain"),
        root = fact("root"),
        edition = fact("edition"),
        // As the client sent it.
        correlation_id = known(&shorten(correlation_id)),
        field = fact("field"),
        %error,
        "command refused"
    );
}
