//! A bank: the README's first program.

use std::time::{Duration, SystemTime};

use angzarr_runtime::prelude::*;

#[allow(missing_docs)]
pub mod pb {
    angzarr_runtime::include_proto!("bank"); // from proto/bank.proto
}
use pb::*;

/// A customer's account. The struct is the state: folded from events, snapshotted now and then.
#[aggregate(domain = "account", snapshot(every = 50))]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Account {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(int64, tag = "2")]
    pub balance: i64,
    #[prost(int64, tag = "3")]
    pub points: i64,
    #[prost(bool, tag = "4")]
    pub frozen: bool,
    #[prost(string, repeated, tag = "5")]
    pub tags: Vec<String>,
}

#[aggregate]
impl Account {
    /// Opens the account for an owner.
    #[handler]
    fn open(&self, cmd: OpenAccount) -> Result<AccountOpened, Rejection> {
        ensure!(self.owner.is_empty(), "already_open", "this account was opened before");
        Ok(AccountOpened { owner: cmd.owner })
    }

    #[handler]
    fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
        ensure!(cmd.amount > 0, "not_positive");
        Ok(Deposited { amount: cmd.amount, new_balance: self.balance + cmd.amount })
    }

    /// Must see the current balance.
    #[handler(merge = Strict)]
    fn withdraw(&self, cmd: Withdraw) -> Result<Withdrawn, Rejection> {
        ensure!(!self.frozen, "frozen");
        ensure!(cmd.amount <= self.balance, "insufficient_funds", "balance is {}, wanted {}", self.balance, cmd.amount);
        Ok(Withdrawn { amount: cmd.amount, new_balance: self.balance - cmd.amount })
    }

    /// The order of additions does not matter. Points of the first minute of an hour count twice.
    #[handler(merge = Commutative)]
    fn add_points(&self, cmd: AddPoints, ctx: &CommandContext) -> Result<PointsAdded, Rejection> {
        let since_1970 = ctx.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let factor = if since_1970.as_secs() % 3_600 < 60 { 2 } else { 1 };
        Ok(PointsAdded { points: cmd.points * factor })
    }

    /// A person has to look at it if the account has moved meanwhile.
    #[handler(merge = Manual)]
    fn freeze(&self, cmd: Freeze) -> Result<(Frozen, Option<OwnerNotified>), Rejection> {
        let notice = (!self.owner.is_empty()).then(|| OwnerNotified { owner: self.owner.clone() });
        Ok((Frozen { reason: cmd.reason }, notice))
    }

    /// Tags that are there already are left out, whatever others did meanwhile.
    #[handler(merge = AggregateHandles)]
    fn tag(&self, cmd: AddTag) -> Result<Vec<TagAdded>, Rejection> {
        Ok(cmd.tags.into_iter().filter(|tag| !self.tags.contains(tag)).map(|tag| TagAdded { tag }).collect())
    }

    #[apply]
    fn opened(&mut self, e: AccountOpened) {
        self.owner = e.owner;
    }
    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance = e.new_balance;
    }
    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {
        self.balance = e.new_balance;
    }
    #[apply]
    fn points_added(&mut self, e: PointsAdded) {
        self.points += e.points;
    }
    #[apply]
    fn froze(&mut self, _: Frozen) {
        self.frozen = true;
    }
    #[apply]
    fn owner_notified(&mut self, _: OwnerNotified) {}
    #[apply]
    fn tagged(&mut self, e: TagAdded) {
        self.tags.push(e.tag);
    }
    #[apply]
    fn owner_registered(&mut self, e: OwnerRegistered) {
        self.owner = format!("{} {}", e.first_name, e.last_name);
    }
}

/// V1 had one `name`; V2 has `first_name` and `last_name`.
#[upcaster(from = 1)]
fn split_name(old: OwnerRegisteredV1) -> OwnerRegistered {
    let (first, last) = old.name.split_once(' ').unwrap_or((&old.name, ""));
    OwnerRegistered { first_name: first.into(), last_name: last.into() }
}

/// Read model. It owns its database; rows and checkpoint commit in one transaction.
#[projector(name = "balances", domains = ["account"])]
pub struct Balances {
    pub pool: sqlx::SqlitePool,
}

#[projector]
impl Balances {
    #[handler]
    async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<BalanceView, ProjectionError> {
        self.show(ctx, e.new_balance).await
    }
    #[handler]
    async fn withdrawn(&self, e: Withdrawn, ctx: &EventContext) -> Result<BalanceView, ProjectionError> {
        self.show(ctx, e.new_balance).await
    }
}

impl Balances {
    async fn show(&self, ctx: &EventContext, balance: i64) -> Result<BalanceView, ProjectionError> {
        let account = ctx.root().to_string();
        let mut tx = ctx.transaction(&self.pool).await?;
        sqlx::query("INSERT INTO balance VALUES (?1, ?2) ON CONFLICT (account) DO UPDATE SET amount = excluded.amount")
            .bind(&account)
            .bind(balance)
            .execute(&mut **tx)
            .await?;
        Ok(BalanceView { account, balance })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = sqlx::SqlitePool::connect("sqlite:balances.db?mode=rwc").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS balance (account TEXT PRIMARY KEY, amount INTEGER)").execute(&pool).await?;
    let runtime = Runtime::builder()
        .storage(Sqlite::open("bank.db")) // Memory::new() · storage_url("sqlite:bank.db")
        .transport(Local::new())
        .with(Balances { pool }) // instances of components that hold something; unit structs need none
        .configure() // angzarr.toml and the environment win over what stands above: ANGZARR_STORAGE=sqlite:other.db
        .build() // every wiring mistake of the whole program, in one error
        .await?;

    let id = Uuid::new_v4(); // or root("account", "IBAN…"): a stable id from a natural key
    runtime.send::<Account>(id, OpenAccount { owner: "Ada".into() }).await?;
    runtime.send::<Account>(id, Deposit { amount: 120 }).await?;
    let receipt = runtime
        .send::<Account>(id, Withdraw { amount: 50 })
        .expect_sequence(2)
        .sync(SyncMode::Simple)
        .correlation("transfer-7")
        .await?;
    for view in receipt.projections_of::<BalanceView>("balances") {
        println!("the read model shows {} already", view.balance);
    }

    let now: Versioned<Account> = runtime.state::<Account>(id).await?;
    println!("{} has {} after {} events", now.owner, now.balance, now.next_sequence());
    let yesterday = SystemTime::now() - Duration::from_secs(86_400);
    let then = runtime.state::<Account>(id).as_of_time(yesterday).await?;
    println!("yesterday the account {}", if then.is_new() { "did not exist" } else { "existed" });
    let after_the_deposit = runtime.state::<Account>(id).as_of_sequence(1).await?;
    println!("after the deposit the balance was {}", after_the_deposit.balance);

    let would = runtime.preview::<Account>(id, Withdraw { amount: 5 }).await?; // stores nothing
    println!("withdrawing 5 would give {:?}", would.events_of::<Withdrawn>().next());
    if let Err(error) = runtime.send::<Account>(id, Withdraw { amount: 500 }).await {
        println!("{error}");
    }
    if let Err(error) = runtime.send::<Account>(id, Withdraw { amount: 1 }).expect_sequence(1).await {
        println!("{error}");
    }

    let what_if = Edition::named("bonus").diverge("account", 2); // a branch: as if nothing had been withdrawn
    runtime.send::<Account>(id, Withdraw { amount: 9 }).edition(what_if).await?;
    println!("in the branch the balance is {}", runtime.state::<Account>(id).edition("bonus").await?.balance);
    println!("on the main timeline it is still {}", runtime.state::<Account>(id).await?.balance);
    runtime.shutdown().await?;
    Ok(())
}
