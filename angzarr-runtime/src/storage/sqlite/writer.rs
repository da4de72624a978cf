//! Who writes: the caller itself where that is quick, otherwise a thread.
//!
//! In: batches of writes. Out: their outcomes, after the commit. Never: two transactions at the same time, or a caller's
//! thread that waits for a slow disk or another program.
//!
//! A write alone is committed where its caller runs: handing it to a thread and being woken by it would take as long as
//! the commit itself on a fast disk, and longer still where nothing has to be on disk. Batches, and everything while
//! the disk is slow, go to the thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SendError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::{OpenBatch, StorageError, Write};
use super::error::{failed, unavailable, while_doing};
use super::lock::Lock;
use super::open::{Opened, PATIENCE};
use super::transaction::{Outcome, Writer, log_pages};
use crate::dead_letter::{DeadLetterId, Resolution};

/// How long the thread stays awake for the next job: waking it up takes longer than a caller needs to come back.
const AWAKE: Duration = Duration::from_micros(20);
/// A commit that took longer than this was too long for a caller's thread.
const QUICK: Duration = Duration::from_millis(1);
/// Writes that go to the thread after that, before a caller tries again.
const CAUTION: u32 = 32;
/// A larger write takes too long for a caller's thread, whatever the disk.
const SMALL_EVENTS: usize = 16;
const SMALL_BYTES: usize = 64 * 1_024;
/// Pages in the log before they are moved into the database: 16 MiB. Pages that change again and again are moved once.
const LOG_PAGES: u32 = 4_000;
/// Pages in the log from which on writers wait for it to be moved: 48 MiB. The disk does not keep up otherwise.
const LONGEST_LOG_PAGES: u32 = 12_000;
/// How long writers wait for readers to leave a log of that many pages. Pages do not tell who reads for long: a quick writer
/// is thousands of them ahead of somebody who looks at a few rows.
const READERS_PATIENCE: Duration = Duration::from_millis(200);
/// Pages that are moved while nobody may write.
const LAST_PAGES: u32 = 256;

pub(super) enum Job {
    Commit { batch: Vec<Write>, answer: oneshot::Sender<Result<Vec<Outcome>, StorageError>> },
    CommitOpen { batch: OpenBatch, done: oneshot::Sender<()> },
    Resolve { id: DeadLetterId, resolution: Resolution, answer: oneshot::Sender<Result<bool, StorageError>> },
}

impl Job {
    /// Answers a job that was not begun. Whoever does not wait any more does not mind.
    pub(super) fn refuse(self, why: &str) {
        let error = unavailable(why);
        match self {
            Self::Commit { answer, .. } => drop(answer.send(Err(error))),
            Self::CommitOpen { batch, .. } => batch.answer(Err(error)),
            Self::Resolve { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// What callers and threads share.
#[derive(Debug)]
struct Shared {
    writer: Mutex<Writer>,
    head: Arc<AtomicU64>,
    /// Jobs that the thread was given and has not finished: what comes later must not overtake them.
    queued: AtomicUsize,
    /// Writes that still go to the thread because the disk was slow.
    caution: AtomicU32,
    /// The other thread was told to move the log.
    moving: AtomicBool,
    /// The log is so long that writers wait for it.
    overlong: AtomicBool,
    /// Pages in the log from which on readers are waited for.
    restart_at: AtomicU32,
}

/// The writer with its threads. Dropping it waits until they have done what they were given, and freed the lock: whoever
/// opens the file next must not find it taken by what is already gone.
#[derive(Debug)]
pub(super) struct WriterThread {
    shared: Option<Arc<Shared>>,
    jobs: Option<Sender<Job>>,
    mover: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    lock: Option<Lock>,
}

impl WriterThread {
    pub(super) fn start(opened: Opened, head: Arc<AtomicU64>) -> Result<Self, StorageError> {
        let Opened { connection, second, lock, head: last_position, .. } = opened;
        let writer = Mutex::new(Writer::new(connection, last_position)?);
        let shared = Arc::new(Shared {
            writer,
            head,
            queued: AtomicUsize::new(0),
            caution: AtomicU32::new(0),
            moving: AtomicBool::new(false),
            overlong: AtomicBool::new(false),
            restart_at: AtomicU32::new(LONGEST_LOG_PAGES),
        });
        let (jobs, queue) = channel();
        let (mover, moves) = channel();
        let mut this = Self {
            shared: Some(shared.clone()),
            jobs: Some(jobs),
            mover: Some(mover.clone()),
            threads: Vec::new(),
            lock: Some(lock),
        };
        let for_moves = shared.clone();
        this.spawn("angzarr-sqlite-log", move || {
            while let Ok(()) = moves.recv() {
                move_log(&for_moves, &second);
                // In this order: a commit that finds the log too long meanwhile either is seen here, or asks again.
                for_moves.moving.store(false, Ordering::Release);
                for_moves.overlong.store(false, Ordering::Release);
            }
        })?;
        this.spawn("angzarr-sqlite", move || run(&shared, &queue, &mover))?;
        Ok(this)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StorageError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        self.threads.push(thread.map_err(|error| failed(format!("cannot start a thread of the store: {error}")))?);
        Ok(())
    }

    /// Commits a write that comes alone where the caller runs, if that is quick and nothing else waits.
    pub(super) fn commit_here(&self, batch: &[Write]) -> Option<Outcome> {
        let (Some(shared), Some(mover), [write]) = (&self.shared, &self.mover, batch) else { return None };
        if !is_small(write) || shared.queued.load(Ordering::Acquire) > 0 || shared.overlong.load(Ordering::Acquire) {
            return None;
        }
        let caution = shared.caution.load(Ordering::Relaxed);
        if caution > 0 {
            shared.caution.store(caution - 1, Ordering::Relaxed);
            return None;
        }
        let mut writer = shared.writer.try_lock()?;
        let start = Instant::now();
        let outcome = writer.commit_unless_busy(write, PATIENCE);
        if start.elapsed() > QUICK {
            shared.caution.store(CAUTION, Ordering::Relaxed);
        }
        shared.committed(&mut writer, mover);
        outcome
    }

    pub(super) fn send(&self, job: Job) {
        const GONE: &str = "the thread that writes has ended; nothing was written. Restart the process";
        let (Some(shared), Some(jobs)) = (&self.shared, &self.jobs) else { return job.refuse(GONE) };
        shared.queued.fetch_add(1, Ordering::AcqRel);
        if let Err(SendError(job)) = jobs.send(job) {
            job.refuse(GONE);
        }
    }

    pub(super) fn close(mut self) -> Result<(), StorageError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), StorageError> {
        self.jobs = None;
        self.mover = None;
        // A thread cannot wait for its own end; it ends by itself then.
        let own = std::thread::current().id();
        let others = self.threads.drain(..).filter(|thread| thread.thread().id() != own);
        let panicked = others.map(JoinHandle::join).filter(Result::is_err).count();
        let closed = match self.shared.take().and_then(Arc::into_inner) {
            Some(shared) => close(shared.writer.into_inner().into_connection()),
            None => Ok(()),
        };
        self.lock = None;
        if panicked > 0 {
            return Err(failed("a thread of the store had panicked; this is a bug"));
        }
        closed
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the store did not close well; nothing that was acknowledged is lost");
        }
    }
}

impl Shared {
    /// A job of the thread: one transaction of everything that comes.
    fn commit(
        &self,
        mover: &Sender<()>,
        next: impl FnMut() -> Option<Vec<Write>>,
    ) -> Result<Vec<Outcome>, StorageError> {
        self.wait_for_log();
        let outcomes = {
            let mut writer = self.writer.lock();
            let outcomes = writer.commit(next);
            self.committed(&mut writer, mover);
            outcomes
        };
        self.queued.fetch_sub(1, Ordering::AcqRel);
        outcomes
    }

    /// After a commit: shows it to readers, and sees to the log.
    fn committed(&self, writer: &mut Writer, mover: &Sender<()>) {
        self.head.store(writer.head(), Ordering::Release);
        let Some(pages) = writer.look_at_log().filter(|pages| *pages >= LOG_PAGES) else { return };
        if pages >= LONGEST_LOG_PAGES {
            self.overlong.store(true, Ordering::Release);
        }
        if !self.moving.swap(true, Ordering::AcqRel) {
            let _ = mover.send(()); // fails only while everything ends
        }
    }

    /// Waits while the log is too long and on its way into the database.
    fn wait_for_log(&self) {
        while self.overlong.load(Ordering::Acquire) && self.moving.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

fn run(shared: &Shared, jobs: &Receiver<Job>, mover: &Sender<()>) {
    while let Some(job) = next(jobs) {
        match job {
            Job::Commit { batch, answer } => {
                let mut batch = Some(batch);
                let outcomes = shared.commit(mover, || batch.take());
                // Nobody waits: the caller was cancelled. What is stored is stored.
                let _ = answer.send(outcomes);
            }
            Job::CommitOpen { mut batch, done } => {
                let outcomes = shared.commit(mover, || batch.next_writes());
                // Callers are answered from here: waking somebody up who then wakes them up would take as long again.
                let _ = done.send(());
                batch.answer(outcomes);
            }
            Job::Resolve { id, resolution, answer } => {
                let resolved = shared.writer.lock().resolve(id, &resolution);
                shared.queued.fetch_sub(1, Ordering::AcqRel);
                let _ = answer.send(resolved);
            }
        }
    }
}

fn next(jobs: &Receiver<Job>) -> Option<Job> {
    let start = Instant::now();
    loop {
        match jobs.try_recv() {
            Ok(job) => return Some(job),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if start.elapsed() < AWAKE => std::hint::spin_loop(),
            Err(TryRecvError::Empty) => return jobs.recv().ok(),
        }
    }
}

/// Moves the log into the database, nearly all of it while others write. Only when all of it is moved does the log start
/// anew instead of growing, and that takes a moment in which nobody writes; so the last few pages are moved in one. Readers
/// that are in the log at that moment keep it from starting anew, too: where that has happened too often, they are waited for.
fn move_log(shared: &Shared, second: &Connection) {
    const MOVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
    let moved = || -> rusqlite::Result<()> {
        let mut left = u32::MAX;
        for _ in 0..4 {
            second.query_row(MOVE, [], log_pages)?;
            let before = left;
            left = second.query_row("PRAGMA wal_checkpoint(NOOP)", [], log_pages)?;
            if left <= LAST_PAGES || left >= before {
                break;
            }
        }
        let writer = shared.writer.lock();
        let connection = writer.connection();
        let pages = connection.query_row(MOVE, [], |row| row.get::<_, u32>(1))?;
        if pages < LONGEST_LOG_PAGES {
            shared.restart_at.store(LONGEST_LOG_PAGES, Ordering::Relaxed);
            return Ok(());
        }
        if pages < shared.restart_at.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Readers that are in the middle of something leave it, and whoever begins to read then reads the database.
        connection.busy_timeout(READERS_PATIENCE)?;
        let restarted = connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0));
        connection.busy_timeout(PATIENCE)?;
        let is_busy = restarted?;
        if is_busy {
            // The same reader is not waited for with every move.
            shared.restart_at.store(pages.saturating_add(LONGEST_LOG_PAGES), Ordering::Relaxed);
            tracing::warn!(
                pages,
                "the log of the store grows: somebody has been reading for long, another program perhaps"
            );
        }
        Ok(())
    };
    if let Err(error) = moved() {
        tracing::warn!(%error, "the log could not be moved into the database; it grows until that succeeds");
    }
}

/// Leaves one file behind where nobody else reads it.
fn close(connection: Connection) -> Result<(), StorageError> {
    // If this fails the log stays, which loses nothing.
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::debug!(%error, "the log could not be moved into the database at its end");
    }
    connection.close().map_err(|(_, error)| while_doing("cannot close the database")(error))
}

fn is_small(write: &Write) -> bool {
    let events = write.append.as_ref().map_or(0, |append| append.events.len());
    let extras = write.extras.as_ref().map_or(0, |extras| {
        if !(extras.merges.is_empty() && extras.discards.is_empty()) {
            return SMALL_EVENTS + 1; // nobody knows how much that is
        }
        let appended: usize = extras.appends.iter().map(|it| it.events.len()).sum();
        let ends = extras.settles.len() + extras.withdraws.len();
        appended
            + extras.snapshots.len()
            + extras.checkpoints.len()
            + extras.dead_letters.len()
            + extras.intents.len()
            + ends
    });
    events + extras <= SMALL_EVENTS && write.bytes() <= SMALL_BYTES
}
