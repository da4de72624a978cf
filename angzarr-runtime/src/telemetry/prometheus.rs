//! Figures for Prometheus, on an endpoint of their own.
//!
//! In: a runtime, and an address. Out: `GET /metrics` in the OpenMetrics text format. Never: a stage that counts before the
//! first call of [`serve`] or [`text`], or a runtime that is kept alive by being watched.
//!
//! A program whose configuration has `telemetry.prometheus_listen` serves by itself, from `build()` to the end of its runtime. What
//! is counted is of the whole process, the rest of the runtime that is asked. The names are stable:
//!
//! | name | kind | labels | what |
//! |---|---|---|---|
//! | `angzarr_commands_total` | counter | `domain`, `command` (full name; of a book the first), `outcome` (`accepted`, `repeat`, `moot`, or the code of the error) | commands, facts, and what the runtime brings to a state, that had a stream |
//! | `angzarr_command_duration_seconds` | histogram | `domain` | from the load of the state to the commit; projectors that are waited for are not in it |
//! | `angzarr_events_stored_total` | counter | `domain` | events of those |
//! | `angzarr_states_loaded_total` | counter | `domain`, `source` (`cache`, `store`) | hits and misses of the cache |
//! | `angzarr_command_retries_total` | counter | `reason` (`raced`, `sequence`) | tries that came again (rows C6, M7) |
//! | `angzarr_reaction_failures_total` | counter | `component`, `kind` | tries of an event that failed |
//! | `angzarr_dead_letters_total` | counter | `component` | dead letters that were stored |
//! | `angzarr_writer_batch_writes` | histogram | | writes in one commit, of a store that commits in groups |
//! | `angzarr_relay_published_total` | counter | | events that the transport has confirmed |
//! | `angzarr_commands_in_flight` | gauge | | commands that run |
//! | `angzarr_state_cache_bytes` | gauge | | about the bytes of states that are kept |
//! | `angzarr_writer_queue` | gauge | | writes that wait for the store |
//! | `angzarr_store_head` | gauge | | newest position of the store |
//! | `angzarr_subscription_position`, `…_lag`, `…_handled`, `…_parked_streams`, `…_stalled` | gauge | `component`, `kind` | where a component stands (row J5); 1 where something holds it back |
//! | `angzarr_relay_position`, `…_lag`, `…_stalled` | gauge | | where the relay stands (row R2) |
//! | `angzarr_dead_letters_open` | gauge | | those that wait for somebody; up to 1000 |
//! | `angzarr_intents_due` | gauge | | what is due and not done; up to 1000 |
//!
//! A server registers figures of its own with [`register`].

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::metrics::{Metrics, PATIENCE};
use crate::dead_letter::DeadLetterFilter;
use crate::runtime::{Runtime, WeakRuntime};
use crate::storage::IntentFilter;

/// Bytes of a request that are read.
const REQUEST: usize = 8 * 1024;
/// Connections at a time.
const CONNECTIONS: usize = 16;
/// More are not counted at a scrape.
const COUNTED: usize = 1_000;

/// An endpoint that is served until this is dropped. From [`serve`].
#[must_use = "it is served until this is dropped"]
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    task: AbortHandle,
}

impl Endpoint {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the figures at `/metrics` until what it answers is dropped. It does not keep the runtime alive.
///
/// # Errors
/// Nobody can listen there.
pub async fn serve(runtime: &Runtime, address: SocketAddr) -> io::Result<Endpoint> {
    serve_on(runtime, TcpListener::bind(address).await?)
}

pub(crate) fn serve_on(runtime: &Runtime, listener: TcpListener) -> io::Result<Endpoint> {
    Metrics::start();
    let (address, runtime) = (listener.local_addr()?, runtime.downgrade());
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let task = tokio::spawn(async move {
        while let Ok(permit) = connections.clone().acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file handles, mostly: others may give some back.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let runtime = runtime.clone();
            tokio::spawn(async move {
                // Whoever asks too slowly, or goes away, has no answer.
                let _ = tokio::time::timeout(PATIENCE, answer(stream, &runtime)).await;
                drop(permit);
            });
        }
    });
    Ok(Endpoint { address, task: task.abort_handle() })
}

/// The figures as text, for an endpoint of your own; its content type is
/// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
pub async fn text(runtime: &Runtime) -> String {
    let mut text = counted();
    standing(runtime, &mut text).await;
    text.push_str("# EOF\n");
    text
}

/// Adds figures of your own, under the prefix `angzarr`.
pub fn register(add: impl FnOnce(&mut Registry)) {
    add(&mut Metrics::start().registry.lock());
}

/// What was counted, without the line that ends the text.
fn counted() -> String {
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = encode(&mut text, &Metrics::start().registry.lock());
    text.truncate(text.trim_end().trim_end_matches("# EOF").len());
    text
}

/// A gauge with its values.
fn gauge(text: &mut String, name: &str, help: &str, values: impl IntoIterator<Item = (String, u64)>) {
    let _ = writeln!(text, "# HELP angzarr_{name} {help}.\n# TYPE angzarr_{name} gauge");
    for (labels, value) in values {
        let _ = writeln!(text, "angzarr_{name}{labels} {value}");
    }
}

async fn standing(runtime: &Runtime, text: &mut String) {
    let core = runtime.core();
    let one = |value: u64| [(String::new(), value)];
    let figures = runtime.statistics();
    gauge(text, "commands_in_flight", "Commands that run", one(figures.commands_in_flight as u64));
    gauge(text, "state_cache_bytes", "About the bytes of states that are kept", one(figures.state_cache_bytes));
    gauge(text, "writer_queue", "Writes that wait for the store", one(core.writer.waiting() as u64));
    gauge(text, "store_head", "Newest position of the store", one(core.storage.head()));
    let all = runtime.subscriptions();
    // Names of components are of a-z 0-9 _ -: nothing in them has to be escaped.
    let label = |name: &str, kind: &str| format!("{{component=\"{name}\",kind=\"{kind}\"}}");
    let labels: Vec<_> = all.iter().map(|it| label(&it.name, it.kind.as_str())).collect();
    let each = |value: fn(&crate::SubscriptionStatus) -> u64| {
        labels.iter().cloned().zip(all.iter().map(value)).collect::<Vec<_>>()
    };
    gauge(text, "subscription_position", "Everything up to it is handled", each(|it| it.position));
    gauge(text, "subscription_lag", "Positions up to the head of the store", each(|it| it.lag));
    gauge(text, "subscription_handled", "Events handled since the start", each(|it| it.handled));
    gauge(text, "subscription_parked_streams", "Streams in the dead letters", each(|it| it.parked_streams as u64));
    gauge(text, "subscription_stalled", "1 if something holds it back", each(|it| it.stalled.is_some().into()));
    if let Some(relay) = runtime.relay() {
        gauge(text, "relay_position", "Everything up to it is published", one(relay.position));
        gauge(text, "relay_lag", "Positions up to the head of the store", one(relay.lag));
        gauge(text, "relay_stalled", "1 if something holds it back", one(relay.stalled.is_some().into()));
    }
    // A store that does not answer has no figure here: none is not the same as zero.
    let open = DeadLetterFilter { limit: Some(COUNTED), ..DeadLetterFilter::default() };
    if let Ok(letters) = core.storage.dead_letters(&open).await {
        gauge(text, "dead_letters_open", "Dead letters that wait for somebody, up to 1000", one(letters.len() as u64));
    }
    let due = IntentFilter { due_until: Some(core.now()), limit: Some(COUNTED), ..IntentFilter::default() };
    if let Ok(intents) = core.storage.intents(&due).await {
        gauge(text, "intents_due", "What is due and not done, up to 1000", one(intents.len() as u64));
    }
}

/// One request, one answer: a scrape needs no more of HTTP.
async fn answer(mut stream: TcpStream, runtime: &WeakRuntime) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|it| it == b"\r\n\r\n") {
        if request.len() >= REQUEST || stream.read_buf(&mut request).await? == 0 {
            return reply(&mut stream, "400 Bad Request", "text/plain", "not a request\n").await;
        }
    }
    let line = request.split(|it| *it == b'\r').next().unwrap_or_default();
    let mut words = line.split(|it| *it == b' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split(|it| *it == b'?').next().unwrap_or_default();
    if path != b"/metrics" {
        return reply(&mut stream, "404 Not Found", "text/plain", "the figures are at /metrics\n").await;
    }
    if method != b"GET" {
        return reply(&mut stream, "405 Method Not Allowed", "text/plain", "the figures can be read: GET\n").await;
    }
    let Some(runtime) = runtime.upgrade() else {
        return reply(&mut stream, "503 Service Unavailable", "text/plain", "the runtime has ended\n").await;
    };
    let text = text(&runtime).await;
    drop(runtime);
    reply(&mut stream, "200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", &text).await
}

async fn reply(stream: &mut TcpStream, status: &str, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
