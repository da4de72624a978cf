//! Storage: the one place where truth lives.
//!
//! In: atomic [`Write`]s and questions. Out: stored events, in order. Never: handlers, folding, upcasting; a backend
//! neither knows what an aggregate is nor decodes a payload.
//!
//! A backend is a folder here and an implementation of [`Storage`]; the promises stand on the trait's methods and
//! `testing::storage_contract!` proves them line by line.

mod answer;
mod batch;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod encoding;
mod error;
mod group_commit;
mod intent;
mod lease;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod write;

pub(crate) use group_commit::Writer;

pub use answer::{Answer, Answers};
pub use batch::OpenBatch;
pub use error::{StorageError, StorageErrorKind};
pub use intent::{Intent, IntentFilter, IntentId, IntentKind, Settle};
pub use lease::{Lease, Leases};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, Sqlite};
pub use write::{
    Append, Dedup, EditionDiscard, Extras, NewEvent, SnapshotWrite, StreamMerge, Write, WriteError, Written,
};

use tokio::sync::watch;
use uuid::Uuid;

use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::stream::{LogEvent, Name, Nanos, StoredEvent, StoredSnapshot, StreamKey};

/// A future in a box, as object-safe traits need it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Shorthand for what most methods of [`Storage`] return.
pub type StorageFuture<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// Where events, snapshots, checkpoints, intents and dead letters are kept.
///
/// # The promises of every backend
/// 1. A [`Write`] is atomic: all of it is stored or nothing.
/// 2. When [`commit`](Self::commit) answers `Ok` for a write, the write survives a crash (as far as the backend's
///    chosen durability goes).
/// 3. One write that fails never fails its neighbours in the batch; the outcomes come in the order of the batch.
/// 4. A stream is gapless: an append whose `expected` is not the stream's next sequence is a
///    [`WriteError::Conflict`] and stores nothing.
/// 5. A dedup key is stored at most once per stream: a second append with it is a [`WriteError::Duplicate`] that tells
///    which events the first one stored.
/// 6. Positions grow strictly in commit order; once a reader saw position *n*, no event with a smaller position appears
///    later (row R4), and no position is ever given twice. Where events were discarded, a hole stays that readers skip.
/// 7. Nothing is ever changed or removed, but snapshots as their retention says, dead letters' resolutions, intents that
///    are settled, replaced or taken back, answers, and what belongs to an edition that is discarded (row B5). The main timeline
///    is never discarded.
/// 8. An intent is carried out by one write: a second one that settles it is a [`WriteError::Settled`] and stores nothing.
pub trait Storage: Send + Sync + 'static {
    /// What this is, for logs and `config`: `memory`, `sqlite bank.db (durable)`.
    fn describe(&self) -> String;

    /// Who this store is: made once with it and never changed, however often it is opened. Two stores never share one. A
    /// read model remembers whose events it holds, so that it is not mistaken for that of another store.
    fn id(&self) -> Uuid;

    /// Whether [`commit_now`](Self::commit_now) commits: then a command need not become a task that waits.
    fn commits_now(&self) -> bool {
        false
    }

    /// The next sequence of a stream, where the backend knows it without waiting; `None` where it would have to look.
    fn next_sequence_now(&self, _key: &StreamKey) -> Option<u32> {
        None
    }

    /// Commits without waiting, for backends that can; gives the write back otherwise.
    ///
    /// # Errors
    /// `Err(write)` hands the write back untouched: it has to go through [`commit`](Self::commit).
    #[allow(clippy::result_large_err)]
    fn commit_now(&self, write: Write) -> Result<Result<Written, WriteError>, Write> {
        Err(write)
    }

    /// Commits a batch in one transaction, with one outcome for each write (promises 1 to 5).
    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>>;

    /// The same for a batch that others may join while the store works on it, and that the store answers by itself, where
    /// it stands. A store that does not override this gets the batch as a whole, by [`commit`](Self::commit).
    fn commit_open(&self, mut batch: OpenBatch) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let writes = batch.close().await;
            batch.answer(Ok(self.commit(writes).await));
        })
    }

    /// Reads one stream. A stream that does not exist reads as empty, with `next_sequence` 0.
    fn read_stream<'a>(&'a self, key: &'a StreamKey, read: StreamRead) -> StorageFuture<'a, StreamSlice>;

    /// What the first append with this dedup key on this stream stored, if there was one.
    fn find_duplicate<'a>(&'a self, key: &'a StreamKey, dedup: &'a Dedup) -> StorageFuture<'a, Option<Written>>;

    /// The dedup keys of a stream and what each stored, in order of the key.
    fn dedup_keys<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<(Dedup, Written)>>;

    /// Events of the whole store with position > `after`, in order, isolated ones included: at most `limit`, and no more
    /// once their payloads have `bytes` together, so that large events do not fill the memory. If there is an event and
    /// `limit` is not 0, at least one comes.
    fn read_log(&self, after: u64, limit: usize, bytes: usize) -> StorageFuture<'_, Vec<LogEvent>>;

    /// The newest position that a reader may see, whether its event is still there or was discarded; 0 for an empty store.
    /// It never goes back, not even with another process. Cheap: asked after every commit.
    fn head(&self) -> u64;

    /// Tells when somebody else than this store's own commits has moved the head: another process on the same database.
    /// `None` where nobody else can. What is told may come late or be left out; who waits for it looks now and then as well.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// What writers wait for at the moment, if somebody else holds them back: who that is, so that an operator can end it
    /// (row R4).
    fn held_up(&self) -> Option<String> {
        None
    }

    /// Every event with this correlation id, in order of position (row I4).
    fn read_correlation<'a>(&'a self, correlation_id: &'a str) -> StorageFuture<'a, Vec<LogEvent>>;

    /// Every event with the mark of this wait behind a position, in order of position (rows S4, R5). Asked only where there are
    /// [`answers`](Self::answers).
    fn read_wait(&self, _wait: Uuid, _after: u64) -> StorageFuture<'_, Vec<LogEvent>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Streams that match, in order of their key, after `after`, at most `limit`: those with events, and if the filter says
    /// so those with nothing but dedup keys, whose next sequence is 0.
    fn streams<'a>(
        &'a self,
        filter: &'a StreamFilter,
        after: Option<&'a StreamKey>,
        limit: usize,
    ) -> StorageFuture<'a, Vec<StreamInfo>>;

    /// The editions that have streams with events, by name, the main timeline left out.
    fn editions(&self) -> StorageFuture<'_, Vec<EditionInfo>>;

    /// The domains that have streams, in order.
    fn domains(&self) -> StorageFuture<'_, Vec<String>>;

    /// The snapshots of a stream, oldest first.
    fn snapshots<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<StoredSnapshot>>;

    /// Where a subscriber stands; `None` if it never stored a checkpoint.
    fn checkpoint<'a>(&'a self, subscriber: &'a str) -> StorageFuture<'a, Option<u64>>;

    /// Intents that match, in order of their due time, then of when they were stored. One that was replaced counts as
    /// stored anew.
    fn intents<'a>(&'a self, filter: &'a IntentFilter) -> StorageFuture<'a, Vec<Intent>>;

    /// One intent.
    fn intent(&self, id: IntentId) -> StorageFuture<'_, Option<Intent>>;

    /// Dead letters that match, oldest first.
    fn dead_letters<'a>(&'a self, filter: &'a DeadLetterFilter) -> StorageFuture<'a, Vec<DeadLetter>>;

    /// One dead letter.
    fn dead_letter(&self, id: DeadLetterId) -> StorageFuture<'_, Option<DeadLetter>>;

    /// The streams of whose events a component has open letters, in order of their key.
    fn parked_streams<'a>(&'a self, component: &'a str) -> StorageFuture<'a, Vec<StreamKey>>;

    /// Of a component's open letters with events of a stream the one with the earliest event.
    fn oldest_parked<'a>(&'a self, component: &'a str, stream: &'a StreamKey) -> StorageFuture<'a, Option<DeadLetter>>;

    /// Marks an open dead letter as resolved; `false` if it does not exist or is no longer open.
    fn resolve_dead_letter(&self, id: DeadLetterId, resolution: Resolution) -> StorageFuture<'_, bool>;

    /// How several processes that share this store agree on who does what (row R5); `None` for a store that one process has to
    /// itself.
    fn leases(&self) -> Option<&dyn Leases> {
        None
    }

    /// How several processes that share this store tell each other what became of a command that somebody waits for (rows S3, S4,
    /// R5); `None` for a store that one process has to itself. Such a store gets no [`Extras::answers`] and no marked events.
    fn answers(&self) -> Option<&dyn Answers> {
        None
    }

    /// Finishes what is under way and releases files and locks. Called once, after the last write.
    fn close(&self) -> StorageFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Which part of a stream to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRead {
    /// First sequence; ignored where a snapshot says more.
    pub from: u32,
    /// Last sequence, inclusive; `None` for the head.
    pub to: Option<u32>,
    /// Only events with `created_at` ≤ this.
    pub until: Option<Nanos>,
    /// Start from the newest snapshot that has this state type and version and holds nothing from after the point
    /// (rows N4, N6, T2); events then start behind it.
    pub snapshot: Option<(Name, u32)>,
}

impl StreamRead {
    /// Whether a snapshot of this sequence and time may serve this read (row T2). One from before `from` may not: it
    /// would leave a hole.
    pub(crate) fn admits(&self, sequence: u32, created_at: Nanos) -> bool {
        sequence.checked_add(1).is_some_and(|next| next >= self.from)
            && self.to.is_none_or(|to| sequence <= to)
            && self.until.is_none_or(|until| created_at <= until)
    }

    /// The whole stream, no snapshot.
    pub fn all() -> Self {
        Self::default()
    }
}

/// A stream, or the part of it that was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamSlice {
    /// The snapshot to start from, if one was asked for and fits.
    pub snapshot: Option<StoredSnapshot>,
    /// Sequence of a newer snapshot that would fit, but is of another state type or version (row N4).
    pub foreign_snapshot: Option<u32>,
    /// The events, in order.
    pub events: Vec<StoredEvent>,
    /// Next sequence of the whole stream, whatever part was read; 0 for a stream without events.
    pub next_sequence: u32,
    /// `created_at` of the last event of the whole stream; 0 without one.
    pub last_created_at: Nanos,
    /// Where a stream of an edition left the main timeline (row B1); `None` on main and where nothing is stored.
    pub diverged_at: Option<u32>,
}

/// A line of the list of streams.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    /// The stream.
    pub key: StreamKey,
    /// Its next sequence.
    pub next_sequence: u32,
    /// When its last event was accepted.
    pub last_created_at: Nanos,
    /// Where a stream of an edition left the main timeline; `None` on main.
    pub diverged_at: Option<u32>,
}

/// Which streams to list. The default lists every one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamFilter {
    /// Only of this domain.
    pub domain: Option<String>,
    /// Only of this edition; the empty name is the main timeline.
    pub edition: Option<String>,
    /// Also streams that have no events, but dedup keys.
    pub without_events: bool,
}

impl StreamFilter {
    /// Streams of one domain, on every timeline.
    pub fn domain(domain: impl Into<String>) -> Self {
        Self { domain: Some(domain.into()), ..Self::default() }
    }
}

/// An edition that has streams of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditionInfo {
    /// Its name.
    pub name: Name,
    /// How many streams have events there.
    pub streams: u64,
    /// How many events they have there; those before their divergence are of the main timeline.
    pub events: u64,
}

/// The storage that a URL names.
#[cfg_attr(not(feature = "sqlite"), allow(unused_variables))]
pub(crate) fn by_url(url: &str) -> Result<Box<dyn crate::runtime::OpenStorage>, String> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    match scheme {
        "memory" => Ok(Box::new(Memory::new())),
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            if path.is_empty() {
                return Err(format!("`{url}` names no file; write `sqlite:bank.db`"));
            }
            let sqlite = Sqlite::open(path);
            match query {
                "" | "durability=durable" => Ok(Box::new(sqlite)),
                "durability=relaxed" => Ok(Box::new(sqlite.relaxed())),
                _ => Err(format!("`{query}` is no option of `sqlite:`; write `?durability=relaxed` or nothing")),
            }
        }
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(Box::new(Postgres::by_url(url)?)),
        // It may hold a password.
        #[cfg(not(feature = "postgres"))]
        "postgres" | "postgresql" => {
            Err("this build has no PostgreSQL: switch on the feature `postgres` of angzarr-runtime".to_owned())
        }
        _ => Err(format!(
            "`{url}` is no storage of this build; write `memory:` or `sqlite:FILE`, or `postgres://HOST/DATABASE`"
        )),
    }
}
