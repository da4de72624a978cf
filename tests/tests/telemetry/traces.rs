//! I1 for traces: one from the command to everything that it led to, in this process and the next.

use std::collections::BTreeMap;
use std::time::SystemTime;

use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::Storage as _;
use angzarr_runtime::stream::TraceContext;
use angzarr_runtime::telemetry::otel;
use angzarr_runtime::testing::ManualClock;
use opentelemetry::trace::{SpanId, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::domain::*;

/// Everything that is told on the test's own thread, as OpenTelemetry gets it.
struct Collector {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    _listening: tracing::subscriber::DefaultGuard,
}

impl Collector {
    fn start(level: LevelFilter) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test")).with_filter(level);
        let listening = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Self { exporter, provider, _listening: listening }
    }

    /// The spans by what they are about: `command telemetry.Place`, `reaction view telemetry.Reserved`.
    fn spans(&self) -> BTreeMap<String, SpanData> {
        self.provider.force_flush().expect("flushed");
        let spans = self.exporter.get_finished_spans().expect("spans");
        spans.into_iter().map(|span| (name_of(&span), span)).collect()
    }
}

fn attribute<'s>(span: &'s SpanData, name: &str) -> Option<std::borrow::Cow<'s, str>> {
    span.attributes.iter().find(|it| it.key.as_str() == name).map(|it| it.value.as_str())
}

fn name_of(span: &SpanData) -> String {
    let about = match &*span.name {
        "reaction" => ["component", "event"],
        _ => ["command", ""],
    };
    about.iter().filter_map(|it| attribute(span, it)).fold(span.name.to_string(), |name, it| name + " " + &it)
}

/// Every span but the first has the parent that is named, and all are of one trace.
#[track_caller]
fn is_one_trace(spans: &BTreeMap<String, SpanData>, first: &str, parents: &[(&str, &str)]) {
    let id = |name: &str| match spans.get(name) {
        Some(span) => span.span_context.span_id(),
        None => panic!("{name} is missing among {:?}", spans.keys()),
    };
    let trace = spans[first].span_context.trace_id();
    for (child, parent) in parents {
        assert_eq!(spans[*child].parent_span_id, id(parent), "{child} is a child of {parent}");
        assert_eq!(spans[*child].span_context.trace_id(), trace, "{child} is of the same trace");
    }
}

const AT_ONCE: &[(&str, &str)] = &[
    ("reaction reservation telemetry.Placed", "command telemetry.Place"),
    ("command telemetry.Reserve", "reaction reservation telemetry.Placed"),
    ("reaction view telemetry.Reserved", "command telemetry.Reserve"),
    ("reaction delivery telemetry.Reserved", "command telemetry.Reserve"),
    ("command telemetry.Reserved", "reaction delivery telemetry.Reserved"),
];

const WHEN_LATE: &[(&str, &str)] = &[
    ("command angzarr.Timeout", "command telemetry.Reserved"),
    ("command telemetry.Cancel", "command angzarr.Timeout"),
];

async fn place(runtime: &Runtime) -> Receipt {
    let placed = runtime.send::<Order>(root("order", "o-1"), Place { quantity: 2 }).correlation("o-1");
    placed.await.expect("placed")
}

#[tokio::test]
async fn i1_a_workflow_is_one_trace() {
    let collector = Collector::start(LevelFilter::DEBUG);
    let clock = ManualClock::at(SystemTime::now());
    let runtime = builder(true).clock(clock.clone()).build().await.expect("it starts");
    place(&runtime).await;
    runtime.settled().await;
    let spans = collector.spans();
    assert_eq!(spans["command telemetry.Place"].parent_span_id, SpanId::INVALID);
    is_one_trace(&spans, "command telemetry.Place", AT_ONCE);
    assert_eq!(attribute(&spans["command telemetry.Reserve"], "correlation_id").as_deref(), Some("o-1"));

    // An hour later, when nothing of it is under way any more.
    clock.advance(Duration::from_secs(3_601));
    runtime.settled().await;
    assert!(runtime.state::<Order>(root("order", "o-1")).await.expect("a state").cancelled);
    is_one_trace(&collector.spans(), "command telemetry.Place", &[AT_ONCE, WHEN_LATE].concat());
    runtime.shutdown().await.expect("it ends");
}

#[tokio::test]
async fn i1_a_trace_goes_on_after_a_restart() {
    let collector = Collector::start(LevelFilter::DEBUG);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shop.db");
    let clock = ManualClock::at(SystemTime::now());
    let start = async |is_well| {
        let builder = builder(is_well).storage(Sqlite::open(&file)).clock(clock.clone());
        // The saga of the first program is busy failing when it ends.
        let builder = builder.reaction_attempts(100_000).drain_limit(Duration::from_millis(50));
        builder.build().await.expect("it starts")
    };
    let runtime = start(false).await;
    place(&runtime).await;
    runtime.shutdown().await.expect("it ends");
    assert!(!collector.spans().contains_key("command telemetry.Reserve"));

    let runtime = start(true).await;
    runtime.settled().await;
    is_one_trace(&collector.spans(), "command telemetry.Place", AT_ONCE);
    runtime.shutdown().await.expect("it ends");

    // A timeout waits in the store for longer than the program runs.
    clock.advance(Duration::from_secs(3_601));
    let runtime = start(true).await;
    runtime.settled().await;
    is_one_trace(&collector.spans(), "command telemetry.Place", &[AT_ONCE, WHEN_LATE].concat());
    runtime.shutdown().await.expect("it ends");
}

#[tokio::test]
async fn a_command_goes_on_with_the_trace_of_its_caller() {
    let collector = Collector::start(LevelFilter::DEBUG);
    let runtime = builder(true).build().await.expect("it starts");
    let caller: TraceContext =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().expect("a trace parent");
    let span = tracing::info_span!("call");
    otel::continue_from(&span, caller);
    let receipt = tracing::Instrument::instrument(place(&runtime), span).await;
    runtime.settled().await;
    runtime.shutdown().await.expect("it ends");
    let spans = collector.spans();
    is_one_trace(&spans, "call", AT_ONCE);
    assert_eq!(spans["call"].parent_span_id.to_bytes(), caller.span_id());
    assert_eq!(spans["command telemetry.Place"].span_context.trace_id().to_bytes(), caller.trace_id());
    assert_eq!(spans["command telemetry.Place"].parent_span_id, spans["call"].span_context.span_id());
    assert_eq!(receipt.events().len(), 1);
}

/// Where nobody traces, nothing is stored for it; and what was stored is handed on.
#[tokio::test]
async fn without_a_listener_no_trace_is_stored() {
    let _collector = Collector::start(LevelFilter::INFO); // our spans are of level DEBUG
    let store = Memory::new();
    let runtime = builder(true).storage(store.clone()).build().await.expect("it starts");
    place(&runtime).await;
    runtime.settled().await;
    let log = store.read_log(0, 100, usize::MAX).await.expect("the log");
    assert!(log.len() >= 3 && log.iter().all(|it| it.event.headers.trace().is_none()));
    runtime.shutdown().await.expect("it ends");
}
