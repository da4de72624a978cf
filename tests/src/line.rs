//! A line to a server that a test can cut, close and hold: a TCP proxy of a few lines.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Dropped, it is down for good.
pub struct Line {
    address: SocketAddr,
    state: Arc<State>,
    task: tokio::task::AbortHandle,
}

struct State {
    /// Counts the cuts: a connection that is older than the last one ends.
    cuts: watch::Sender<u64>,
    down: watch::Sender<bool>,
    held: watch::Sender<bool>,
}

impl Line {
    /// A line to a server, `host:port`.
    pub async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State {
            cuts: watch::Sender::new(0),
            down: watch::Sender::new(false),
            held: watch::Sender::new(false),
        });
        let (server, shared) = (server.to_owned(), state.clone());
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut cut = shared.cuts.subscribe();
                cut.mark_unchanged();
                if *shared.down.borrow() {
                    continue;
                }
                let (server, shared) = (server.clone(), shared.clone());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(&server).await else { return };
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = carry(near.0, far.1, shared.held.subscribe()) => {}
                        () = carry(far.0, near.1, shared.held.subscribe()) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { address, state, task: task.abort_handle() }
    }

    /// Where the line begins, `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts the connections that there are.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Whether nobody comes through.
    pub fn down(&self, down: bool) {
        self.state.down.send_replace(down);
        if down {
            self.cut();
        }
    }

    /// Whether what is on its way stays there.
    pub fn hold(&self, hold: bool) {
        self.state.held.send_replace(hold);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.down(true);
        self.task.abort();
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
