//! Row I1 for traces over gRPC: from a client through the server, its commands and events to components in other processes, one trace.
//! A subscriber is of the whole process, so this is a binary of its own.

// Tests say what they expect by panicking.
#![allow(missing_docs)]

use std::sync::OnceLock;

use angzarr_runtime::Client;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandPageExt as _, EventPageExt as _};
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind, TracerProvider as _};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use proto::command_handler_coordinator_service_client::CommandHandlerCoordinatorServiceClient as Stub;
use tonic::{Code, Request, Status};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

#[path = "remote/domain.rs"]
#[allow(dead_code)]
mod domain;
#[path = "remote/elsewhere.rs"]
#[allow(dead_code)]
mod elsewhere;

use domain::*;
use elsewhere::*;

/// What this program tells, as OpenTelemetry gets it.
fn collected() -> &'static (InMemorySpanExporter, SdkTracerProvider) {
    static COLLECTED: OnceLock<(InMemorySpanExporter, SdkTracerProvider)> = OnceLock::new();
    COLLECTED.get_or_init(|| {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let filter = Targets::new().with_target("angzarr_runtime", tracing::Level::DEBUG);
        tracing_subscriber::registry().with(layer.with_filter(filter)).init();
        (exporter, provider)
    })
}

/// The spans of one trace, once there are as many.
async fn trace_of(parent: impl Fn(&SpanData) -> bool, count: usize) -> Vec<SpanData> {
    let mut found = Vec::new();
    eventually("the spans are there", async || {
        let (exporter, provider) = collected();
        provider.force_flush().unwrap();
        let spans = exporter.get_finished_spans().unwrap();
        let Some(first) = spans.iter().find(|span| parent(span)) else { return false };
        let trace = first.span_context.trace_id();
        found = spans.into_iter().filter(|span| span.span_context.trace_id() == trace).collect();
        found.len() >= count
    })
    .await;
    found
}

fn attribute<'s>(span: &'s SpanData, name: &str) -> Option<&'s Value> {
    span.attributes.iter().find(|it| it.key.as_str() == name).map(|it| &it.value)
}

#[track_caller]
fn named<'s>(spans: &'s [SpanData], name: &str, kind: SpanKind) -> &'s SpanData {
    let is_it = |span: &&SpanData| span.name == name && span.span_kind == kind;
    spans
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("no {name} among {:?}", spans.iter().map(|it| &it.name).collect::<Vec<_>>()))
}

#[track_caller]
fn about<'s>(spans: &'s [SpanData], name: &str, what: &str) -> &'s SpanData {
    let field = if name == "command" { "command" } else { "component" };
    let is_it = |span: &&SpanData| span.name == name && attribute(span, field).is_some_and(|it| it.as_str() == what);
    spans.iter().find(is_it).unwrap_or_else(|| panic!("no {name} {what}"))
}

/// Stows everything but 13.
fn stock() -> Handler {
    Handler::new(|asked: &proto::ContextualCommand| {
        let Stow { quantity } = asked.command.as_ref().unwrap().pages[0].decode().unwrap();
        if quantity == 13 {
            return Err(Status::failed_precondition("unlucky"));
        }
        let result = proto::business_response::Result::Events(book(vec![event(&Stowed { quantity })]));
        Ok(proto::BusinessResponse { result: Some(result) })
    })
}

fn stower() -> Saga {
    Component::new(|request: &proto::SagaHandleRequest| {
        let source = request.source.as_ref().unwrap();
        let placed = source.pages.iter().filter_map(|page| page.decode::<Placed>().ok());
        let commands = placed.map(|it| command("stock", root_of(source), &Stow { quantity: it.quantity })).collect();
        Ok(proto::SagaResponse { commands, ..Default::default() })
    })
}

async fn served(stock: &Handler, stower: &Saga) -> (Runtime, String, (Served, Served, tokio::task::JoinHandle<()>)) {
    let there = (aggregate_on(anywhere(), stock).await, saga_on(anywhere(), stower).await);
    let builder = Runtime::builder().remote_aggregate("stock", there.0.url());
    let runtime = builder.remote_saga("stower", "order", there.1.url()).build().await.unwrap();
    let bound = runtime.serve("127.0.0.1:0".parse().unwrap()).bind().await.unwrap();
    let url = format!("http://{}", bound.local_addr());
    let serving = tokio::spawn(async move { bound.run_until(std::future::pending()).await.unwrap() });
    (runtime, url, (there.0, there.1, serving))
}

fn parent_of(span: &SpanData) -> String {
    let context = &span.span_context;
    format!("00-{}-{}-01", context.trace_id(), context.span_id())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_from_a_client_to_a_component_elsewhere_it_is_one_trace() {
    collected();
    let (stock, stower) = (stock(), stower());
    let (runtime, url, _servers) = served(&stock, &stower).await;
    let client = Client::connect(url.as_str()).await.unwrap();
    let order = Uuid::new_v4();
    client.send::<Order>(order, Place { quantity: 2 }).await.unwrap();
    settled(&runtime).await;

    let ours = |span: &SpanData| {
        span.span_kind == SpanKind::Client && attribute(span, "server.address").is_some_and(|it| it.as_str() == url)
    };
    let spans = trace_of(ours, 7).await;
    let call = "angzarr.CommandHandlerCoordinatorService/HandleCommand";
    let chain = [
        named(&spans, call, SpanKind::Client),
        named(&spans, call, SpanKind::Server),
        about(&spans, "command", "remote.Place"),
        about(&spans, "reaction", "stower"),
        named(&spans, "angzarr.SagaService/Handle", SpanKind::Client),
    ];
    assert_eq!(chain[0].parent_span_id, SpanId::INVALID);
    for [parent, child] in chain.windows(2).map(|it| [it[0], it[1]]) {
        assert_eq!(child.parent_span_id, parent.span_context.span_id(), "{} in {}", child.name, parent.name);
    }
    let sent = about(&spans, "command", "remote.Stow");
    assert_eq!(sent.parent_span_id, chain[3].span_context.span_id());
    let asked = named(&spans, "angzarr.CommandHandlerService/Handle", SpanKind::Client);
    assert_eq!(asked.parent_span_id, sent.span_context.span_id());

    // What the components have seen, whatever language they are in.
    assert_eq!(stower.traces(), [[Some(parent_of(chain[4])), None]]);
    assert_eq!(stock.commands.traces(), [[Some(parent_of(asked)), None]]);
    for (span, service, method) in [
        (chain[1], "angzarr.CommandHandlerCoordinatorService", "HandleCommand"),
        (chain[4], "angzarr.SagaService", "Handle"),
    ] {
        for (name, value) in [("rpc.system", "grpc"), ("rpc.service", service), ("rpc.method", method)] {
            assert_eq!(attribute(span, name).map(|it| it.as_str()).as_deref(), Some(value));
        }
        assert_eq!(attribute(span, "rpc.grpc.status_code"), Some(&Value::I64(0)));
    }
    runtime.shutdown().await.unwrap();
}

/// Any client in any language: stock gRPC, with the headers that W3C says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_goes_on_with_what_makes_sense() {
    collected();
    let (stock, stower) = (stock(), stower());
    let (runtime, url, _servers) = served(&stock, &stower).await;
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut stub = Stub::new(channel);
    let mut call = async |quantity: u32, headers: &[(&'static str, &'static str)]| {
        let mut request = Request::new(request(command("stock", Uuid::new_v4(), &Stow { quantity })));
        for (name, value) in headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        stub.handle_command(request).await
    };
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    call(1, &[("traceparent", caller), ("tracestate", "vendor=1,other=2")]).await.unwrap();
    let from_there = |span: &SpanData| span.parent_span_id.to_string() == "b7ad6b7169203331";
    let spans = trace_of(from_there, 3).await;
    let server = spans.iter().find(|span| from_there(span)).unwrap();
    assert_eq!(server.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    let asked = named(&spans, "angzarr.CommandHandlerService/Handle", SpanKind::Client);
    assert_eq!(stock.commands.traces(), [[Some(parent_of(asked)), Some("vendor=1,other=2".to_owned())]]);

    // A context that is none begins a trace here, and the call is answered.
    for nonsense in ["", "00", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "ff-gg-hh-01", "\u{7e}"] {
        call(1, &[("traceparent", nonsense), ("tracestate", "=,=;=")]).await.unwrap();
        let [sent, _] = stock.commands.traces().pop().unwrap();
        let trace = sent.expect("a trace of its own")[3..35].to_owned();
        assert_ne!(trace, "0af7651916cd43dd8448eb211c80319c", "{nonsense:?}");
        let spans = trace_of(|span| span.span_context.trace_id().to_string() == trace, 3).await;
        let call = "angzarr.CommandHandlerCoordinatorService/HandleCommand";
        assert_eq!(named(&spans, call, SpanKind::Server).parent_span_id, SpanId::INVALID);
    }

    // A rejection is no error of the server; for whoever called the component it is one.
    let caller = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01";
    let refused = call(13, &[("traceparent", caller)]).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let spans = trace_of(|span| span.parent_span_id.to_string() == "c7ad6b7169203331", 3).await;
    let server = spans.iter().find(|span| span.span_kind == SpanKind::Server).unwrap();
    let asked = named(&spans, "angzarr.CommandHandlerService/Handle", SpanKind::Client);
    for span in [server, asked] {
        assert_eq!(attribute(span, "rpc.grpc.status_code"), Some(&Value::I64(9)));
    }
    assert_eq!(server.status, opentelemetry::trace::Status::Unset);
    assert!(matches!(asked.status, opentelemetry::trace::Status::Error { .. }));
    runtime.shutdown().await.unwrap();
}
