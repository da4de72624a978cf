//! What goes to a transport and comes from it.
//!
//! In: what relay and feeds know. Out: the events of the table in [`telemetry`](super). Never: a decision.

use std::time::Duration;

use super::{known, metrics};
use crate::dead_letter::DeadLetter;

use crate::stream::LogEvent;
use crate::transport::{Taken, TransportError};

const TARGET: &str = "angzarr_runtime::transport";

/// The relay goes on behind its cursor.
pub(crate) fn relay_started(outbox: bool, position: u64) {
    tracing::debug!(target: TARGET, position, outbox, "relay started");
}

/// The transport has confirmed events.
pub(crate) fn published(events: usize, position: u64) {
    metrics::published(events);
    tracing::debug!(target: TARGET, events, position, "published");
}

/// Something is in the way of the relay.
pub(crate) fn relay_held_back(position: u64, reason: &str, pause: Duration) {
    tracing::warn!(target: TARGET, position, reason, ?pause, "relay held back; it will try again");
}

/// Something is in the way of dead letters.
pub(crate) fn letters_held_back(letters: usize, reason: &str, pause: Duration) {
    tracing::warn!(target: TARGET, letters, reason, ?pause, "dead letters held back; they will be tried again");
}

/// The transport does not take a dead letter.
pub(crate) fn letter_refused(letter: &DeadLetter, error: &TransportError) {
    let (id, domain) = (letter.id, letter.domain());
    tracing::warn!(target: TARGET, letter = %id, domain, code = error.code(), %error, "dead letter refused; it stays in the store");
}

/// The relay has ended.
pub(crate) fn relay_stopped(position: u64) {
    tracing::debug!(target: TARGET, position, "relay stopped");
}

/// A feed has looked at a message.
pub(crate) fn message_taken(feed: &str, message: &LogEvent, taken: Taken) {
    let (stream, sequence) = (&message.stream, message.event.sequence);
    match taken {
        Taken::InOrder | Taken::Unwanted | Taken::ByLog => {}
        Taken::HoleFilled(events) => tracing::debug!(
            target: TARGET,
            feed,
            %stream,
            sequence,
            events,
            correlation_id = known(message.event.headers.correlation_id()),
            "hole filled from the store"
        ),
        Taken::Double => tracing::debug!(target: TARGET, feed, %stream, sequence, "double dropped"),
        Taken::Foreign => tracing::warn!(target: TARGET, feed, %stream, sequence, "message of another store dropped"),
    }
}

/// A broker has brought what is no publication.
#[cfg(any(feature = "nats", feature = "amqp"))]
pub(crate) fn unreadable_message(prefix: &str, subject: &str, reason: &str) {
    tracing::warn!(target: TARGET, prefix, subject, reason, "message that makes no sense dropped");
}

/// A feed has read a portion of the log.
pub(crate) fn feed_read_log(feed: &str, events: usize, position: u64) {
    tracing::debug!(target: TARGET, feed, events, position, "feed read the log");
}

/// No messages come to a feed.
pub(crate) fn feed_without_messages(feed: &str, error: &TransportError) {
    let code = error.code();
    tracing::warn!(target: TARGET, feed, code, %error, "feed without messages; it goes on from the store");
}
