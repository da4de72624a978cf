//! Storage in a PostgreSQL database that several processes share.
//!
//! In: writes and questions. Out: the promises of [`Storage`], whichever process asks. Never: a decision that rests on what
//! another process may have changed, or a position that appears late.
//!
//! One connection writes, one transaction after the other; those of other processes wait for its commit, in the database
//! (`schema_2.sql`, `begin_write`). So positions are given in the order of the commits. Questions have connections of
//! their own and wait for nobody.

mod answers;
mod branches;
mod codec;
mod connect;
mod error;
mod holder;
mod leases;
mod news;
mod plan;
mod read_model;
mod reader;
mod schema;
mod settings;
mod statements;
#[cfg(test)]
pub(crate) mod tests;
mod tls;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use uuid::Uuid;

pub(crate) use self::read_model::ReadModelSource;

use self::connect::{Connector, Role};
use self::error::{failed, unavailable, unknown, while_doing};
use self::holder::Holders;
use self::news::News;
use self::reader::{Reader, Readers};
use self::settings::Settings;
use self::writer::{Job, Writer};
use super::encoding::encode_resolution;
use super::{
    Answers, BoxFuture, Dedup, EditionInfo, Intent, IntentFilter, IntentId, Leases, OpenBatch, Storage, StorageError,
    StorageErrorKind, StorageFuture, StreamFilter, StreamInfo, StreamRead, StreamSlice, Write, WriteError, Written,
};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::stream::{LogEvent, StoredSnapshot, StreamKey};

/// A question is asked again for about this long while the server is out of reach: it changes nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a store that is dropped may take for what it was given.
const LAST_WRITES: Duration = Duration::from_secs(30);

/// Storage in a PostgreSQL database: where it is and how it is to be run. Nothing is opened before the runtime is built.
///
/// The URL is as libpq has it, with one option more: `schema=NAME`, so that several programs, tenants or tests may share a
/// database; `angzarr` if nothing is said. The schema is created if it does not exist. `sslmode` may be `disable`, `prefer`,
/// `require`, `verify-ca` and `verify-full`, `sslrootcert` names a file with those who may sign the server's certificate;
/// without it those count that this machine trusts. `sslcert` and `sslkey` name the certificate that the server is shown, and its
/// key. All of them are PEM files.
///
/// Any number of processes may run on one schema. Their writes wait for each other in the server; a session behind a pooler
/// that gives out connections by transaction does not work.
///
/// ```
/// use angzarr_runtime::storage::Postgres;
/// let shop = Postgres::connect("postgres://shop:secret@db.example/shop?sslmode=verify-full").schema("shop");
/// ```
#[derive(Clone, Debug)]
pub struct Postgres {
    /// Or what is wrong with the URL; it is told when the store is opened, with every other mistake.
    settings: Result<Settings, String>,
}

impl Postgres {
    /// The database at `url`. It must exist.
    pub fn connect(url: impl AsRef<str>) -> Self {
        Self { settings: Settings::parse(url.as_ref()) }
    }

    /// By URL, or what is wrong with it.
    pub(crate) fn by_url(url: &str) -> Result<Self, String> {
        Settings::parse(url).map(|settings| Self { settings: Ok(settings) })
    }

    /// The schema within the database.
    #[must_use]
    pub fn schema(self, name: impl AsRef<str>) -> Self {
        Self { settings: self.settings.and_then(|it| it.in_schema(name.as_ref())) }
    }

    /// How long a write waits for a transaction of somebody else that holds it back, before it fails and names that
    /// transaction; 10 seconds if nothing is said. A writer that stops in the middle, because its process is suspended or
    /// cut off, holds up others for as long at most.
    #[must_use]
    pub fn lock_patience(mut self, patience: Duration) -> Self {
        if let Ok(settings) = &mut self.settings {
            settings.lock_patience = patience;
        }
        self
    }

    /// What it will be, for logs and `config`, without the password.
    pub(crate) fn describe(&self) -> String {
        match &self.settings {
            Ok(settings) => settings.describe(),
            Err(problem) => format!("postgres with an address that cannot be used: {problem}"),
        }
    }

    async fn connector(self) -> Result<Connector, StorageError> {
        let settings = self.settings.map_err(|problem| failed(format!("the URL cannot be used: {problem}")))?;
        Connector::new(settings).await
    }

    /// Brings the schema up to date and starts the task that writes.
    pub(crate) async fn start(self) -> Result<PostgresStorage, StorageError> {
        self.open(false).await
    }

    /// Connects for questions only: for tools that look into the store of a program that runs. Every write is answered with
    /// an error.
    pub(crate) async fn start_read_only(self) -> Result<PostgresStorage, StorageError> {
        self.open(true).await
    }

    async fn open(self, read_only: bool) -> Result<PostgresStorage, StorageError> {
        let connector = self.connector().await?;
        let home = Home::new()?;
        let opening = home.spawn(open(connector, read_only, home.writes()));
        let (mut storage, tasks) = opening.await.map_err(ended_early)??;
        storage.home = Some(home);
        *storage.tasks.lock() = tasks;
        Ok(storage)
    }
}

/// Within the store's own runtime.
async fn open(connector: Connector, read_only: bool, writes: Handle) -> Result<(PostgresStorage, Tasks), StorageError> {
    let settings = connector.settings.clone();
    let mut client = connector.connect(Role::Asks { read_only }).await?;
    if read_only {
        schema::check(&client, &settings).await?;
    } else {
        schema::migrate(&mut client, &settings).await?;
    }
    let (id, lock_key) = schema::identity(&client, &settings).await?;
    let readers = Readers::new(connector.pool(Role::Asks { read_only })?);
    let head = client.query_one("SELECT newest_position()", &[]).await.map_err(while_doing("cannot read the head"))?;
    let head: i64 = head.try_get(0).map_err(while_doing("cannot read the head"))?;
    let news = News::new(head.max(0) as u64);
    let holders = Holders::new(connector.pool(Role::Asks { read_only })?, settings.lock_patience);
    let mut tasks = Tasks::default();
    let mut jobs = None;
    if !read_only {
        let opening = Writer::open(connector.clone(), lock_key, news.clone(), holders.clone());
        let writer = writes.spawn(opening).await.map_err(ended_early)??;
        let (sender, receiver) = mpsc::unbounded_channel();
        tasks.writer = Some(writes.spawn(writer.run(receiver)));
        jobs = Some(sender);
    }
    tasks.news = Some(tokio::spawn(news.clone().follow(connector, lock_key)).abort_handle());
    let ending = if read_only { " (read only)" } else { "" };
    let storage = PostgresStorage {
        description: format!("{}{ending}", settings.describe()),
        id,
        news,
        holders,
        readers,
        jobs: RwLock::new(jobs),
        tasks: Mutex::default(),
        home: None,
    };
    Ok((storage, tasks))
}

/// The runtimes of the store itself: callers come from runtimes that may end, or stand still, at any time. What is written, and the
/// connection that it goes through, have a thread of their own, so that a commit goes from hand to hand on one processor.
#[derive(Debug)]
struct Home(Option<Threads>);

#[derive(Debug)]
struct Threads {
    asks: tokio::runtime::Runtime,
    writes: tokio::runtime::Runtime,
}

impl Home {
    fn new() -> Result<Self, StorageError> {
        let threads = |count, name: &str| {
            let built = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(count)
                .thread_name(name)
                .enable_all()
                .build();
            built.map_err(|error| failed(format!("cannot start the threads of the store: {error}")))
        };
        Ok(Self(Some(Threads { asks: threads(2, "angzarr-pg-asks")?, writes: threads(1, "angzarr-pg-write")? })))
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        match &self.0 {
            Some(threads) => threads.asks.spawn(work),
            // Taken only while it is dropped.
            None => tokio::spawn(work),
        }
    }

    fn writes(&self) -> Handle {
        match &self.0 {
            Some(threads) => threads.writes.handle().clone(),
            None => Handle::current(),
        }
    }
}

impl Threads {
    fn end(self) {
        self.asks.shutdown_background();
        self.writes.shutdown_background();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // It may be dropped where nobody may wait.
        if let Some(threads) = self.0.take() {
            threads.end();
        }
    }
}

#[derive(Debug, Default)]
struct Tasks {
    writer: Option<JoinHandle<()>>,
    news: Option<AbortHandle>,
}

/// An open store. Dropping it ends the task that writes after what was already given to it.
pub(crate) struct PostgresStorage {
    description: String,
    id: Uuid,
    news: Arc<News>,
    holders: Arc<Holders>,
    readers: Readers,
    /// `None` once closed, and where it is open for questions only.
    jobs: RwLock<Option<mpsc::UnboundedSender<Job>>>,
    tasks: Mutex<Tasks>,
    home: Option<Home>,
}

impl std::fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStorage").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Drop for PostgresStorage {
    fn drop(&mut self) {
        *self.jobs.write() = None;
        let Tasks { writer, news } = std::mem::take(&mut *self.tasks.lock());
        if let Some(news) = news {
            news.abort();
        }
        let (Some(writer), Some(mut home)) = (writer, self.home.take()) else { return };
        if writer.is_finished() {
            return;
        }
        let Some(threads) = home.0.take() else { return };
        // Somebody has to wait for it, and it cannot be whoever drops this.
        let waits = std::thread::Builder::new().name("angzarr-postgres-end".to_owned()).spawn(move || {
            let ended = threads.asks.block_on(async { tokio::time::timeout(LAST_WRITES, writer).await });
            if !matches!(ended, Ok(Ok(()))) {
                tracing::warn!("the last writes of a store were not finished; nothing that was acknowledged is lost");
            }
            threads.end();
        });
        if let Err(error) = waits {
            tracing::warn!(%error, "the last writes of a store cannot be waited for");
        }
    }
}

const CLOSED: &str = "the store is closed, or open for questions only; nothing was written";

fn ended_early(error: tokio::task::JoinError) -> StorageError {
    failed(format!("a task of the store ended early ({error}); this is a bug"))
}

/// The task ended before it answered: the database may hold the write or not.
fn writer_ended() -> StorageError {
    unknown("the store ended before it answered; whether the write is stored shows when the stream is read")
}

impl PostgresStorage {
    /// Gives the task that writes a job; back if there is none.
    fn send(&self, job: Job) -> Result<(), Job> {
        match &*self.jobs.read() {
            Some(jobs) => jobs.send(job).map_err(|error| error.0),
            None => Err(job),
        }
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
    ) -> StorageFuture<'_, T> {
        let Some(home) = &self.home else { return Box::pin(async { Err(unavailable("the store is closed")) }) };
        let task = home.spawn(work);
        Box::pin(async move { task.await.map_err(ended_early)? })
    }

    /// Asks, again if the connection was lost: a question changes nothing.
    fn read<T, F>(&self, question: impl Fn(Reader) -> F + Send + Sync + 'static) -> StorageFuture<'_, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StorageError>> + Send,
    {
        let readers = self.readers.clone();
        self.spawn(async move {
            let ask = async || question(readers.reader().await?).await;
            let pauses = ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(20))
                .with_max_delay(Duration::from_secs(1))
                .with_total_delay(Some(PATIENCE))
                .without_max_times();
            ask.retry(pauses).when(|error| error.kind == StorageErrorKind::Unavailable && !readers.is_closed()).await
        })
    }
}

impl Storage for PostgresStorage {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn id(&self) -> Uuid {
        self.id
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn answers(&self) -> Option<&dyn Answers> {
        Some(self)
    }

    fn commit(&self, batch: Vec<Write>) -> BoxFuture<'_, Vec<Result<Written, WriteError>>> {
        let count = batch.len();
        // Sent before the future is polled for the first time: an answer that nobody waits for changes nothing.
        let (answer, outcomes) = oneshot::channel();
        let sent = self.send(Job::Commit { batch, answer }).is_ok();
        Box::pin(async move {
            let all = |error: StorageError| (0..count).map(|_| Err(error.clone().into())).collect();
            match sent {
                true => outcomes.await.unwrap_or_else(|_| all(writer_ended())),
                false => all(unavailable(CLOSED)),
            }
        })
    }

    fn commit_open(&self, batch: OpenBatch) -> BoxFuture<'_, ()> {
        let (done, end) = oneshot::channel();
        if let Err(Job::CommitOpen { batch, .. }) = self.send(Job::CommitOpen { batch, done }) {
            batch.answer(Err(unavailable(CLOSED)));
        }
        Box::pin(async move {
            // However the job ended, its batch was answered.
            let _ended = end.await;
        })
    }

    fn read_stream<'a>(&'a self, key: &'a StreamKey, read: StreamRead) -> StorageFuture<'a, StreamSlice> {
        let asked = Arc::new((key.clone(), read));
        self.read(move |mut reader| {
            let asked = asked.clone();
            async move { reader.stream(&asked.0, &asked.1).await }
        })
    }

    fn find_duplicate<'a>(&'a self, key: &'a StreamKey, dedup: &'a Dedup) -> StorageFuture<'a, Option<Written>> {
        let asked = Arc::new((key.clone(), dedup.clone()));
        self.read(move |reader| {
            let asked = asked.clone();
            async move { reader.duplicate(&asked.0, &asked.1).await }
        })
    }

    fn dedup_keys<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<(Dedup, Written)>> {
        let key = Arc::new(key.clone());
        self.read(move |reader| {
            let key = key.clone();
            async move { reader.dedup_keys(&key).await }
        })
    }

    fn read_log(&self, after: u64, limit: usize, bytes: usize) -> StorageFuture<'_, Vec<LogEvent>> {
        self.read(move |mut reader| async move { reader.log(after, limit, bytes).await })
    }

    fn head(&self) -> u64 {
        self.news.head()
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.news.of_others())
    }

    fn held_up(&self) -> Option<String> {
        self.holders.now().map(|holder| format!("writes wait for {holder}"))
    }

    fn read_correlation<'a>(&'a self, correlation_id: &'a str) -> StorageFuture<'a, Vec<LogEvent>> {
        let correlation_id: Arc<str> = correlation_id.into();
        self.read(move |mut reader| {
            let correlation_id = correlation_id.clone();
            async move { reader.correlation(&correlation_id).await }
        })
    }

    fn read_wait(&self, wait: Uuid, after: u64) -> StorageFuture<'_, Vec<LogEvent>> {
        self.read(move |mut reader| async move { reader.wait(wait, after).await })
    }

    fn streams<'a>(
        &'a self,
        filter: &'a StreamFilter,
        after: Option<&'a StreamKey>,
        limit: usize,
    ) -> StorageFuture<'a, Vec<StreamInfo>> {
        let asked = Arc::new((filter.clone(), after.cloned()));
        self.read(move |reader| {
            let asked = asked.clone();
            async move { reader.streams(&asked.0, asked.1.as_ref(), limit).await }
        })
    }

    fn editions(&self) -> StorageFuture<'_, Vec<EditionInfo>> {
        self.read(|reader| async move { reader.editions().await })
    }

    fn domains(&self) -> StorageFuture<'_, Vec<String>> {
        self.read(|reader| async move { reader.domains().await })
    }

    fn snapshots<'a>(&'a self, key: &'a StreamKey) -> StorageFuture<'a, Vec<StoredSnapshot>> {
        let key = Arc::new(key.clone());
        self.read(move |mut reader| {
            let key = key.clone();
            async move { reader.snapshots(&key).await }
        })
    }

    fn checkpoint<'a>(&'a self, subscriber: &'a str) -> StorageFuture<'a, Option<u64>> {
        let subscriber: Arc<str> = subscriber.into();
        self.read(move |reader| {
            let subscriber = subscriber.clone();
            async move { reader.checkpoint(&subscriber).await }
        })
    }

    fn intents<'a>(&'a self, filter: &'a IntentFilter) -> StorageFuture<'a, Vec<Intent>> {
        let filter = Arc::new(filter.clone());
        self.read(move |reader| {
            let filter = filter.clone();
            async move { reader.intents(&filter).await }
        })
    }

    fn intent(&self, id: IntentId) -> StorageFuture<'_, Option<Intent>> {
        self.read(move |reader| async move { reader.intent(id).await })
    }

    fn dead_letters<'a>(&'a self, filter: &'a DeadLetterFilter) -> StorageFuture<'a, Vec<DeadLetter>> {
        let filter = Arc::new(filter.clone());
        self.read(move |reader| {
            let filter = filter.clone();
            async move { reader.dead_letters(&filter).await }
        })
    }

    fn dead_letter(&self, id: DeadLetterId) -> StorageFuture<'_, Option<DeadLetter>> {
        self.read(move |reader| async move { reader.dead_letter(id).await })
    }

    fn parked_streams<'a>(&'a self, component: &'a str) -> StorageFuture<'a, Vec<StreamKey>> {
        let component: Arc<str> = component.into();
        self.read(move |reader| {
            let component = component.clone();
            async move { reader.parked_streams(&component).await }
        })
    }

    fn oldest_parked<'a>(&'a self, component: &'a str, stream: &'a StreamKey) -> StorageFuture<'a, Option<DeadLetter>> {
        let asked = Arc::new((component.to_owned(), stream.clone()));
        self.read(move |reader| {
            let asked = asked.clone();
            async move { reader.oldest_parked(&asked.0, &asked.1).await }
        })
    }

    fn resolve_dead_letter(&self, id: DeadLetterId, resolution: Resolution) -> StorageFuture<'_, bool> {
        if self.jobs.read().is_none() {
            return Box::pin(async { Err(unavailable(CLOSED)) });
        }
        let readers = self.readers.clone();
        self.spawn(async move {
            let reader = readers.reader().await?;
            let (resolution, at, reason) = encode_resolution(Some(&resolution));
            reader.resolve(id, resolution, at, reason).await
        })
    }

    fn close(&self) -> StorageFuture<'_, ()> {
        *self.jobs.write() = None;
        let Tasks { writer, news } = std::mem::take(&mut *self.tasks.lock());
        Box::pin(async move {
            let ended = match writer {
                Some(writer) => writer.await.map_err(ended_early),
                None => Ok(()),
            };
            if let Some(news) = news {
                news.abort();
            }
            self.readers.close();
            self.holders.close();
            ended
        })
    }
}
