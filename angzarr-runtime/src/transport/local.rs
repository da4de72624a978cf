//! Subscribers and consumers of the same process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{Consumer, Delivery, Publication, Transport, TransportError, TransportErrorKind};
use crate::storage::BoxFuture;

/// Wakes the subscribers of this process, and carries events to its consumers if it is told to.
#[derive(Debug)]
pub struct Local {
    head: watch::Sender<u64>,
    anybody: AtomicBool,
    carries_events: bool,
    mailboxes: Mutex<Vec<Mailbox>>,
}

/// A consumer that is this many messages behind misses what comes now.
const MAILBOX: usize = 1_024;
/// And so does one for which this many bytes are kept.
const MAILBOX_BYTES: usize = 8 << 20;

/// Where messages for one consumer wait.
#[derive(Debug)]
struct Mailbox {
    messages: mpsc::Sender<Publication>,
    bytes: Arc<AtomicUsize>,
}

impl Local {
    /// A transport within this process. It only wakes: whoever shares a process with the store reads the log itself, and
    /// that is cheaper than having it brought.
    pub fn new() -> Self {
        Self {
            head: watch::Sender::new(0),
            anybody: AtomicBool::new(false),
            carries_events: false,
            mailboxes: Mutex::default(),
        }
    }

    /// One that also carries events, as a broker would: to run against in development and in tests what runs against a
    /// broker later. Nothing is kept for those who do not listen, and of a consumer that is too slow the newest messages are
    /// dropped; a [`Feed`](super::Feed) reads them from the store.
    pub fn carrying_events() -> Self {
        Self { carries_events: true, ..Self::new() }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Mailbox {
    /// Whether there is still somebody who reads it.
    fn offer(&self, publication: &Publication) -> bool {
        let bytes = publication.bytes();
        if self.bytes.load(Ordering::Acquire).saturating_add(bytes) > MAILBOX_BYTES && !self.is_empty() {
            return !self.messages.is_closed();
        }
        // Before it can be taken out.
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        match self.messages.try_send(publication.clone()) {
            Ok(()) => true,
            Err(error) => {
                self.bytes.fetch_sub(bytes, Ordering::AcqRel);
                matches!(error, mpsc::error::TrySendError::Full(_))
            }
        }
    }

    /// A message that is larger than a whole mailbox gets through an empty one.
    fn is_empty(&self) -> bool {
        self.messages.capacity() == self.messages.max_capacity()
    }
}

impl Transport for Local {
    fn describe(&self) -> String {
        if self.carries_events { "local, carrying events" } else { "local" }.to_owned()
    }

    fn announce(&self, position: u64) {
        if self.anybody.load(Ordering::Acquire) {
            self.head.send_if_modified(|head| {
                let newer = position > *head;
                *head = position.max(*head);
                newer
            });
        }
    }

    fn listen(&self) -> watch::Receiver<u64> {
        self.anybody.store(true, Ordering::Release);
        self.head.subscribe()
    }

    fn carries_events(&self) -> bool {
        self.carries_events
    }

    fn publish<'a>(&'a self, batch: &'a [Publication]) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async {
            let mut mailboxes = self.mailboxes.lock();
            mailboxes.retain(|mailbox| batch.iter().all(|publication| mailbox.offer(publication)));
            Ok(())
        })
    }

    fn consume<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        if !self.carries_events {
            return Box::pin(async { Err(TransportError::only_wakes(self.describe())) });
        }
        let (messages, receiver) = mpsc::channel(MAILBOX);
        let bytes = Arc::new(AtomicUsize::new(0));
        self.mailboxes.lock().push(Mailbox { messages, bytes: bytes.clone() });
        let consumer: Box<dyn Consumer> = Box::new(LocalConsumer { receiver, bytes });
        Box::pin(std::future::ready(Ok(consumer)))
    }
}

struct LocalConsumer {
    receiver: mpsc::Receiver<Publication>,
    bytes: Arc<AtomicUsize>,
}

impl Consumer for LocalConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(async {
            let Some(publication) = self.receiver.recv().await else {
                return Err(TransportError::new(TransportErrorKind::Unavailable, "local", "the transport has gone"));
            };
            self.bytes.fetch_sub(publication.bytes(), Ordering::AcqRel);
            // Nothing comes again here: there is nothing to acknowledge.
            Ok(Delivery { publication, tag: 0 })
        })
    }

    fn acknowledge(&mut self, _tag: u64) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Headers, LogEvent, StoredEvent, StreamKey};
    use uuid::Uuid;

    fn publication(position: u64, bytes: usize) -> Publication {
        let event = StoredEvent {
            position,
            sequence: 0,
            created_at: 0,
            type_name: "test.It".into(),
            schema_version: 1,
            payload: vec![0; bytes].into(),
            headers: Headers::default(),
            isolated: false,
        };
        let event = LogEvent { stream: StreamKey::main("test", Uuid::nil()), event };
        Publication { store: Uuid::nil(), follows: position - 1, event }
    }

    async fn positions(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<u64> {
        let mut positions = Vec::new();
        for _ in 0..count {
            positions.push(consumer.next().await.unwrap().publication.event.event.position);
        }
        assert!(futures_util::FutureExt::now_or_never(consumer.next()).is_none(), "and no more");
        positions
    }

    #[tokio::test]
    async fn r7_a_slow_consumer_misses_messages_and_takes_no_more_memory() {
        let local = Local::carrying_events();
        let (mut slow, other) = (local.consume("slow").await.unwrap(), local.consume("other").await.unwrap());
        let many: Vec<_> = (1..=3 * MAILBOX as u64).map(|n| publication(n, 10)).collect();
        local.publish(&many).await.unwrap();
        assert_eq!(positions(&mut slow, MAILBOX).await, (1..=MAILBOX as u64).collect::<Vec<_>>());
        // One that is larger than a whole mailbox comes alone.
        let large: Vec<_> = (1..=3).map(|n| publication(n, MAILBOX_BYTES)).collect();
        local.publish(&large).await.unwrap();
        assert_eq!(positions(&mut slow, 1).await, [1]);
        local.publish(&[publication(9, MAILBOX_BYTES / 2), publication(10, MAILBOX_BYTES / 2)]).await.unwrap();
        assert_eq!(positions(&mut slow, 1).await, [9]);
        local.publish(&[publication(11, 10)]).await.unwrap();
        assert_eq!(positions(&mut slow, 1).await, [11], "there is room again");
        drop((slow, other));
        local.publish(&[publication(12, 10)]).await.unwrap();
        assert!(local.mailboxes.lock().is_empty(), "nothing is kept for those who have gone");
    }
}
