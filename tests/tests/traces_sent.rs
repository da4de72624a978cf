//! A collector gets the traces of a program that installs the exporter in one line. A subscriber is of the whole process, so this is
//! one test in a binary of its own.

use angzarr_runtime::prelude::*;
use angzarr_runtime::{Config, telemetry::otel};

#[path = "../src/collector.rs"]
mod collector;
#[path = "telemetry/domain.rs"]
mod domain;

use collector::Collector;
use domain::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_traces_before_the_program_ends() {
    let (collector, address) = Collector::start().await;
    let said = format!("[telemetry]\notlp_endpoint = \"http://{address}\"\nservice_name = \"the shop\"");
    let builder = builder(true).configured_by(Config::from_toml("a.toml", &said));
    let traces = otel::install(builder.telemetry_config()).expect("a collector");
    assert_eq!(otel::install(builder.telemetry_config()).expect_err("once").code(), "OTEL_SUBSCRIBER");
    let runtime = builder.build().await.expect("it starts");
    runtime.send::<Order>(root("order", "o-1"), Place { quantity: 2 }).correlation("o-1").await.expect("placed");
    runtime.settled().await;
    runtime.shutdown().await.expect("it ends");
    tokio::task::spawn_blocking(move || drop(traces)).await.expect("sent");

    let service = format!("{:?}", collector.resources()[0].resource);
    assert!(service.contains("service.name") && service.contains("the shop"), "{service}");
    let spans = collector.spans();
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
