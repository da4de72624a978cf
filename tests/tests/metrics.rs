//! Figures for Prometheus: what a program has done stands in them, under the names that are documented.
//!
//! What is counted is of the whole process, so the tests that compare numbers are one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use angzarr_runtime::prelude::*;
use angzarr_runtime::{Config, telemetry::prometheus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[path = "telemetry/domain.rs"]
mod domain;

use domain::*;

async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

async fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let (head, body) = ask(address, "GET /metrics HTTP/1.1\r\nHost: it\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert!(body.ends_with("\n# EOF\n") && body.matches("# EOF").count() == 1, "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name.to_owned(), value.parse().expect("a number"))
        })
        .collect()
}

#[track_caller]
fn has(figures: &BTreeMap<String, f64>, name: &str, value: f64) {
    assert_eq!(figures.get(name), Some(&value), "{name} in {figures:#?}");
}

#[tokio::test]
async fn the_figures_tell_what_was_done() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("shop.db");
    let listen = Config::from_toml("a.toml", "[telemetry]\nprometheus_listen = \"127.0.0.1:0\"");
    let builder = builder(true).storage(Sqlite::open(&file)).reaction_attempts(2).configured_by(listen);
    let runtime = builder.build().await.expect("it starts");
    let address = runtime.metrics_address().expect("it is served");

    let place = |id: &'static str, quantity| runtime.send::<Order>(root("order", id), Place { quantity });
    place("a", 2).correlation("a").external_id("x-1").await.expect("placed");
    assert!(place("a", 2).correlation("a").external_id("x-1").await.expect("placed").already_processed());
    place("b", 3).await.expect("placed");
    place("c", 0).await.expect_err("nothing is ordered");
    place("d", 13).await.expect("placed; its reservation fails for good");
    place("b", 1).await.expect("placed, on the state at hand");
    runtime.settled().await;
    let figures = scrape(address).await;

    let place = |outcome: &str| {
        format!("angzarr_commands_total{{domain=\"order\",command=\"telemetry.Place\",outcome=\"{outcome}\"}}")
    };
    has(&figures, &place("accepted"), 4.0);
    has(&figures, &place("repeat"), 1.0);
    has(&figures, &place("REJECTED"), 1.0);
    has(&figures, "angzarr_command_duration_seconds_count{domain=\"order\"}", 6.0);
    has(&figures, "angzarr_events_stored_total{domain=\"order\"}", 4.0);
    has(&figures, "angzarr_events_stored_total{domain=\"stock\"}", 3.0);
    has(&figures, "angzarr_states_loaded_total{domain=\"order\",source=\"cache\"}", 1.0);
    has(&figures, "angzarr_states_loaded_total{domain=\"order\",source=\"store\"}", 4.0);
    has(&figures, "angzarr_dead_letters_total{component=\"reservation\"}", 1.0);
    has(&figures, "angzarr_dead_letters_open", 1.0);
    assert!(figures["angzarr_reaction_failures_total{component=\"reservation\",kind=\"saga\"}"] >= 1.0);
    assert!(figures["angzarr_writer_batch_writes_count"] >= 1.0);

    let head = runtime.storage().head() as f64;
    has(&figures, "angzarr_store_head", head);
    for (component, kind) in [("reservation", "saga"), ("delivery", "process_manager"), ("view", "projector")] {
        let of = |what: &str| format!("angzarr_subscription_{what}{{component=\"{component}\",kind=\"{kind}\"}}");
        has(&figures, &of("position"), head);
        has(&figures, &of("lag"), 0.0);
        has(&figures, &of("stalled"), 0.0);
        has(&figures, &of("parked_streams"), 0.0);
        assert!(figures[&of("handled")] >= 3.0, "{component}");
    }
    has(&figures, "angzarr_commands_in_flight", 0.0);
    assert!(figures.contains_key("angzarr_writer_queue"), "checkpoints may wait for a moment");
    has(&figures, "angzarr_intents_due", 0.0);
    assert!(figures["angzarr_state_cache_bytes"] > 0.0);

    // The documented names are those that are served: nobody's dashboard breaks by surprise.
    let documented = include_str!("../../angzarr-runtime/src/telemetry/prometheus.rs");
    for name in figures.keys() {
        let name = name.split('{').next().expect("a name");
        let name = ["_bucket", "_sum", "_count"].iter().fold(name, |name, it| name.strip_suffix(it).unwrap_or(name));
        let short = name.strip_prefix("angzarr_subscription").map_or_else(|| name.to_owned(), |it| format!("…{it}"));
        let is_documented = [name, &short].iter().any(|it| documented.contains(&format!("`{it}`")));
        assert!(is_documented, "{name} is not in the table");
    }

    // Somebody else's figures stand beside ours.
    let calls = prometheus_client::metrics::gauge::Gauge::<i64>::default();
    calls.set(7);
    prometheus::register(|registry| registry.register("grpc_in_flight", "Calls that run", calls));
    let text = prometheus::text(&runtime).await;
    assert!(text.contains("\nangzarr_grpc_in_flight 7\n"), "{text}");

    // What is no scrape gets an answer, and harms nobody.
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        ("\r\n\r\n", "404 Not Found"),
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200 OK"),
    ] {
        assert!(ask(address, request).await.0.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}");
    }
    let (head, _) = ask(address, &"x".repeat(8 * 1024)).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    scrape(address).await;

    // A runtime that ended is not kept by whoever watches it.
    let endpoint = prometheus::serve(&runtime, "127.0.0.1:0".parse().unwrap()).await.expect("it listens");
    runtime.shutdown().await.expect("it ends");
    assert!(TcpStream::connect(address).await.is_err(), "its own endpoint went with it");
    let (head, _) = ask(endpoint.address(), "GET /metrics HTTP/1.1\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
}

#[tokio::test]
async fn an_address_that_is_taken_stops_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let listen = Config::from_toml("a.toml", &format!("[telemetry]\nprometheus_listen = \"{address}\""));
    let Err(error) = builder(true).configured_by(listen).build().await else { panic!("it must not start") };
    let told = error.to_string();
    assert!(told.contains(&format!("`telemetry.prometheus_listen`: nobody can listen on {address}")), "{told}");
}
