//! Sagas and projectors that write down what they saw, and that fail, dawdle or panic where a test says so.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angzarr_runtime::Checkpoint;
use angzarr_runtime::prelude::*;
use angzarr_runtime::prost_types::Any;
use angzarr_runtime::reaction::SeenEvents;
use angzarr_runtime::rusqlite::{Connection, OptionalExtension as _, params};

use crate::account::Account;
use crate::ledger::Ledger;
use crate::messages::*;
use crate::person::Person;

/// What a component saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub domain: String,
    pub root: Uuid,
    pub edition: String,
    pub sequence: u32,
    pub position: u64,
    pub event: String,
    pub correlation: Option<String>,
    pub ext: Option<Any>,
    pub replay: bool,
}

/// How a handler misbehaves at an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Fails so many times, then works.
    Times(u32),
    Always,
    Permanent,
    Panic,
    /// Takes its time, then works.
    Slow(Duration),
    /// Waits until the test takes the trouble away.
    Stuck,
}

#[derive(Default)]
struct WitnessState {
    seen: Vec<Seen>,
    tries: HashMap<(Uuid, u32), u32>,
    trouble: HashMap<(Uuid, u32), Trouble>,
}

/// A component's memory, shared with the test.
#[derive(Clone, Default)]
pub struct Witness(Arc<Mutex<WitnessState>>);

impl Witness {
    fn with<T>(&self, f: impl FnOnce(&mut WitnessState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that was handled to the end, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.with(|state| state.seen.clone())
    }

    /// The sequences of one root, in the order in which they were handled.
    pub fn sequences(&self, root: Uuid) -> Vec<u32> {
        self.with(|state| state.seen.iter().filter(|seen| seen.root == root).map(|seen| seen.sequence).collect())
    }

    /// How often an event was tried.
    pub fn tries(&self, root: Uuid, sequence: u32) -> u32 {
        self.with(|state| state.tries.get(&(root, sequence)).copied().unwrap_or(0))
    }

    pub fn trouble(&self, root: Uuid, sequence: u32, trouble: Trouble) {
        self.with(|state| state.trouble.insert((root, sequence), trouble));
    }

    pub fn no_more_trouble(&self, root: Uuid, sequence: u32) {
        self.with(|state| state.trouble.remove(&(root, sequence)));
    }

    async fn witness(&self, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        let at = (ctx.root(), ctx.sequence());
        let trouble = self.with(|state| {
            let tries = state.tries.entry(at).or_insert(0);
            *tries += 1;
            let tries = *tries;
            state.trouble.get(&at).map(|trouble| (*trouble, tries))
        });
        match trouble {
            None => {}
            Some((Trouble::Times(times), tries)) if tries > times => {}
            Some((Trouble::Times(_) | Trouble::Always, _)) => {
                return Err(ProjectionError::transient("trouble on purpose"));
            }
            Some((Trouble::Permanent, _)) => return Err(ProjectionError::permanent("trouble for good")),
            Some((Trouble::Panic, _)) => panic!("a projector panics on purpose"),
            Some((Trouble::Slow(pause), _)) => tokio::time::sleep(pause).await,
            Some((Trouble::Stuck, _)) => {
                while self.with(|state| state.trouble.get(&at) == Some(&Trouble::Stuck)) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
        let seen = Seen {
            domain: ctx.domain().to_owned(),
            root: ctx.root(),
            edition: ctx.edition().name().to_string(),
            sequence: ctx.sequence(),
            position: ctx.position(),
            event: ctx.type_name().to_owned(),
            correlation: ctx.correlation_id().map(str::to_owned),
            ext: ctx.ext().cloned(),
            replay: ctx.is_replay(),
        };
        let view = SeenView { sequence: seen.sequence, event: seen.event.clone() };
        self.with(|state| state.seen.push(seen));
        Ok(view)
    }
}

/// Writes down what happens on the main timeline.
#[projector(name = "journal", domains = [Account, "ledger", Person])]
pub struct Journal {
    pub witness: Witness,
}

#[projector]
impl Journal {
    #[handler]
    async fn opened(&self, _: AccountOpened, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn deposited(&self, _: Deposited, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn withdrawn(&self, _: Withdrawn, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn points(&self, _: PointsAdded, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn sent(&self, _: MoneySent, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn booked(&self, _: Booked, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn named(&self, _: PersonNamed, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn street(&self, _: StreetChanged, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
    #[handler]
    async fn city(&self, _: CityChanged, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
}

/// Follows every timeline.
#[projector(name = "everywhere", domains = ["account"], editions = All)]
pub struct Everywhere {
    pub witness: Witness,
}

#[projector]
impl Everywhere {
    #[handler]
    async fn deposited(&self, _: Deposited, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        self.witness.witness(ctx).await
    }
}

/// Sees tags only, and takes its time where a test says so.
#[projector(name = "tagger", domains = ["account"])]
pub struct Tagger {
    pub witness: Witness,
}

#[projector]
impl Tagger {
    #[handler]
    async fn tagged(&self, _: TagAdded, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.witness.witness(ctx).await.map(|_| ())
    }
}

/// A read model that keeps rows and checkpoint together (row J1).
#[projector(name = "balances", domains = ["account"])]
pub struct Balances {
    pub model: SqliteReadModel,
    pub witness: Witness,
    /// What cannot be undone.
    pub mails: Witness,
}

/// Its tables.
pub const BALANCES: &str = "CREATE TABLE IF NOT EXISTS balance (
    root BLOB PRIMARY KEY, amount INTEGER NOT NULL, events INTEGER NOT NULL, last INTEGER NOT NULL
)";

impl Balances {
    /// Adds without looking whether it did so before: an event that came twice would show.
    async fn add(&self, amount: i64, ctx: &EventContext) -> Result<BalanceView, ProjectionError> {
        let tx = ctx.transaction(&self.model).await?;
        let root = ctx.root().into_bytes();
        tx.prepare_cached(
            "INSERT INTO balance (root, amount, events, last) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (root) DO UPDATE SET amount = amount + ?2, events = events + 1, last = ?3",
        )?
        .execute(params![root, amount, ctx.sequence()])?;
        let balance =
            tx.prepare_cached("SELECT amount FROM balance WHERE root = ?1")?.query_row([root], |row| row.get(0))?;
        drop(tx);
        // After the rows were written: a failure must take them back.
        self.witness.witness(ctx).await?;
        Ok(BalanceView { balance })
    }
}

#[projector]
impl Balances {
    #[handler]
    async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<BalanceView, ProjectionError> {
        self.add(e.amount, ctx).await
    }
    #[handler]
    async fn withdrawn(&self, e: Withdrawn, ctx: &EventContext) -> Result<BalanceView, ProjectionError> {
        self.add(-e.amount, ctx).await
    }
    #[handler]
    async fn sent(&self, e: MoneySent, ctx: &EventContext) -> Result<BalanceView, ProjectionError> {
        self.add(-e.amount, ctx).await
    }
    /// Congratulates, once.
    #[handler(live_only)]
    async fn points(&self, _: PointsAdded, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.mails.witness(ctx).await.map(|_| ())
    }
}

/// A row of the read model: amount, events, last sequence.
pub async fn balance_row(model: &SqliteReadModel, root: Uuid) -> Option<(i64, u32, u32)> {
    let read = model.query(move |connection| {
        connection
            .query_row("SELECT amount, events, last FROM balance WHERE root = ?1", [root.into_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()
    });
    read.await.expect("the read model answers")
}

/// Brings money to a ledger: as many commands as the event says, and every kind of failure.
#[saga(name = "courier", from = Account)]
pub struct Courier {
    pub witness: Witness,
}

#[saga]
impl Courier {
    #[handler]
    fn sent(&self, e: MoneySent, ctx: &EventContext) -> Result<Vec<Command<Ledger>>, ReactionError> {
        let tries = self.witness.with(|state| {
            let tries = state.tries.entry((ctx.root(), ctx.sequence())).or_insert(0);
            *tries += 1;
            *tries
        });
        match e.trouble.as_str() {
            "permanent" => return Err(ReactionError::permanent("cannot be delivered, ever")),
            "always" => return Err(ReactionError::transient("nobody at home")),
            "twice" if tries <= 2 => return Err(ReactionError::transient("nobody at home yet")),
            "five" if tries <= 5 => return Err(ReactionError::transient("nobody at home for long")),
            "panic" => panic!("a saga panics on purpose"),
            _ => {}
        }
        let to = Uuid::from_slice(&e.to)?;
        let refuse = e.trouble == "refused";
        let book = Book { amount: e.amount, thank: e.thank.clone(), refuse };
        Ok((0..e.copies).map(|_| Ledger::command(to, book.clone())).collect())
    }
}

/// Books for who moves: twice for one stored event that was split into two.
#[saga(name = "movers", from = Person)]
pub struct Movers {
    pub witness: Witness,
}

impl Movers {
    fn book(&self, place: &str, amount: i64, ctx: &EventContext) -> Result<Option<Command<Ledger>>, ReactionError> {
        if !place.starts_with("paid ") {
            return Ok(None);
        }
        let failing = self.witness.with(|state| state.trouble.contains_key(&(ctx.root(), ctx.sequence())));
        if failing && place.starts_with("paid street") {
            return Err(ReactionError::permanent("no such street yet"));
        }
        Ok(Some(Ledger::command(ctx.root(), Book { amount, ..Default::default() })))
    }
}

#[saga]
impl Movers {
    #[handler]
    fn street(&self, e: StreetChanged, ctx: &EventContext) -> Result<Option<Command<Ledger>>, ReactionError> {
        self.book(&e.street, 1, ctx)
    }
    #[handler]
    fn city(&self, e: CityChanged, ctx: &EventContext) -> Result<Option<Command<Ledger>>, ReactionError> {
        self.book(&e.city, 100, ctx)
    }
}

/// Thanks whoever asked to be thanked: the second step of a workflow, back to where it began.
#[saga(name = "thanks", from = Ledger)]
fn thanks(e: Booked) -> Option<Command<Account>> {
    let root = Uuid::from_slice(&e.thank).ok()?;
    Some(Account::command(root, AddPoints { points: e.amount }))
}

/// What a commit of a [`FlakyModel`] does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Commit {
    Works,
    /// Fails, with nothing stored.
    Fails,
    /// Stores, and the answer is lost.
    AnswerLost,
    Panics,
}

/// A read model that is not ours, whose commits can be made to fail.
#[derive(Clone, Default)]
pub struct FlakyModel(Arc<Mutex<FlakyState>>);

#[derive(Default)]
struct FlakyState {
    counts: HashMap<Uuid, i64>,
    checkpoints: HashMap<String, Checkpoint>,
    /// What the next commits do.
    commits: VecDeque<Commit>,
    begins_fail: bool,
    accepts_unlucky: bool,
    takes_nothing_over: bool,
}

impl FlakyModel {
    fn with<T>(&self, f: impl FnOnce(&mut FlakyState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// So many commits fail, with nothing stored.
    pub fn fail_commits(&self, count: usize) {
        self.commits(std::iter::repeat_n(Commit::Fails, count));
    }
    /// What the next commits do, in order.
    pub fn commits(&self, commits: impl IntoIterator<Item = Commit>) {
        self.with(|state| state.commits = commits.into_iter().collect());
    }
    /// How many of these are still to come.
    pub fn commits_left(&self) -> usize {
        self.with(|state| state.commits.len())
    }
    /// From now on deposits of [`UNLUCKY`] are counted like others.
    pub fn accept_unlucky(&self) {
        self.accepts_unlucky(true);
    }
    /// Whether deposits of [`UNLUCKY`] are counted like others.
    pub fn accepts_unlucky(&self, accepts: bool) {
        self.with(|state| state.accepts_unlucky = accepts);
    }
    pub fn set_checkpoint(&self, projector: &str, checkpoint: Checkpoint) {
        self.with(|state| state.checkpoints.insert(projector.to_owned(), checkpoint));
    }
    /// Whether transactions can begin.
    pub fn begins_fail(&self, fail: bool) {
        self.with(|state| state.begins_fail = fail);
    }
    /// Whether what a rebuild made is not taken over.
    pub fn takes_nothing_over(&self, fail: bool) {
        self.with(|state| state.takes_nothing_over = fail);
    }
    pub fn count(&self, root: Uuid) -> i64 {
        self.with(|state| state.counts.get(&root).copied().unwrap_or(0))
    }
    pub fn checkpoint_of(&self, projector: &str) -> u64 {
        self.with(|state| state.checkpoints.get(projector).map_or(0, |it| it.position))
    }
}

impl angzarr_runtime::ReadModel for FlakyModel {
    type Transaction = HashMap<Uuid, i64>;

    fn begin(&self) -> angzarr_runtime::storage::BoxFuture<'_, Result<Self::Transaction, ReactionError>> {
        Box::pin(async {
            match self.with(|state| state.begins_fail) {
                true => Err(ReactionError::permanent("it cannot begin, on purpose")),
                false => Ok(HashMap::new()),
            }
        })
    }
    fn checkpoint<'a>(
        &'a self,
        name: &'a str,
    ) -> angzarr_runtime::storage::BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move { Ok(self.with(|state| state.checkpoints.get(name).copied())) })
    }
    fn checkpoint_in<'a>(
        &'a self,
        _transaction: &'a mut Self::Transaction,
        name: &'a str,
    ) -> angzarr_runtime::storage::BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        self.checkpoint(name)
    }
    fn commit<'a>(
        &'a self,
        transaction: Self::Transaction,
        name: &'a str,
        checkpoint: Checkpoint,
    ) -> angzarr_runtime::storage::BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            let lost = || Err(ReactionError::transient("the commit failed on purpose"));
            let how = self.with(|state| state.commits.pop_front()).unwrap_or(Commit::Works);
            match how {
                Commit::Fails => return lost(),
                Commit::Panics => panic!("a commit panics on purpose"),
                Commit::Works | Commit::AnswerLost => {}
            }
            self.with(|state| {
                for (root, count) in transaction {
                    *state.counts.entry(root).or_insert(0) += count;
                }
                state.checkpoints.insert(name.to_owned(), checkpoint);
            });
            if how == Commit::AnswerLost { lost() } else { Ok(()) }
        })
    }
    fn rollback(
        &self,
        transaction: Self::Transaction,
    ) -> angzarr_runtime::storage::BoxFuture<'_, Result<(), ReactionError>> {
        drop(transaction);
        Box::pin(async { Ok(()) })
    }
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
    fn fresh<'a>(&'a self, _: &'a str) -> angzarr_runtime::storage::BoxFuture<'a, Result<Self, ReactionError>> {
        Box::pin(async {
            let fresh = Self::default();
            fresh.with(|it| it.accepts_unlucky = self.with(|state| state.accepts_unlucky));
            Ok(fresh)
        })
    }
    fn take_over<'a>(&'a self, fresh: &'a Self) -> angzarr_runtime::storage::BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            if self.with(|state| state.takes_nothing_over) {
                return Err(ReactionError::transient("not taken over, on purpose"));
            }
            let (counts, checkpoints) = fresh.with(|it| (it.counts.clone(), it.checkpoints.clone()));
            self.with(|state| (state.counts, state.checkpoints) = (counts, checkpoints));
            Ok(())
        })
    }
}

/// The deposit that `tally` refuses; no other test deposits less than nothing.
pub const UNLUCKY: i64 = -13;

/// Counts deposits in a read model that is not ours.
#[projector(name = "tally", domains = ["account"])]
pub struct Tally {
    pub model: FlakyModel,
}

#[projector]
impl Tally {
    #[handler]
    async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<(), ProjectionError> {
        if e.amount == UNLUCKY && !self.model.with(|state| state.accepts_unlucky) {
            return Err(ProjectionError::permanent("an unlucky deposit"));
        }
        let mut rows = ctx.transaction(&self.model).await?;
        *rows.entry(ctx.root()).or_insert(0) += 1;
        Ok(())
    }
}

/// A database that keeps no checkpoint of ours.
#[derive(Clone)]
pub struct Foreign(Arc<Mutex<ForeignState>>);

struct ForeignState {
    connection: Connection,
    delivered: Vec<(Uuid, u32, Uuid)>,
}

impl Default for Foreign {
    fn default() -> Self {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(SeenEvents::TABLE).expect("its table");
        let total = "CREATE TABLE total (milestones INTEGER); INSERT INTO total VALUES (0)";
        connection.execute_batch(total).expect("a table");
        Self(Arc::new(Mutex::new(ForeignState { connection, delivered: Vec::new() })))
    }
}

impl Foreign {
    fn with<T>(&self, f: impl FnOnce(&mut ForeignState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// How many milestones were counted.
    pub fn milestones(&self) -> i64 {
        let sql = "SELECT milestones FROM total";
        self.with(|it| it.connection.query_row(sql, [], |row| row.get(0)).expect("a row"))
    }
    /// The sequences that came, as often as they came.
    pub fn deliveries(&self, root: Uuid) -> Vec<u32> {
        self.with(|it| it.delivered.iter().filter(|it| it.0 == root).map(|it| it.1).collect())
    }
    /// The ids of all that came.
    pub fn ids(&self) -> Vec<Uuid> {
        self.with(|it| it.delivered.iter().map(|it| it.2).collect())
    }
}

/// Counts milestones in a database of its own: an event that came twice would show.
#[projector(name = "totals", domains = ["account"])]
pub struct Totals {
    pub database: Foreign,
}

#[projector]
impl Totals {
    #[handler]
    fn reached(&self, _: MilestoneReached, ctx: &EventContext) -> Result<(), ProjectionError> {
        self.database.with(|it| {
            it.delivered.push((ctx.root(), ctx.sequence(), ctx.event_id()));
            let transaction = it.connection.transaction()?;
            if SeenEvents::of("totals").first_time(ctx, &transaction)? {
                transaction.execute("UPDATE total SET milestones = milestones + 1", [])?;
            }
            Ok(transaction.commit()?)
        })
    }
}
