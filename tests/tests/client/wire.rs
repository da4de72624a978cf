//! The line between a client and a server, to be cut.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Hands bytes on, both ways, until it is cut.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    to: SocketAddr,
    task: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        Self { address, to, task: tokio::spawn(serve(listener, to)) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every connection is over, and nobody answers any more.
    pub(crate) async fn cut(&mut self) {
        self.task.abort();
        let _aborted = (&mut self.task).await;
    }

    /// It is there again, at the same address.
    pub(crate) async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the same port");
        self.task = tokio::spawn(serve(listener, self.to));
    }
}

async fn serve(listener: TcpListener, to: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut here, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut there) = TcpStream::connect(to).await {
                let _over = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
}
