//! Storage in one SQLite file.
//!
//! In: writes and questions. Out: the promises of [`Storage`], on disk. Never: two processes that write one file, or a
//! write that a reader waits for.
//!
//! One connection writes, one transaction after the other. Readers have connections of their own and see what was
//! committed when they began (write-ahead log).

mod branches;
mod codec;
mod error;
mod lock;
mod open;
mod reader;
mod schema;
mod statements;
#[cfg(test)]
mod tests;
mod transaction;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::oneshot;
use uuid::Uuid;

use self::error::{failed, unknown};
use self::reader::Readers;
use self::writer::{Job, WriterThread};
use super::{
    BoxFuture, Dedup, EditionInfo, Intent, IntentFilter, IntentId, OpenBatch, Storage, StorageError, StorageFuture,
    StreamFilter, StreamInfo, StreamRead, StreamSlice, Write, WriteError, Written,
};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::stream::{LogEvent, StoredSnapshot, StreamKey};

/// What a command's acknowledgement is worth after a loss of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It was answered after its commit was on disk.
    #[default]
    Durable,
    /// It may be lost with the last moments before the power went. The end of the process alone loses nothing, and the
    /// file stays consistent in either case.
    Relaxed,
}

/// Storage in one SQLite file: where it is and how it is to be run. Nothing is opened before the runtime is built.
///
/// ```
/// use angzarr_runtime::storage::Sqlite;
/// let durable = Sqlite::open("bank.db");
/// let faster = Sqlite::open("bank.db").relaxed().cache_bytes(256 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sqlite {
    path: PathBuf,
    durability: Durability,
    cache_bytes: u64,
}

impl Sqlite {
    /// The file at `path`; it is created if it does not exist. Its directory must exist.
    ///
    /// Beside it SQLite keeps `<path>-wal` and `<path>-shm`, and the runtime `<path>.lock`.
    pub fn open(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), durability: Durability::default(), cache_bytes: 64 << 20 }
    }

    /// When a command is answered.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Short for [`Durability::Relaxed`].
    #[must_use]
    pub fn relaxed(self) -> Self {
        self.durability(Durability::Relaxed)
    }

    /// Bytes of pages that may be kept in memory: half of them for the writer, half for the readers together. 64 MiB if
    /// nothing is said.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Removes the database and its log, to begin anew. What is not there is no error.
    ///
    /// # Errors
    /// A process runs on it, or the files cannot be removed.
    pub fn remove(&self) -> Result<(), StorageError> {
        open::remove(self)
    }

    /// What it will be, for logs and `config`.
    pub(crate) fn describe(&self) -> String {
        let durability = match self.durability {
            Durability::Durable => "durable",
            Durability::Relaxed => "relaxed",
        };
        format!("sqlite {} ({durability})", self.path.display())
    }

    /// The URL that says the same, if one can.
    pub(crate) fn url(&self) -> Option<String> {
        let durability = match self.durability {
            Durability::Durable => "",
            Durability::Relaxed => "?durability=relaxed",
        };
        let path = self.path.to_str().filter(|path| !path.contains('?') && !path.starts_with("//"))?;
        Some(format!("sqlite:{path}{durability}"))
    }

    /// Takes the lock, brings the schema up to date and starts the thread that writes.
    pub(crate) async fn start(self) -> Result<SqliteStorage, StorageError> {
        blocking(move || {
            let opened = open::for_writing(&self)?;
            let head = Arc::new(AtomicU64::new(opened.head));
            let readers = Readers::new(opened.path.clone(), self.cache_bytes / 2);
            let (description, id) = (self.describe(), opened.id);
            let writer = WriterThread::start(opened, head.clone())?;
            let (readers, writer) = (Arc::new(readers), RwLock::new(Some(writer)));
            Ok(SqliteStorage { description, id, head, readers, watches: false, writer })
        })
        .await
    }

    /// Opens the file for questions only, without the lock: for tools that look into the store of a process that runs.
    /// Every write is answered with an error.
    pub(crate) async fn start_read_only(self) -> Result<SqliteStorage, StorageError> {
        blocking(move || {
            let (path, head, id) = open::for_reading(&self)?;
            Ok(SqliteStorage {
                description: format!("sqlite {} (read only)", self.path.display()),
                id,
                head: Arc::new(AtomicU64::new(head)),
                readers: Arc::new(Readers::new(path, self.cache_bytes / 2)),
                watches: true,
                writer: RwLock::new(None),
            })
        })
        .await
    }
}

/// An open store. Dropping it ends the writing thread after what was already given to it, and frees the lock.
#[derive(Debug)]
pub(crate) struct SqliteStorage {
    description: String,
    id: Uuid,
    head: Arc<AtomicU64>,
    readers: Arc<Readers>,
    /// Open for questions only: another process writes.
    watches: bool,
    /// `None` once closed, and where the file is open for questions only.
    writer: RwLock<Option<WriterThread>>,
}

impl SqliteStorage {
    /// Gives the writing thread a job.
    fn send(&self, job: Job) {
        match &*self.writer.read() {
            Some(writer) => writer.send(job),
            None => job.refuse("the store is closed, or open for questions only; nothing was written"),
        }
    }

    fn read<'a, T: Send + 'static>(
        &'a self,
        question: impl FnOnce(&mut reader::Reader<'_>) -> Result<T, StorageError> + Send + 'static,
    ) -> StorageFuture<'a, T> {
        let readers = self.readers.clone();
        Box::pin(async move {
            // In a task of its own: whoever keeps this future without polling it must not keep a turn that others wait for.
            let asking = tokio::spawn(async move {
                let turn = readers.turn().await?;
                blocking(move || {
                    let _turn = turn;
                    readers.ask(question)
                })
                .await
            });
            let _ends = Unwanted(asking.abort_handle());
            asking.await.map_err(ended_early)?
        })
    }
}

/// Ends a question that nobody waits for any more, if it has not begun.
struct Unwanted(tokio::task::AbortHandle);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn ended_early(error: tokio::task::JoinError) -> StorageError {
    failed(format!("a thread of the store ended early ({error}); this is a bug"))
}

/// Runs what waits for a disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ended_early(error)),
    }
}

/// The thread ended before it answered: the file may hold the write or not.
fn thread_ended() -> StorageError {
    unknown("the store ended before it answered; whether the write is stored shows when the stream is read")
}

impl Storage for SqliteStorage {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn id(&self) -> Uuid {
        self.id
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>> {
        if let Some(outcome) = self.writer.read().as_ref().and_then(|writer| writer.commit_here(&batch)) {
            return Box::pin(std::future::ready(vec![outcome]));
        }
        let count = batch.len();
        // Sent before the future is polled for the first time: an answer that nobody waits for changes nothing.
        let (answer, outcomes) = oneshot::channel();
        self.send(Job::Commit { batch, answer });
        Box::pin(async move {
            let outcomes = outcomes.await.unwrap_or_else(|_| Err(thread_ended()));
            outcomes.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone().into())).collect())
        })
    }

    fn commit_open(&self, batch: OpenBatch) -> BoxFuture<'_, ()> {
        let (done, end) = oneshot::channel();
        self.send(Job::CommitOpen { batch, done });
        Box::pin(async move {
            // However the job ended, its batch was answered.
            let _ended = end.await;
        })
    }

    fn read_stream<'a>(&'a self, key: &'a StreamKey, read: StreamRead) -> StorageFuture<'a, StreamSlice> {
        if let Some(answer) = self.readers.ask_here(|reader| reader.short_stream(key, &read)) {
            return Box::pin(std::future::ready(answer));
        }
        let key = key.clone();
        self.read(move |reader| reader.stream(&key, &read))
    }

    fn find_duplicate<'a>(&'a self, key: &'a StreamKey, dedup: &'a Dedup) -> StorageFuture<'a, Option<Written>> {
        if let Some(answer) = self.readers.ask_here(|reader| reader.duplicate(key, dedup).map(Some)) {
            return Box::pin(std::future::ready(answer));
        }
        let (key, dedup) = (key.clone(), dedup.clone());
        self.read(move |reader| reader.duplicate(&key, &dedup))
    }

    fn dedup_keys<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<(Dedup, Written)>> {
        let key = key.clone();
        self.read(move |reader| reader.dedup_keys(&key))
    }

    fn read_log(&self, after: u64, limit: usize, bytes: usize) -> StorageFuture<'_, Vec<LogEvent>> {
        self.read(move |reader| reader.log(after, limit, bytes))
    }

    fn head(&self) -> u64 {
        if self.watches {
            // Somebody else writes. If the question cannot be asked at once, the last answer is as old as any other.
            if let Some(Ok(head)) = self.readers.ask_here(|reader| reader.head().map(Some)) {
                self.head.fetch_max(head, Ordering::AcqRel);
            }
        }
        self.head.load(Ordering::Acquire)
    }

    fn read_correlation<'a>(&'a self, correlation_id: &'a str) -> StorageFuture<'a, Vec<LogEvent>> {
        let correlation_id = correlation_id.to_owned();
        self.read(move |reader| reader.correlation(&correlation_id))
    }

    fn streams<'a>(
        &'a self,
        filter: &'a StreamFilter,
        after: Option<&'a StreamKey>,
        limit: usize,
    ) -> StorageFuture<'a, Vec<StreamInfo>> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.read(move |reader| reader.streams(&filter, after.as_ref(), limit))
    }

    fn editions(&self) -> StorageFuture<'_, Vec<EditionInfo>> {
        self.read(|reader| reader.editions())
    }

    fn domains(&self) -> StorageFuture<'_, Vec<String>> {
        self.read(|reader| reader.domains())
    }

    fn snapshots<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<StoredSnapshot>> {
        let key = key.clone();
        self.read(move |reader| reader.snapshots(&key))
    }

    fn checkpoint<'a>(&'a self, subscriber: &'a str) -> StorageFuture<'a, Option<u64>> {
        let subscriber = subscriber.to_owned();
        self.read(move |reader| reader.checkpoint(&subscriber))
    }

    fn intents<'a>(&'a self, filter: &'a IntentFilter) -> StorageFuture<'a, Vec<Intent>> {
        let filter = filter.clone();
        self.read(move |reader| reader.intents(&filter))
    }

    fn intent(&self, id: IntentId) -> StorageFuture<'_, Option<Intent>> {
        self.read(move |reader| reader.intent(id))
    }

    fn dead_letters<'a>(&'a self, filter: &'a DeadLetterFilter) -> StorageFuture<'a, Vec<DeadLetter>> {
        let filter = filter.clone();
        self.read(move |reader| reader.dead_letters(&filter))
    }

    fn dead_letter(&self, id: DeadLetterId) -> StorageFuture<'_, Option<DeadLetter>> {
        self.read(move |reader| reader.dead_letter(id))
    }

    fn parked_streams<'a>(&'a self, component: &'a str) -> StorageFuture<'a, Vec<StreamKey>> {
        let component = component.to_owned();
        self.read(move |reader| reader.parked_streams(&component))
    }

    fn oldest_parked<'a>(&'a self, component: &'a str, stream: &'a StreamKey) -> StorageFuture<'a, Option<DeadLetter>> {
        let (component, stream) = (component.to_owned(), stream.clone());
        self.read(move |reader| reader.oldest_parked(&component, &stream))
    }

    fn resolve_dead_letter(&self, id: DeadLetterId, resolution: Resolution) -> StorageFuture<'_, bool> {
        let (answer, outcome) = oneshot::channel();
        self.send(Job::Resolve { id, resolution, answer });
        Box::pin(async move { outcome.await.unwrap_or_else(|_| Err(thread_ended())) })
    }

    fn close(&self) -> StorageFuture<'_, ()> {
        let writer = self.writer.write().take();
        let readers = self.readers.clone();
        Box::pin(blocking(move || {
            readers.close();
            writer.map_or(Ok(()), WriterThread::close)
        }))
    }
}
