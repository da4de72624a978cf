//! What the runtime tells through [`tracing`]: spans around every command and every event, and one event for each stage.
//!
//! In: what a stage knows at its end. Out: spans and events under stable names. Never: a cost where nobody listens (a
//! disabled span or event is one comparison: nothing is allocated, nothing formatted), or a payload.
//!
//! A program listens with any `tracing` subscriber; `angzarr_runtime=debug` is the filter for everything below. The
//! names of targets, spans and fields and the texts of the events are stable. What is not known, or empty, is left out:
//! `edition` on the main timeline, `correlation_id` where none was given.
//!
//! # Commands: target `angzarr_runtime::command`
//! | span or event | level | fields | when |
//! |---|---|---|---|
//! | span `command` | DEBUG | `component` (the aggregate), `command` (full name; of a book with several the first), `commands` (how many, if several), `domain`, `root`, `edition`, `correlation_id`, `sequence` (of the first event, once it is stored) | from the moment the stream is known to the answer, once for each command or book, however often it is tried inside |
//! | `state loaded` | DEBUG | `stream`, `source` (`cache` or `store`), `snapshot` (its sequence, if one was used), `events` (that were folded), `next_sequence` | the state is at hand; for queries and previews as well, outside of the span |
//! | `decided` | DEBUG | `events` | the handlers have accepted, and the state has taken their events; for previews as well |
//! | `a command handler panicked` | ERROR | `reference` (the answer has it too), `handler`, `stream`, `correlation_id`, `location`, `panic` | row C5 |
//! | `raced by another writer` | DEBUG | `stream` | the try was lost (row C6): the stages before it come again |
//! | `retried with the fresh sequence` | DEBUG | `expected`, `actual` | a mismatch under `retry()` (row M7): the stages before it come again |
//! | `stored` | DEBUG | `sequence`, `events`, `position` | the events are stored and announced to the subscribers; a repeat stores nothing |
//! | `projectors waited for` | DEBUG | `done`, `missing` (numbers of events) | a SIMPLE command has its projections, or a CASCADE has ended |
//! | `command accepted` | DEBUG | `events`, `next_sequence`, `repeat` | the answer, once |
//! | `command refused` | DEBUG | `code`, `rejection` (the handler's code), `error` | the answer, once |
//! | `command refused`, outside of the span | DEBUG | `code`, `error`, and as far as they are known `command`, `domain`, `root`, `edition`, `correlation_id`, `field` | it was refused before it had a stream: unknown names, malformed requests, limits |
//!
//! # Events: target `angzarr_runtime::reaction`
//! | span or event | level | fields | when |
//! |---|---|---|---|
//! | span `reaction` | DEBUG | `component`, `kind` (`saga`, `process_manager` or `projector`), `event` (full name, as stored), `domain`, `root`, `edition`, `sequence`, `correlation_id` | around each event that is delivered to a component; again where it comes again. What is sent for it has its `command` spans inside |
//! | `event handled` | DEBUG | `handler`, `commands` (and facts, of a saga or process manager) | a handler has returned; with a read model, its rows are committed later |
//! | `read model committed` | DEBUG | `component`, `position` | rows and checkpoint are stored |
//! | `batch falls back to single events` | DEBUG | `error` | a handler failed in a batch, which was rolled back (row J2) |
//! | `command sent` | DEBUG | `to`, `edition`, `command`, `next_sequence`, `repeat` | a command of a saga or process manager was accepted |
//! | `command rejected` | DEBUG | `component`, `stream`, `sequence`, `correlation_id`, `to`, `command`, `error` | its target said no; the source will be told (row K1) |
//! | `event failed` | WARN | `component`, `kind`, `stream`, `sequence`, `correlation_id`, `attempt`, `error` | a handler failed |
//! | `event dead-lettered` | WARN | `component`, `stream`, `sequence`, `correlation_id`, `reason` | a saga or process manager cannot handle the event |
//! | `command dead-lettered` | WARN | `component`, `stream`, `sequence`, `correlation_id`, `to`, `command`, `code`, `error` | a command of a saga or process manager was refused for good (row G3), or nobody answers to its rejection (row K3) |
//! | `compensation escalated` | ERROR | `stream`, `component`, `command`, `reason` | a `#[rejected]` or `#[compensate]` asks for a person (row K4) |
//! | `the escalation hook panicked` | ERROR | `stream`, `panic` | the delivery goes on |
//! | `event skipped: it has no correlation id, and a process is known by one` | INFO for the first, then DEBUG | `component`, `stream`, `sequence` | row P2; `SubscriptionStatus::skipped` counts them |
//! | `event ignored: its process is over` | DEBUG | `component`, `stream`, `sequence`, `correlation_id` | row P7; `SubscriptionStatus::ignored` counts them |
//! | `timeout fires` | DEBUG | `stream`, `timeout` | row P5 |
//! | `intent failed` | WARN | `kind`, `stream`, `attempt`, `reason` | a notification, compensation or timeout failed; it is tried again, then dead-lettered (row K5) |
//! | `intent held back` | DEBUG | `kind`, `stream`, `reason` | something else is in the way; it is tried again |
//! | `intents held back; they will be tried again` | ERROR | `reason` | the store does not tell what is due |
//! | `stream parked: its events wait in the dead letters` | ERROR | `component`, `stream`, `sequence`, `correlation_id`, `reason` | a projector cannot handle the event |
//! | `stream stays parked` | WARN | `component`, `stream`, `sequence`, `correlation_id`, `letter`, `reason` | an event of the dead letters was tried again, and failed again |
//! | `event parked behind an earlier one` | DEBUG | `component`, `stream`, `sequence`, `correlation_id` | it waits with its stream |
//! | `share taken`, `share given back` | INFO | `share` | several processes divide the work (row R5) |
//! | `share lost to another process` | WARN | `share` | its lease was not renewed in time |
//! | `shares cannot be renewed; it will be tried again` | WARN | `error` | the store does not answer; work stops before the leases end |
//! | `answers for other processes were lost; those who wait go by positions` | WARN | `count`, `error` | what SIMPLE and CASCADE commands of other processes wait for could not be told (rows S3, S4) |
//! | `answers of other processes are out of reach; those who wait go by positions` | WARN | `error` | the same on the other side, or they could not be removed |
//! | `rebuild started` | INFO | `component` | a projector is built anew from the log (row J3) |
//! | `rebuild switched over` | INFO | `component`, `position`, `events`, `parked_streams` | the fresh state is in place |
//! | `rebuild failed` | ERROR | `component`, `code`, `error` | the old state stays |
//! | `a fresh read model was left behind` | WARN | `component`, `error` | it was to be thrown away after a rebuild that failed; the next one tries again |
//!
//! # Relay and feeds: target `angzarr_runtime::transport`
//! | event | level | fields | when |
//! |---|---|---|---|
//! | `relay started` | DEBUG | `position`, `outbox` (whether the cursor is stored) | it goes on behind its cursor |
//! | `published` | DEBUG | `events`, `position` | the transport has confirmed everything up to there (row R2) |
//! | `relay held back; it will try again` | WARN | `position`, `reason`, `pause` | the transport, or the store, failed; nothing is skipped |
//! | `dead letters held back; they will be tried again` | WARN | `letters`, `reason`, `pause` | they are stored, and not on their topics yet (row D3) |
//! | `dead letter refused; it stays in the store` | WARN | `letter`, `domain`, `code`, `error` | the transport does not take this one |
//! | `relay stopped` | DEBUG | `position` | it published what it could |
//! | `hole filled from the store` | DEBUG | `feed`, `stream`, `sequence`, `events`, `correlation_id` | a message came before older ones of its stream (row R7) |
//! | `double dropped` | DEBUG | `feed`, `stream`, `sequence` | a message came again (row R7) |
//! | `message that makes no sense dropped` | WARN | `prefix`, `subject`, `reason` | something that is no publication came from a broker |
//! | `message of another store dropped` | WARN | `feed`, `stream`, `sequence` | the transport is shared by stores |
//! | `feed read the log` | DEBUG | `feed`, `events`, `position` | it begins, messages are missing, or none can come |
//! | `feed without messages; it goes on from the store` | WARN | `feed`, `code`, `error` | the connection is lost, or cannot be made; it is tried again |
//!
//! # Calls over gRPC: target `angzarr_runtime::rpc`
//! | span | level | fields | when |
//! |---|---|---|---|
//! | span `rpc_server` | DEBUG | `rpc.system` (`grpc`), `rpc.service`, `rpc.method`, `rpc.grpc.status_code`, `otel.name` (`service/method`), `otel.kind` (`server`), `otel.status_code` | around each call that the server answers, from the door to the end of its answer; the `command` spans are inside. Health and reflection have none |
//! | span `rpc_client` | DEBUG | the same, with `otel.kind` `client`, `server.address`, and `component` where one in another process is called | around each try of a call of the typed client, and each call of a component |
//!
//! # Beyond this process
//! With the feature `otel`, `otel::install` sends these spans to an OpenTelemetry collector, as one trace from a command to
//! everything that it led to. Calls over gRPC carry the W3C context (`traceparent`, `tracestate`) in their metadata: the typed client
//! and the calls of components send it, the server goes on with what any client sends, and takes one that makes no sense for none.
//! With events the `traceparent` is stored; a `tracestate` goes as far as the process that it came to. With the feature `metrics`, `prometheus` serves figures: their names stand in a table there.
//!
//! Warnings and errors say by themselves what they are about: a program that listens to no more than those has no spans.
//! Others, of start, shutdown and store, carry the target of their module.

mod command;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
mod metrics;
#[cfg(feature = "otel")]
pub mod otel;
#[cfg(feature = "metrics")]
pub mod prometheus;
mod reaction;
#[cfg(any(feature = "client", feature = "remote", feature = "server"))]
mod rpc;
mod transport;

pub(crate) use command::{
    accepted_or_refused, at_hand, command_span, decided, done_or_refused, folded, panicked, raced, refused_early,
    retried, stored, waited,
};
pub(crate) use metrics::{batch_committed, begins, ended, letters_in, letters_stored};
pub(crate) use reaction::{
    AtCommand, AtEvent, answers_lost, answers_out_of_reach, command_dead_lettered, command_rejected, command_sent,
    committed, escalated, escalation_failed, event_dead_lettered, failed, fell_back, fresh_left_behind, handled,
    intent_failed, intent_held_back, intents_held_back, no_correlation, parked, parked_behind, process_is_over,
    reaction_span, rebuild_failed, rebuild_started, rebuild_switched, share_given_back, share_lost, share_taken,
    shares_in_doubt, stays_parked, timeout_fires,
};
#[cfg(feature = "server")]
pub(crate) use rpc::{answered, server_span};
#[cfg(any(feature = "client", feature = "remote"))]
pub(crate) use rpc::{called, client_span, send_along};
#[cfg(any(feature = "nats", feature = "amqp"))]
pub(crate) use transport::unreadable_message;
pub(crate) use transport::{
    feed_read_log, feed_without_messages, letter_refused, letters_held_back, message_taken, published, relay_held_back,
    relay_started, relay_stopped,
};

use tracing::{Instrument as _, Span};

use crate::stream::Headers;

/// A future inside its span. Where nobody listens it runs as it is.
pub(crate) async fn within<F: Future>(span: Span, future: F) -> F::Output {
    if span.is_disabled() { future.await } else { future.instrument(span).await }
}

/// What goes with the events of a command: the trace context of its span. A command that nothing here led to goes on with the
/// trace that its headers bring. Where nobody traces, they are handed on as they are.
#[cfg(feature = "otel")]
pub(crate) fn traced(headers: Headers, span: &Span) -> Headers {
    otel::traced(headers, span)
}

/// Without the feature `otel` nobody traces.
#[cfg(not(feature = "otel"))]
pub(crate) fn traced(headers: Headers, _: &Span) -> Headers {
    headers
}

/// A text, unless it is empty.
fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
