//! Brokers that speak TLS only, with certificates of a private authority: who is told of it in the URL connects, nobody else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::transport::{Amqp, Nats, Transport, TransportErrorKind};
use angzarr_tests::Rig;
use angzarr_tests::account::Account;
use angzarr_tests::certificates::Authority;
use angzarr_tests::messages::*;
use angzarr_tests::rig::eventually;
use tokio::time::timeout;

use crate::own_servers::{Server, nats_server, rabbitmq_server};
use crate::servers;

/// Files that a server and its clients need; gone when it is dropped.
struct Files {
    directory: tempfile::TempDir,
    client: String,
}

impl Files {
    fn new() -> Self {
        // With characters that have a meaning in a URL.
        let directory = tempfile::Builder::new().prefix("our own & only %").tempdir().unwrap();
        let (authority, stranger) = (Authority::named("ours"), Authority::named("a stranger"));
        authority.file(directory.path(), "ca.pem");
        stranger.file(directory.path(), "stranger-ca.pem");
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        for (name, signed) in [
            ("server", authority.sign("localhost")),
            ("client", authority.sign("a client")),
            ("stranger", stranger.sign("a client")),
        ] {
            write(&format!("{name}.pem"), &signed.certificate);
            write(&format!("{name}.key"), &signed.key);
        }
        let mut files = Self { directory, client: String::new() };
        files.client = files.shows("client");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An option of a URL.
    fn option(&self, name: &str, file: &str) -> String {
        let path = self.path(file).to_str().unwrap().replace('%', "%25").replace('&', "%26").replace(' ', "%20");
        format!("{name}={path}")
    }

    fn trusts(&self, file: &str) -> String {
        self.option("root_certificates", file)
    }

    fn shows(&self, name: &str) -> String {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        [self.option("client_certificate", &certificate), self.option("client_key", &key)].join("&")
    }
}

/// Configuration files have strings in which a backslash has a meaning, and no path of ours has one.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// It lets in only who shows a certificate of the same authority.
async fn nats_with_tls(files: &Files) -> Server {
    let [certificate, key, authority] = ["server.pem", "server.key", "ca.pem"].map(|it| quoted(&files.path(it)));
    let config = files.path("nats.conf");
    let text =
        format!("tls {{ cert_file: {certificate}, key_file: {key}, ca_file: {authority}, verify: true, timeout: 30 }}");
    std::fs::write(&config, text).unwrap();
    Server::start(move |port, directory| {
        let mut command = nats_server(port, directory);
        command.arg("-c").arg(&config);
        command
    })
    .await
}

async fn rabbitmq_with_tls(files: &Files) -> Server {
    let [certificate, key, authority] = ["server.pem", "server.key", "ca.pem"].map(|it| files.path(it));
    let config = files.path("rabbitmq.conf");
    let config_file = config.clone();
    Server::start(move |port, directory| {
        let text = format!(
            "listeners.tcp = none\nlisteners.ssl.default = 127.0.0.1:{port}\nssl_options.certfile = {}\n\
             ssl_options.keyfile = {}\nssl_options.cacertfile = {}\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\n",
            certificate.display(),
            key.display(),
            authority.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command: Command = rabbitmq_server(port, directory);
        command.env_remove("RABBITMQ_NODE_PORT").env_remove("RABBITMQ_NODE_IP_ADDRESS");
        command.env("RABBITMQ_CONFIG_FILE", &config_file);
        command
    })
    .await
}

/// Events and dead letters go through; all that is said is said in the URL.
async fn everything_goes_through(url: &str, other: &dyn Transport) {
    let mut plain = eventually_consumes(other).await;
    let builder = Rig::new().builder().storage(Memory::new()).transport_url(url);
    let runtime = builder.build().await.unwrap();
    let id = Uuid::new_v4();
    runtime.send::<Account>(id, Deposit { amount: 3 }).await.unwrap();
    eventually("it is published", async || runtime.relay().unwrap().lag == 0).await;
    let delivery = timeout(Duration::from_secs(60), plain.next()).await.expect("it comes").unwrap();
    assert_eq!(delivery.publication.event.stream.root, id);
    plain.acknowledge(delivery.tag).await.unwrap();
    runtime.shutdown().await.unwrap();
}

/// A broker that listens is not ready at once.
async fn eventually_consumes(transport: &dyn Transport) -> Box<dyn angzarr_runtime::transport::Consumer> {
    let mut last = String::new();
    for _ in 0..600 {
        match transport.consume("plain").await {
            Ok(consumer) => return consumer,
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it cannot be consumed from: {last}");
}

/// It says no, and why; trying again does not help.
async fn refused(transport: &dyn Transport, words: &[&str]) {
    let error = transport.consume("plain").await.err().expect("nobody may connect so");
    let told = error.to_string();
    assert_eq!(error.kind, TransportErrorKind::Refused, "{told}");
    assert!(words.iter().any(|word| told.to_lowercase().contains(word)), "{words:?} is not in: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_nats_with_a_private_authority() {
    let (files, prefix) = (Files::new(), servers::prefix());
    let server = nats_with_tls(&files).await;
    let port = server.port();
    let url = |host: &str, options: &[&str]| format!("tls://{host}:{port}?prefix={prefix}&{}", options.join("&"));
    let nats = |host: &str, options: &[&str]| Nats::by_url(&url(host, options)).unwrap();
    let (ours, client) = (files.trusts("ca.pem"), files.client.as_str());
    let good = url("localhost", &[&ours, client]);
    everything_goes_through(&good, &Nats::by_url(&good).unwrap()).await;
    // The server asks for it, whatever the scheme says.
    let plain = good.replace("tls://", "nats://");
    everything_goes_through(&plain, &Nats::by_url(&plain).unwrap()).await;
    refused(&nats("localhost", &[&files.trusts("stranger-ca.pem"), client]), &["unknownissuer"]).await;
    refused(&nats("localhost", &[client]), &["unknownissuer"]).await;
    refused(&nats("127.0.0.1", &[&ours, client]), &["notvalidforname", "not valid for name"]).await;
    refused(&nats("localhost", &[&files.trusts("missing.pem"), client]), &["no such file"]).await;
    for options in [vec![ours.clone()], vec![ours.clone(), files.shows("stranger")]] {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let error = nats("localhost", &options).consume("plain").await.err().expect("the server lets nobody in so");
        assert_ne!(error.kind, TransportErrorKind::Failed, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_rabbitmq_with_a_private_authority() {
    let (files, prefix) = (Files::new(), servers::prefix());
    let server = rabbitmq_with_tls(&files).await;
    let port = server.port();
    let url = |host: &str, options: &[&str]| {
        format!("amqps://guest:guest@{host}:{port}?prefix={prefix}&{}", options.join("&"))
    };
    let amqp = |host: &str, options: &[&str]| Amqp::by_url(&url(host, options)).unwrap();
    let (ours, client) = (files.trusts("ca.pem"), files.client.as_str());
    let good = url("localhost", &[&ours, client]);
    everything_goes_through(&good, &Amqp::by_url(&good).unwrap()).await;
    refused(&amqp("localhost", &[&files.trusts("stranger-ca.pem"), client]), &["unknownissuer"]).await;
    refused(&amqp("localhost", &[client]), &["unknownissuer"]).await;
    refused(&amqp("127.0.0.1", &[&ours, client]), &["notvalidforname", "not valid for name"]).await;
    refused(&amqp("localhost", &[&files.trusts("missing.pem"), client]), &["no such file"]).await;
    for options in [vec![ours.clone()], vec![ours.clone(), files.shows("stranger")]] {
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let error = amqp("localhost", &options).consume("plain").await.err().expect("the broker lets nobody in so");
        assert_ne!(error.kind, TransportErrorKind::Failed, "{error}");
    }
    // Without encryption nobody gets anywhere.
    let plain = Amqp::by_url(&good.replace("amqps://", "amqp://")).unwrap();
    assert!(plain.consume("plain").await.is_err());
}
