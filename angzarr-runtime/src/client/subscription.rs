//! Events as they happen, over the wire.
//!
//! In: a stream of books. Out: the same, with typed errors. Never: a new beginning by itself; who reads knows what it has.

use std::pin::Pin;
use std::task::{Context, Poll};

use angzarr_proto as proto;
use futures_util::{Stream, StreamExt as _};
use tonic::{Response, Streaming};

use super::ClientError;
use super::calls::{Line, Repeat};

/// Metadata of the answer: where in the log the subscription has gone live.
const POSITION: &str = "angzarr-position";

/// Books of events, in order of the log. From [`Client::subscribe`](super::Client::subscribe). It has no end but an error: a server
/// that goes, a connection that is lost. A workflow that is subscribed to anew is told from its beginning again.
pub struct Subscription {
    books: Streaming<proto::EventBook>,
    position: Option<u64>,
    line: Line,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(super) fn new(answer: Response<Streaming<proto::EventBook>>, line: Line) -> Self {
        let position = answer.metadata().get(POSITION).and_then(|it| it.to_str().ok()).and_then(|it| it.parse().ok());
        Self { books: answer.into_inner(), position, line }
    }

    /// The next book; `None` when the server has ended the stream in order.
    ///
    /// # Errors
    /// The server ends it, or the connection is lost.
    pub async fn book(&mut self) -> Result<Option<proto::EventBook>, ClientError> {
        self.next().await.transpose()
    }

    /// Where in the log it has gone live, if the server says so.
    pub fn position(&self) -> Option<u64> {
        self.position
    }
}

impl Stream for Subscription {
    type Item = Result<proto::EventBook, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = std::task::ready!(this.books.poll_next_unpin(context));
        Poll::Ready(next.map(|next| next.map_err(|status| this.line.failure(&status, Repeat::Harmless))))
    }
}
