//! A collector gets the traces of a program that installs the exporter in one line. A subscriber is of the whole process, so this is
//! one test in a binary of its own.

use std::sync::{Arc, Mutex};

use angzarr_runtime::prelude::*;
use angzarr_runtime::{Config, telemetry::otel};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use tonic::{Request, Response, Status};

#[path = "telemetry/domain.rs"]
mod domain;

use domain::*;

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().expect("kept").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_traces_before_the_program_ends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let kept = Kept::default();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(kept.clone()));
    tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));

    let said = format!("[telemetry]\notlp_endpoint = \"http://{address}\"\nservice_name = \"the shop\"");
    let builder = builder(true).configured_by(Config::from_toml("a.toml", &said));
    let traces = otel::install(builder.telemetry_config()).expect("a collector");
    assert_eq!(otel::install(builder.telemetry_config()).expect_err("once").code(), "OTEL_SUBSCRIBER");
    let runtime = builder.build().await.expect("it starts");
    runtime.send::<Order>(root("order", "o-1"), Place { quantity: 2 }).correlation("o-1").await.expect("placed");
    runtime.settled().await;
    runtime.shutdown().await.expect("it ends");
    tokio::task::spawn_blocking(move || drop(traces)).await.expect("sent");

    let requests = kept.0.lock().expect("kept");
    let resources: Vec<_> = requests.iter().flat_map(|it| &it.resource_spans).collect();
    let service = format!("{:?}", resources[0].resource);
    assert!(service.contains("service.name") && service.contains("the shop"), "{service}");
    let spans: Vec<_> = resources.iter().flat_map(|it| &it.scope_spans).flat_map(|it| &it.spans).collect();
    let commands = spans.iter().filter(|span| span.name == "command").count();
    let reactions = spans.iter().filter(|span| span.name == "reaction").count();
    assert!(commands >= 3 && reactions >= 3, "{commands} commands, {reactions} reactions");
    let workflow =
        &spans.iter().find(|it| it.name == "command" && it.parent_span_id.is_empty()).expect("the first").trace_id;
    assert!(spans.iter().filter(|span| &span.trace_id == workflow).count() >= 6, "one trace");
}

#[tokio::test]
async fn without_a_collector_nothing_is_set_up() {
    drop(otel::install(&angzarr_runtime::TelemetryConfig::default()).expect("nothing to do"));
}
