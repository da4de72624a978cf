//! Sagas and projectors that write down what they saw, and that fail, dawdle or panic where a test says so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::prost_types::Any;
use angzarr_runtime::rusqlite::{OptionalExtension as _, params};

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
            "panic" => panic!("a saga panics on purpose"),
            _ => {}
        }
        let to = Uuid::from_slice(&e.to)?;
        let refuse = e.trouble == "refused";
        let book = Book { amount: e.amount, thank: e.thank.clone(), refuse };
        Ok((0..e.copies).map(|_| Ledger::command(to, book.clone())).collect())
    }
}

/// Thanks whoever asked to be thanked: the second step of a workflow, back to where it began.
#[saga(name = "thanks", from = Ledger)]
fn thanks(e: Booked) -> Option<Command<Account>> {
    let root = Uuid::from_slice(&e.thank).ok()?;
    Some(Account::command(root, AddPoints { points: e.amount }))
}

/// A read model that is not ours, whose commits can be made to fail.
#[derive(Clone, Default)]
pub struct FlakyModel(Arc<Mutex<FlakyState>>);

#[derive(Default)]
struct FlakyState {
    counts: HashMap<Uuid, i64>,
    checkpoints: HashMap<String, u64>,
    failing: usize,
}

impl FlakyModel {
    fn with<T>(&self, f: impl FnOnce(&mut FlakyState) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// So many commits fail, with nothing stored.
    pub fn fail_commits(&self, count: usize) {
        self.with(|state| state.failing = count);
    }
    pub fn count(&self, root: Uuid) -> i64 {
        self.with(|state| state.counts.get(&root).copied().unwrap_or(0))
    }
    pub fn checkpoint_of(&self, projector: &str) -> u64 {
        self.with(|state| state.checkpoints.get(projector).copied().unwrap_or(0))
    }
}

impl angzarr_runtime::ReadModel for FlakyModel {
    type Transaction = HashMap<Uuid, i64>;

    fn begin(&self) -> angzarr_runtime::storage::BoxFuture<'_, Result<Self::Transaction, ReactionError>> {
        Box::pin(async { Ok(HashMap::new()) })
    }
    fn checkpoint<'a>(
        &'a self,
        projector: &'a str,
    ) -> angzarr_runtime::storage::BoxFuture<'a, Result<Option<u64>, ReactionError>> {
        Box::pin(async move { Ok(self.with(|state| state.checkpoints.get(projector).copied())) })
    }
    fn commit<'a>(
        &'a self,
        transaction: Self::Transaction,
        projector: &'a str,
        position: u64,
    ) -> angzarr_runtime::storage::BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            self.with(|state| {
                if state.failing > 0 {
                    state.failing -= 1;
                    return Err(ReactionError::transient("the commit failed on purpose"));
                }
                for (root, count) in transaction {
                    *state.counts.entry(root).or_insert(0) += count;
                }
                state.checkpoints.insert(projector.to_owned(), position);
                Ok(())
            })
        })
    }
    fn rollback(
        &self,
        transaction: Self::Transaction,
    ) -> angzarr_runtime::storage::BoxFuture<'_, Result<(), ReactionError>> {
        drop(transaction);
        Box::pin(async { Ok(()) })
    }
}

/// Counts deposits in a read model that is not ours.
#[projector(name = "tally", domains = ["account"])]
pub struct Tally {
    pub model: FlakyModel,
}

#[projector]
impl Tally {
    #[handler]
    async fn deposited(&self, _: Deposited, ctx: &EventContext) -> Result<(), ProjectionError> {
        let mut rows = ctx.transaction(&self.model).await?;
        *rows.entry(ctx.root()).or_insert(0) += 1;
        Ok(())
    }
}
