//! Who writes: one task for each process, one transaction after the other.
//!
//! In: batches of writes. Out: their outcomes, after the commit. Never: a refusal from memory, which another process may have
//! outdated; or an answer that only a lost connection knows.
//!
//! What this process has written last, it remembers. A batch that fits goes to the server as one statement, which refuses it
//! if somebody else has written since. Then, and wherever something has to be known first, the batch gets a transaction that
//! keeps others from writing, looks, and stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::super::{OpenBatch, StorageError, StorageErrorKind, Write, WriteError};
use super::connect::Connector;
use super::error::{
    BACKEND, concerns_all, failed, is_held_up, is_lost, is_outdated, unavailable, unknown, while_doing,
};
use super::holder::{self, Holders};
use super::news::News;
use super::plan::{Facts, Known, Map, NeedsFacts, Outcome, Plan, Types};
use super::statements::{End, EventAt, Newest, Session};
use crate::stream::{Name, StreamKey};

/// Streams whose end is remembered, so that most writes need no read.
const STREAMS: usize = 65_536;
/// Batches that are decided under the lock after another process was faster, before one goes without again.
const CAUTION: u32 = 16;
/// How long a batch is tried again while the server is out of reach.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two attempts to connect.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Writes and bytes in one transaction.
const MOST_WRITES: usize = 4_096;
const MOST_BYTES: usize = 64 << 20;

pub(super) enum Job {
    Commit { batch: Vec<Write>, answer: oneshot::Sender<Vec<Outcome>> },
    CommitOpen { batch: OpenBatch, done: oneshot::Sender<()> },
}

pub(super) struct Writer {
    connector: Connector,
    lock_key: i32,
    session: Option<Session>,
    memory: Memory,
    news: Arc<News>,
    holders: Arc<Holders>,
}

/// What the store holds, so that it need not be asked.
struct Memory {
    streams: quick_cache::unsync::Cache<StreamKey, Known>,
    types: Types,
    /// `None` if it has to be asked.
    newest: Option<Newest>,
    caution: u32,
}

impl Memory {
    fn forget(&mut self) {
        self.streams.clear();
        self.newest = None;
    }
}

/// A batch was not stored, or nobody knows.
enum Failure {
    /// Nothing was stored, because the connection was lost.
    Lost(StorageError),
    /// Nothing was stored, and any other write would have failed as well.
    All(StorageError),
    /// Nothing was stored. It was one write's own fault.
    One(StorageError),
    /// It may be stored or not.
    Unclear(StorageError),
}

/// What a try without the lock came to.
enum Quick {
    Stored(Vec<Outcome>),
    /// Something has to be known first.
    Locked,
}

impl Writer {
    /// With a connection, whose driver runs where this is called.
    pub(super) async fn open(
        connector: Connector,
        lock_key: i32,
        news: Arc<News>,
        holders: Arc<Holders>,
    ) -> Result<Self, StorageError> {
        let session = Session::open(&connector, lock_key).await?;
        let memory = Memory {
            streams: quick_cache::unsync::Cache::new(STREAMS),
            types: Types::default(),
            newest: None,
            caution: 0,
        };
        Ok(Self { connector, lock_key, session: Some(session), memory, news, holders })
    }

    /// Works until nobody can send a job any more and all are done.
    pub(super) async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        while let Some(job) = jobs.recv().await {
            match job {
                Job::Commit { batch, answer } => {
                    let outcomes = self.commit(&batch).await;
                    // Nobody waits: the caller was cancelled. What is stored is stored.
                    let _ = answer.send(outcomes);
                }
                Job::CommitOpen { mut batch, done } => {
                    let writes = batch.close_at_half();
                    let outcomes = self.commit(&writes).await;
                    // Callers are answered from here: waking somebody up who then wakes them up would take as long again.
                    let _ = done.send(());
                    batch.answer(Ok(outcomes));
                }
            }
        }
    }

    async fn commit(&mut self, writes: &[Write]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(writes.len());
        while outcomes.len() < writes.len() {
            let rest = &writes[outcomes.len()..];
            let part = &rest[..part_of(rest)];
            outcomes.extend(self.commit_part(part).await);
        }
        outcomes
    }

    /// One transaction; several only if one of the writes cannot be stored.
    async fn commit_part(&mut self, writes: &[Write]) -> Vec<Outcome> {
        let start = Instant::now();
        loop {
            let failure = match self.try_commit(writes).await {
                Ok(outcomes) => return outcomes,
                Err(failure) => failure,
            };
            let error = match failure {
                Failure::Lost(_) if start.elapsed() < PATIENCE => continue,
                Failure::One(error) if writes.len() > 1 => {
                    tracing::warn!(%error, writes = writes.len(), "a write failed inside a batch; trying one by one");
                    let mut outcomes = Vec::with_capacity(writes.len());
                    for write in writes {
                        outcomes.extend(Box::pin(self.commit_part(std::slice::from_ref(write))).await);
                    }
                    return outcomes;
                }
                Failure::Lost(error) | Failure::All(error) | Failure::One(error) | Failure::Unclear(error) => error,
            };
            return writes.iter().map(|_| Err(WriteError::Storage(error.clone()))).collect();
        }
    }

    async fn try_commit(&mut self, writes: &[Write]) -> Result<Vec<Outcome>, Failure> {
        self.connect().await?;
        self.learn_types(writes).await?;
        let is_special = writes.iter().any(is_special);
        if !is_special && self.memory.caution == 0 {
            match self.try_quick(writes).await? {
                Quick::Stored(outcomes) => return Ok(outcomes),
                Quick::Locked => {}
            }
        }
        self.commit_locked(writes, is_special).await
    }

    /// One statement, decided from memory.
    async fn try_quick(&mut self, writes: &[Write]) -> Result<Quick, Failure> {
        let (Some(newest), Some(session)) = (self.memory.newest, &self.session) else { return Ok(Quick::Locked) };
        let mut streams = Map::default();
        let mut all_known = true;
        each_stream(writes, |key| {
            if all_known && !streams.contains_key(key) {
                match self.memory.streams.get(key) {
                    Some(known) => drop(streams.insert(key.clone(), Some(*known))),
                    None => all_known = false,
                }
            }
        });
        if !all_known {
            return Ok(Quick::Locked);
        }
        let mut plan = Plan::new(streams, &self.memory.types, None, newest.position, newest.stream);
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            match plan.decide(write) {
                Ok(Ok(written)) => outcomes.push(Ok(written)),
                // Another process may know better: whoever is refused is refused under the lock.
                _ => return Ok(Quick::Locked),
            }
        }
        if plan.rows.is_empty() {
            return Ok(Quick::Stored(outcomes));
        }
        let stored = holder::watched(&self.holders, session.pid, session.store(&plan, newest.version)).await;
        match stored {
            Ok(version) => {
                let memory = plan.into_known();
                self.stored(memory, version);
                Ok(Quick::Stored(outcomes))
            }
            Err(error) if is_outdated(&error) => {
                drop(plan);
                self.memory.forget();
                self.memory.caution = CAUTION;
                Ok(Quick::Locked)
            }
            Err(error) if is_lost(&error) => {
                let (first, repeatable, position) =
                    (first_event(&plan, writes), plan.rows.is_repeatable(), plan.position());
                drop(plan);
                self.find_out(error, first, repeatable).await?;
                self.news.committed(position);
                Ok(Quick::Stored(outcomes))
            }
            Err(error) => {
                drop(plan);
                self.memory.forget();
                Err(self.refused(error))
            }
        }
    }

    /// A transaction that keeps others from writing from its first statement on.
    async fn commit_locked(&mut self, writes: &[Write], is_special: bool) -> Result<Vec<Outcome>, Failure> {
        let known = self.memory.newest.take();
        self.memory.newest = None;
        let Some(session) = &self.session else { return Err(Failure::Lost(unavailable("there is no connection"))) };
        let newest = match holder::watched(&self.holders, session.pid, session.lock()).await {
            Ok(newest) => newest,
            Err(error) => return Err(self.not_begun(error).await),
        };
        match known {
            Some(known) if known.version == newest.version => {
                self.memory.caution = self.memory.caution.saturating_sub(1);
            }
            // Somebody else has written.
            Some(_) => {
                self.memory.streams.clear();
                self.memory.caution = CAUTION;
            }
            None => self.memory.streams.clear(),
        }
        let (streams, facts) = match look(session, writes).await {
            Ok(found) => found,
            Err(error) => return Err(self.not_looked(error).await),
        };
        let mut plan = Plan::new(streams, &self.memory.types, Some(&facts), newest.position, newest.stream);
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            let decided = plan.decide(write);
            outcomes.push(decided.unwrap_or_else(|NeedsFacts| {
                Err(failed("a write could not be decided although all is known; this is a bug of the store").into())
            }));
        }
        let all_refused = outcomes.iter().all(Result::is_err);
        if all_refused || (plan.rows.is_empty() && !is_special) {
            drop(plan);
            let ended = session.end(End::Rollback).await;
            if ended.is_err() {
                self.session = None;
            } else {
                self.memory.newest = Some(newest);
            }
            return Ok(outcomes);
        }
        let storing = async {
            if is_special {
                let version = super::branches::store(session, &mut plan, writes, newest.version).await?;
                session.end(End::Commit).await.map(|()| version)
            } else {
                // Both are on their way at once; if the first one fails, the second one ends what was begun.
                let (stored, committed) =
                    futures_util::future::join(session.store(&plan, newest.version), session.end(End::Commit)).await;
                stored.and_then(|version| committed.map(|()| version))
            }
        };
        let stored = holder::watched(&self.holders, session.pid, storing).await;
        match stored {
            Ok(version) => {
                let has_discards =
                    writes.iter().filter_map(|it| it.extras.as_deref()).any(|it| !it.discards.is_empty());
                let memory = plan.into_known();
                self.stored(memory, version);
                if has_discards {
                    self.memory.streams.clear();
                }
                if writes.iter().filter_map(|it| it.extras.as_deref()).any(|it| !it.answers.is_empty()) {
                    self.news.answered();
                }
                Ok(outcomes)
            }
            Err(error) if is_lost(&error) => {
                let (first, position) = (first_event(&plan, writes), plan.position());
                let repeatable = plan.rows.is_repeatable() && !is_special;
                drop(plan);
                self.find_out(error, first, repeatable).await?;
                self.news.committed(position);
                Ok(outcomes)
            }
            Err(error) => {
                drop(plan);
                self.memory.forget();
                // Where it is over already, this does nothing.
                if session.end(End::Rollback).await.is_err() {
                    self.session = None;
                }
                Err(self.refused(error))
            }
        }
    }

    fn stored(&mut self, known: (Map<StreamKey, Option<Known>>, u64, i64), version: i64) {
        let (streams, position, stream) = known;
        for (key, known) in streams {
            let Some(known) = known else { continue };
            match self.memory.streams.get_mut(&key) {
                Some(mut stored) => *stored = known,
                None => self.memory.streams.insert(key, known),
            }
        }
        self.memory.newest = Some(Newest { version, position, stream });
        self.news.committed(position);
    }

    /// The transaction could not begin.
    async fn not_begun(&mut self, error: tokio_postgres::Error) -> Failure {
        if is_lost(&error) {
            self.session = None;
            return Failure::Lost(while_doing("not stored")(error));
        }
        if let Some(session) = &self.session
            && session.end(End::Rollback).await.is_err()
        {
            self.session = None;
        }
        self.refused(error)
    }

    async fn not_looked(&mut self, error: StorageError) -> Failure {
        let ended = match &self.session {
            Some(session) => session.end(End::Rollback).await.is_ok(),
            None => false,
        };
        if ended && error.kind != StorageErrorKind::Unavailable {
            return Failure::One(error);
        }
        self.session = None;
        Failure::Lost(error)
    }

    /// The server has said no.
    fn refused(&self, error: tokio_postgres::Error) -> Failure {
        if is_held_up(&error) {
            return Failure::All(self.holders.held_up_too_long());
        }
        match concerns_all(&error) {
            true => Failure::All(while_doing("not stored")(error)),
            false => Failure::One(while_doing("not stored")(error)),
        }
    }

    /// The connection was lost while a batch was being stored. Its first event tells whether it was; before that is looked
    /// at, what may still be on its way is made to be refused.
    async fn find_out(
        &mut self,
        error: tokio_postgres::Error,
        first: Option<(u64, EventAt)>,
        repeatable: bool,
    ) -> Result<(), Failure> {
        self.session = None;
        self.memory.forget();
        let error = while_doing("the connection was lost during a commit")(error);
        if repeatable {
            return Err(Failure::Lost(error));
        }
        let unclear = |why: &dyn std::fmt::Display| Failure::Unclear(unknown(format!("{}; {why}", error.message)));
        let Some((position, event)) = first else {
            return Err(unclear(&"whether it is stored shows when what it was about is read"));
        };
        if let Err(Failure::Lost(error) | Failure::All(error)) = self.connect().await {
            return Err(unclear(&format_args!("and afterwards {}", error.message)));
        }
        let Some(session) = &self.session else { return Err(unclear(&"there is no connection")) };
        match session.fence(position).await {
            Ok(Some(found)) if found == event => Ok(()),
            Ok(_) => Err(Failure::Lost(error)),
            Err(error) => {
                self.session = None;
                Err(unclear(&format_args!("and afterwards {}", error.message)))
            }
        }
    }

    /// Waits for a connection, if there is none.
    async fn connect(&mut self) -> Result<(), Failure> {
        if self.session.as_ref().is_some_and(|it| !it.is_closed()) {
            return Ok(());
        }
        self.session = None;
        self.memory.forget();
        let (start, mut pause) = (Instant::now(), SHORTEST_PAUSE);
        loop {
            let error = match Session::open(&self.connector, self.lock_key).await {
                Ok(session) => {
                    self.session = Some(session);
                    return Ok(());
                }
                Err(error) => error,
            };
            if error.kind != StorageErrorKind::Unavailable || start.elapsed() > PATIENCE {
                return Err(Failure::All(error));
            }
            tracing::warn!(%error, "writes wait for the server");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn learn_types(&mut self, writes: &[Write]) -> Result<(), Failure> {
        let mut missing: Vec<(&Name, u32)> = Vec::new();
        let mut need = |name, version| {
            if self.memory.types.get(name, version).is_none() && !missing.contains(&(name, version)) {
                missing.push((name, version));
            }
        };
        for write in writes {
            let extras = write.extras.as_deref();
            for append in write.append.iter().chain(extras.into_iter().flat_map(|it| &it.appends)) {
                append.events.iter().for_each(|it| need(&it.type_name, it.schema_version));
            }
            for it in extras.into_iter().flat_map(|it| &it.snapshots) {
                need(&it.snapshot.type_name, it.snapshot.state_version);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let Some(session) = &self.session else { return Err(Failure::Lost(unavailable("there is no connection"))) };
        match session.add_types(&missing).await {
            Ok(found) => {
                found.into_iter().for_each(|(name, version, id)| self.memory.types.insert(name, version, id));
                Ok(())
            }
            // The driver of the connection may not have noticed yet.
            Err(error) if error.kind == StorageErrorKind::Unavailable => {
                self.session = None;
                Err(Failure::Lost(error))
            }
            Err(error) => Err(Failure::One(StorageError { backend: BACKEND, ..error })),
        }
    }
}

/// What has to be known to decide about writes.
async fn look(session: &Session, writes: &[Write]) -> Result<(Map<StreamKey, Option<Known>>, Facts), StorageError> {
    let mut streams: Map<StreamKey, Option<Known>> = Map::default();
    let mut keys = Vec::new();
    each_stream(writes, |key| {
        if !streams.contains_key(key) {
            streams.insert(key.clone(), None);
            keys.push(key.clone());
        }
    });
    let (found, facts) = futures_util::future::try_join(
        async { if keys.is_empty() { Ok(Vec::new()) } else { session.find_streams(&keys).await } },
        session.find_facts(writes),
    )
    .await?;
    for (place, known) in found {
        if let Some(key) = keys.get(place) {
            streams.insert(key.clone(), Some(known));
        }
    }
    Ok((streams, facts))
}

/// Every stream that writes name.
fn each_stream(writes: &[Write], mut visit: impl FnMut(&StreamKey)) {
    for write in writes {
        if let Some(append) = &write.append {
            visit(&append.key);
        }
        let Some(extras) = write.extras.as_deref() else { continue };
        extras.appends.iter().for_each(|it| visit(&it.key));
        extras.snapshots.iter().for_each(|it| visit(&it.key));
        for merge in &extras.merges {
            visit(&merge.branch);
            visit(&merge.branch.on_main());
        }
    }
}

/// What the first event of a plan will be, and where.
fn first_event(plan: &Plan<'_, '_>, writes: &[Write]) -> Option<(u64, EventAt)> {
    let events = &plan.rows.events;
    let (sequence, created_at) = (*events.sequence.first()?, *events.created_at.first()?);
    let stream = *events.stream.first()?;
    let mut key = None;
    each_stream(writes, |it| {
        if key.is_none() && plan.known(it).is_some_and(|known| known.id == stream) {
            key = Some(it.clone());
        }
    });
    let payload = bytes::Bytes::copy_from_slice(events.payload.first()?);
    let event = EventAt { sequence: u64::try_from(sequence).ok()?, created_at, stream: key?, payload };
    Some((plan.last_position + 1, event))
}

/// How many of these go into one transaction, at least one.
fn part_of(writes: &[Write]) -> usize {
    let mut bytes = 0;
    for (count, write) in writes.iter().enumerate() {
        bytes += write.bytes();
        if count > 0 && (is_special(write) || count == MOST_WRITES || bytes > MOST_BYTES) {
            return count;
        }
        if is_special(write) {
            return 1;
        }
    }
    writes.len()
}

/// Whether it has parts that are stored one after the other: it gets a transaction of its own.
fn is_special(write: &Write) -> bool {
    write.extras.as_deref().is_some_and(|it| {
        !(it.merges.is_empty()
            && it.discards.is_empty()
            && it.forgets.is_empty()
            && it.dead_letters.is_empty()
            && it.answers.is_empty())
    })
}
