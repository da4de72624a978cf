//! Answers that are streams.
//!
//! In: where a stream is in its work. Out: one message after the other, as fast as the caller takes them. Never: a message that is
//! made before somebody wants it, so a slow caller costs one message of memory.

use std::pin::Pin;
use std::time::Duration;

use angzarr_proto as proto;
use futures_util::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::status::Trouble;

/// About how many bytes of pages one book of a stream has: one page at least.
pub(super) const BOOK_BYTES: usize = 1 << 20;
/// And how many pages at most.
pub(super) const BOOK_PAGES: usize = 1_000;

pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A stream that ends when its time is up.
pub(super) fn answers<T: Send + 'static>(
    deadline: Option<(Instant, Duration)>,
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> Answers<T> {
    let stream: Answers<T> = Box::pin(stream);
    Box::pin(futures_util::stream::unfold(Some(stream), move |running| async move {
        let mut stream = running?;
        let next = match deadline {
            None => stream.next().await,
            Some((at, given)) => match tokio::time::timeout_at(at, stream.next()).await {
                Ok(next) => next,
                Err(_) => Some(Err(late(given))),
            },
        };
        match next? {
            Ok(message) => Some((Ok(message), Some(stream))),
            Err(status) => Some((Err(status), None)),
        }
    }))
}

fn late(given: Duration) -> Status {
    let message = format!("the stream did not end within {given:?}, which was its deadline");
    Trouble::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message)
        .fact("deadline_ms", given.as_millis().to_string())
        .retry_after(Duration::ZERO)
        .into()
}

/// Cuts a book into several of a size that every client takes.
pub(super) fn in_portions(book: proto::EventBook) -> Vec<proto::EventBook> {
    let proto::EventBook { cover, snapshot, pages, next_sequence } = book;
    let of = |pages| proto::EventBook { cover: cover.clone(), snapshot: None, pages, next_sequence };
    let mut books = Vec::new();
    let (mut portion, mut bytes) = (Vec::new(), 0);
    for page in pages {
        let size = page.encoded_len();
        if !portion.is_empty() && (bytes + size > BOOK_BYTES || portion.len() >= BOOK_PAGES) {
            books.push(of(std::mem::take(&mut portion)));
            bytes = 0;
        }
        bytes += size;
        portion.push(page);
    }
    if !portion.is_empty() || books.is_empty() {
        books.push(of(portion));
    }
    books[0].snapshot = snapshot;
    books
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(bytes: usize) -> proto::EventPage {
        let event = prost_types::Any { type_url: "type.googleapis.com/a.B".to_owned(), value: vec![0; bytes] };
        proto::EventPage { payload: Some(proto::event_page::Payload::Event(event)), ..Default::default() }
    }

    #[test]
    fn a_book_is_cut_where_it_would_be_too_large_and_loses_nothing() {
        let sizes = [10, BOOK_BYTES, 10, BOOK_BYTES / 2, BOOK_BYTES / 2];
        let book = proto::EventBook {
            snapshot: Some(proto::Snapshot::default()),
            pages: sizes.map(page).to_vec(),
            next_sequence: 7,
            ..Default::default()
        };
        let cut = in_portions(book.clone());
        assert_eq!(cut.iter().map(|it| it.pages.len()).collect::<Vec<_>>(), [1, 1, 2, 1]);
        assert_eq!(cut.iter().map(|it| it.snapshot.is_some()).collect::<Vec<_>>(), [true, false, false, false]);
        assert!(cut.iter().all(|it| it.next_sequence == 7));
        assert_eq!(cut.into_iter().flat_map(|it| it.pages).collect::<Vec<_>>(), book.pages);
    }

    #[test]
    fn an_empty_book_is_one_book() {
        assert_eq!(in_portions(proto::EventBook { next_sequence: 3, ..Default::default() }).len(), 1);
    }
}
