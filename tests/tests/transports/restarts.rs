//! A broker that is killed and started again, under load. It is a server of the test's own: the shared one stays up.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use angzarr_tests::rig::eventually;
use tokio::net::TcpStream;

use crate::runtimes::{OverNats, loses_nothing};

/// A server with a directory; gone when it is dropped.
struct Server {
    port: u16,
    directory: tempfile::TempDir,
    child: Child,
}

impl Server {
    async fn start() -> Self {
        // Nobody else takes it in the meantime, most likely.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(port, directory.path());
        let server = Self { port, directory, child };
        server.answers().await;
        server
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn answers(&self) {
        eventually("the server answers", async || TcpStream::connect(self.address()).await.is_ok()).await;
    }

    /// As by kill -9.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn again(&mut self) {
        self.child = spawn(self.port, self.directory.path());
        self.answers().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, directory: &std::path::Path) -> Child {
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("nats-server");
    command.env("PATH", path).args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(directory);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.unwrap_or_else(|error| {
        panic!("`nats-server` cannot be started: {error}; run `tests/servers`, which installs it")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_r7_a_nats_server_that_is_killed_again_and_again_loses_nothing() {
    let mut server = Server::start().await;
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
