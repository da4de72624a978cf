//! Brokers of the tests' own, beside the shared ones: these may be killed, and show certificates.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

/// What starts a server on a port, with what it keeps in a directory.
type Start = Box<dyn Fn(u16, &Path) -> Command + Send>;

/// A server with a directory; gone when it is dropped.
pub(crate) struct Server {
    port: u16,
    directory: tempfile::TempDir,
    command: Start,
    child: Child,
}

impl Server {
    pub(crate) async fn start(command: impl Fn(u16, &Path) -> Command + Send + 'static) -> Self {
        // Nobody else takes it in the meantime, most likely.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(command(port, directory.path()));
        let server = Self { port, directory, command: Box::new(command), child };
        server.answers().await;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> String {
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
    pub(crate) fn kill(&mut self) {
        let group = format!("-{}", self.child.id());
        let killed = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
        assert!(killed.is_ok(), "`kill` is there");
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        let group = format!("-{}", self.child.id());
        let asked = Command::new("kill").args(["-TERM", "--", &group]).stderr(Stdio::null()).status();
        assert!(asked.is_ok(), "`kill` is there");
        for _ in 0..1_200 {
            // The first one is often a shell, which does not wait for the others.
            let ended = self.child.try_wait().unwrap().is_some();
            let is_there = Command::new("kill").args(["-0", "--", &group]).stderr(Stdio::null()).status();
            if ended && !is_there.unwrap().success() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not end");
    }

    pub(crate) async fn again(&mut self) {
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

pub(crate) fn nats_server(port: u16, directory: &Path) -> Command {
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(directory);
    command
}

/// A node with a name of its own, beside the one that runs.
pub(crate) fn rabbitmq_server(port: u16, directory: &Path) -> Command {
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
