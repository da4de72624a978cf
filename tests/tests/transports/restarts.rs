//! A broker that is killed and started again, under load. It is a server of the test's own: the shared one stays up.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::runtimes::{OverClassicAmqp, OverNats, loses_nothing};

/// A server with a directory; gone when it is dropped.
struct Server {
    port: u16,
    directory: tempfile::TempDir,
    command: fn(u16, &Path) -> Command,
    child: Child,
}

impl Server {
    async fn start(command: fn(u16, &Path) -> Command) -> Self {
        // Nobody else takes it in the meantime, most likely.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(command(port, directory.path()));
        let server = Self { port, directory, command, child };
        server.answers().await;
        server
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn answers(&self) {
        // Brokers take their time.
        for _ in 0..1_200 {
            if TcpStream::connect(self.address()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not answer");
    }

    /// Kill -9, with all that it has started.
    fn kill(&mut self) {
        let group = format!("-{}", self.child.id());
        let killed = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        assert!(killed.is_ok(), "`kill` is there");
        self.child.wait().unwrap();
    }

    async fn again(&mut self) {
        self.child = spawn((self.command)(self.port, self.directory.path()));
        self.answers().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(mut command: Command) -> Child {
    let path = format!("{}:/usr/sbin:/usr/local/sbin:/usr/lib/rabbitmq/bin", std::env::var("PATH").unwrap_or_default());
    command.env("PATH", path).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("{command:?} cannot be started: {error}; run `tests/servers`, which installs what is missing")
    })
}

fn nats_server(port: u16, directory: &Path) -> Command {
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(directory);
    command
}

/// A node with a name of its own, beside the one that runs.
fn rabbitmq_server(port: u16, directory: &Path) -> Command {
    let mut command = Command::new("rabbitmq-server");
    command
        .env("HOME", directory)
        .env("RABBITMQ_NODENAME", format!("angzarr{port}@localhost"))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", port.to_string())
        // Beside it, where the system gives no ports of its own accord.
        .env("RABBITMQ_DIST_PORT", (u32::from(port) % 10_000 + 20_000).to_string())
        .env("RABBITMQ_MNESIA_BASE", directory.join("data"))
        .env("RABBITMQ_LOG_BASE", directory)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", directory.join("plugins"))
        .env("RABBITMQ_CONFIG_FILE", directory.join("none"));
    // Debian's wrapper changes the user: what it wraps does not.
    if Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists() {
        let mut direct = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        direct.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        return direct;
    }
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_a_nats_server_that_is_killed_again_and_again_loses_nothing() {
    let mut server = Server::start(nats_server).await;
    let (address, kills) = (server.address(), AtomicU32::new(0));
    let breaking = async {
        for pause in [200, 500, 80, 900].into_iter().cycle() {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            server.kill();
            kills.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(pause / 4)).await;
            server.again().await;
            // Long enough for somebody to get on.
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    loses_nothing::<OverNats>(&address, &address, Duration::from_millis(40), breaking).await;
    assert!(kills.load(Ordering::SeqCst) >= 3, "it was hard enough");
}

/// With classic queues: of quorum queues the version that Debian has does not bring back every one after a kill, if it is
/// alone, and then answers nobody who publishes to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_a_rabbitmq_server_that_is_killed_loses_nothing() {
    let mut server = Server::start(rabbitmq_server).await;
    let (address, kills) = (server.address(), AtomicU32::new(0));
    let breaking = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        server.kill();
        kills.fetch_add(1, Ordering::SeqCst);
        server.again().await;
        std::future::pending().await
    };
    loses_nothing::<OverClassicAmqp>(&address, &address, Duration::from_millis(40), breaking).await;
    assert_eq!(kills.load(Ordering::SeqCst), 1, "in the middle of it");
}
