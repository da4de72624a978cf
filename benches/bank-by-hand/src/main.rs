//! The bank of `examples/bank` as it is without our attributes: the traits and descriptors that they would write are written
//! here, as short as a careful person would. It is here to be compiled; see `compile_time.sh`.

use std::any::{Any, TypeId};
use std::time::{Duration, SystemTime};

use angzarr_runtime::__private::{self as angzarr, *};
use angzarr_runtime::prelude::*;

#[allow(missing_docs)]
pub mod pb {
    angzarr_runtime::include_proto!("bank"); // from proto/bank.proto
}
use pb::*;

/// A customer's account. The struct is the state: folded from events, snapshotted now and then.
#[derive(Clone, PartialEq, prost::Message)]
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

impl Account {
    /// Opens the account for an owner.
    fn open(&self, cmd: OpenAccount) -> Result<AccountOpened, Rejection> {
        ensure!(self.owner.is_empty(), "already_open", "this account was opened before");
        Ok(AccountOpened { owner: cmd.owner })
    }

    fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
        ensure!(cmd.amount > 0, "not_positive");
        Ok(Deposited { amount: cmd.amount, new_balance: self.balance + cmd.amount })
    }

    /// Must see the current balance.
    fn withdraw(&self, cmd: Withdraw) -> Result<Withdrawn, Rejection> {
        ensure!(!self.frozen, "frozen");
        ensure!(cmd.amount <= self.balance, "insufficient_funds", "balance is {}, wanted {}", self.balance, cmd.amount);
        Ok(Withdrawn { amount: cmd.amount, new_balance: self.balance - cmd.amount })
    }

    /// The order of additions does not matter. Points of the first minute of an hour count twice.
    fn add_points(&self, cmd: AddPoints, ctx: &CommandContext) -> Result<PointsAdded, Rejection> {
        let since_1970 = ctx.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let factor = if since_1970.as_secs() % 3_600 < 60 { 2 } else { 1 };
        Ok(PointsAdded { points: cmd.points * factor })
    }

    /// A person has to look at it if the account has moved meanwhile.
    fn freeze(&self, cmd: Freeze) -> Result<(Frozen, Option<OwnerNotified>), Rejection> {
        let notice = (!self.owner.is_empty()).then(|| OwnerNotified { owner: self.owner.clone() });
        Ok((Frozen { reason: cmd.reason }, notice))
    }

    /// Tags that are there already are left out, whatever others did meanwhile.
    fn tag(&self, cmd: AddTag) -> Result<Vec<TagAdded>, Rejection> {
        Ok(cmd.tags.into_iter().filter(|tag| !self.tags.contains(tag)).map(|tag| TagAdded { tag }).collect())
    }

    fn opened(&mut self, e: AccountOpened) {
        self.owner = e.owner;
    }
    fn deposited(&mut self, e: Deposited) {
        self.balance = e.new_balance;
    }
    fn withdrawn(&mut self, e: Withdrawn) {
        self.balance = e.new_balance;
    }
    fn points_added(&mut self, e: PointsAdded) {
        self.points += e.points;
    }
    fn froze(&mut self, _: Frozen) {
        self.frozen = true;
    }
    fn owner_notified(&mut self, _: OwnerNotified) {}
    fn tagged(&mut self, e: TagAdded) {
        self.tags.push(e.tag);
    }
    fn owner_registered(&mut self, e: OwnerRegistered) {
        self.owner = format!("{} {}", e.first_name, e.last_name);
    }
}

/// Where a declaration stands.
const fn here(line: u32) -> Location {
    Location { file: file!(), line, package: env!("CARGO_PKG_NAME") }
}

impl angzarr::Domain for Account {
    const DOMAIN: &'static str = "account";
}

static ACCOUNT: AggregateDescriptor = AggregateDescriptor {
    domain: "account",
    name: "Account",
    state: TypeId::of::<Account>,
    snapshot: Some(SnapshotPolicy { every: 50, codec: prost_codec::<Account>() }),
    state_version: 1,
    state_message: Probe::<Account>::NAME,
    new_state: new_state::<Account>,
    clone_state: Probe::<Account>::CLONE,
    debug_state: Probe::<Account>::DEBUG,
    doc: "A customer's account. The struct is the state: folded from events, snapshotted now and then.",
    location: here(line!()),
};
inventory::submit! { RegisteredAggregate(&ACCOUNT) }

impl angzarr::Aggregate for Account {
    fn descriptor() -> &'static AggregateDescriptor {
        &ACCOUNT
    }
}

static OPEN_ACCOUNT: CommandHandlerDescriptor = CommandHandlerDescriptor {
    aggregate: Account::descriptor,
    method: "open",
    command: MessageType::of::<OpenAccount>(),
    merge: None,
    emits: |into| <AccountOpened as EmittedBy<Account>>::event_types(into),
    decide: decide_erased::<Account, OpenAccount>,
    doc: "Opens the account for an owner.",
    location: here(line!()),
};
inventory::submit! { RegisteredCommandHandler(&OPEN_ACCOUNT) }

impl Accepts<OpenAccount> for Account {}
impl Handles<OpenAccount> for Account {
    fn handler() -> &'static CommandHandlerDescriptor {
        &OPEN_ACCOUNT
    }
    fn decide(&self, command: OpenAccount, _: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection> {
        <AccountOpened as EmittedBy<Self>>::emit(self.open(command)?, events);
        Ok(())
    }
}

static DEPOSIT: CommandHandlerDescriptor = CommandHandlerDescriptor {
    aggregate: Account::descriptor,
    method: "deposit",
    command: MessageType::of::<Deposit>(),
    merge: None,
    emits: |into| <Deposited as EmittedBy<Account>>::event_types(into),
    decide: decide_erased::<Account, Deposit>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredCommandHandler(&DEPOSIT) }

impl Accepts<Deposit> for Account {}
impl Handles<Deposit> for Account {
    fn handler() -> &'static CommandHandlerDescriptor {
        &DEPOSIT
    }
    fn decide(&self, command: Deposit, _: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection> {
        <Deposited as EmittedBy<Self>>::emit(self.deposit(command)?, events);
        Ok(())
    }
}

static WITHDRAW: CommandHandlerDescriptor = CommandHandlerDescriptor {
    aggregate: Account::descriptor,
    method: "withdraw",
    command: MessageType::of::<Withdraw>(),
    merge: Some(MergeStrategy::Strict),
    emits: |into| <Withdrawn as EmittedBy<Account>>::event_types(into),
    decide: decide_erased::<Account, Withdraw>,
    doc: "Must see the current balance.",
    location: here(line!()),
};
inventory::submit! { RegisteredCommandHandler(&WITHDRAW) }

impl Accepts<Withdraw> for Account {}
impl Handles<Withdraw> for Account {
    fn handler() -> &'static CommandHandlerDescriptor {
        &WITHDRAW
    }
    fn decide(&self, command: Withdraw, _: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection> {
        <Withdrawn as EmittedBy<Self>>::emit(self.withdraw(command)?, events);
        Ok(())
    }
}

static ADD_POINTS: CommandHandlerDescriptor = CommandHandlerDescriptor {
    aggregate: Account::descriptor,
    method: "add_points",
    command: MessageType::of::<AddPoints>(),
    merge: Some(MergeStrategy::Commutative),
    emits: |into| <PointsAdded as EmittedBy<Account>>::event_types(into),
    decide: decide_erased::<Account, AddPoints>,
    doc: "The order of additions does not matter. Points of the first minute of an hour count twice.",
    location: here(line!()),
};
inventory::submit! { RegisteredCommandHandler(&ADD_POINTS) }

impl Accepts<AddPoints> for Account {}
impl Handles<AddPoints> for Account {
    fn handler() -> &'static CommandHandlerDescriptor {
        &ADD_POINTS
    }
    fn decide(
        &self,
        command: AddPoints,
        context: &CommandContext<'_>,
        events: &mut EventSink,
    ) -> Result<(), Rejection> {
        <PointsAdded as EmittedBy<Self>>::emit(self.add_points(command, context)?, events);
        Ok(())
    }
}

static FREEZE: CommandHandlerDescriptor = CommandHandlerDescriptor {
    aggregate: Account::descriptor,
    method: "freeze",
    command: MessageType::of::<Freeze>(),
    merge: Some(MergeStrategy::Manual),
    emits: |into| {
        <Frozen as EmittedBy<Account>>::event_types(into);
        <OwnerNotified as EmittedBy<Account>>::event_types(into);
    },
    decide: decide_erased::<Account, Freeze>,
    doc: "A person has to look at it if the account has moved meanwhile.",
    location: here(line!()),
};
inventory::submit! { RegisteredCommandHandler(&FREEZE) }

impl Accepts<Freeze> for Account {}
impl Handles<Freeze> for Account {
    fn handler() -> &'static CommandHandlerDescriptor {
        &FREEZE
    }
    fn decide(&self, command: Freeze, _: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection> {
        let (first, second) = self.freeze(command)?;
        <Frozen as EmittedBy<Self>>::emit(first, events);
        if let Some(second) = second {
            <OwnerNotified as EmittedBy<Self>>::emit(second, events);
        }
        Ok(())
    }
}

static ADD_TAG: CommandHandlerDescriptor = CommandHandlerDescriptor {
    aggregate: Account::descriptor,
    method: "tag",
    command: MessageType::of::<AddTag>(),
    merge: Some(MergeStrategy::AggregateHandles),
    emits: |into| <TagAdded as EmittedBy<Account>>::event_types(into),
    decide: decide_erased::<Account, AddTag>,
    doc: "Tags that are there already are left out, whatever others did meanwhile.",
    location: here(line!()),
};
inventory::submit! { RegisteredCommandHandler(&ADD_TAG) }

impl Accepts<AddTag> for Account {}
impl Handles<AddTag> for Account {
    fn handler() -> &'static CommandHandlerDescriptor {
        &ADD_TAG
    }
    fn decide(&self, command: AddTag, _: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Rejection> {
        for event in self.tag(command)? {
            <TagAdded as EmittedBy<Self>>::emit(event, events);
        }
        Ok(())
    }
}

static ACCOUNT_OPENED: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "opened",
    event: MessageType::of::<AccountOpened>(),
    apply: apply_encoded::<Account, AccountOpened>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&ACCOUNT_OPENED) }

impl Applies<AccountOpened> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(ACCOUNT_OPENED.event)
    }
    fn apply(&mut self, event: AccountOpened) {
        self.opened(event);
    }
}

static DEPOSITED: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "deposited",
    event: MessageType::of::<Deposited>(),
    apply: apply_encoded::<Account, Deposited>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&DEPOSITED) }

impl Applies<Deposited> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(DEPOSITED.event)
    }
    fn apply(&mut self, event: Deposited) {
        self.deposited(event);
    }
}

static WITHDRAWN: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "withdrawn",
    event: MessageType::of::<Withdrawn>(),
    apply: apply_encoded::<Account, Withdrawn>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&WITHDRAWN) }

impl Applies<Withdrawn> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(WITHDRAWN.event)
    }
    fn apply(&mut self, event: Withdrawn) {
        self.withdrawn(event);
    }
}

static POINTS_ADDED: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "points_added",
    event: MessageType::of::<PointsAdded>(),
    apply: apply_encoded::<Account, PointsAdded>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&POINTS_ADDED) }

impl Applies<PointsAdded> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(POINTS_ADDED.event)
    }
    fn apply(&mut self, event: PointsAdded) {
        self.points_added(event);
    }
}

static FROZEN: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "froze",
    event: MessageType::of::<Frozen>(),
    apply: apply_encoded::<Account, Frozen>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&FROZEN) }

impl Applies<Frozen> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(FROZEN.event)
    }
    fn apply(&mut self, event: Frozen) {
        self.froze(event);
    }
}

static OWNER_NOTIFIED: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "owner_notified",
    event: MessageType::of::<OwnerNotified>(),
    apply: apply_encoded::<Account, OwnerNotified>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&OWNER_NOTIFIED) }

impl Applies<OwnerNotified> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(OWNER_NOTIFIED.event)
    }
    fn apply(&mut self, event: OwnerNotified) {
        self.owner_notified(event);
    }
}

static TAG_ADDED: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "tagged",
    event: MessageType::of::<TagAdded>(),
    apply: apply_encoded::<Account, TagAdded>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&TAG_ADDED) }

impl Applies<TagAdded> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(TAG_ADDED.event)
    }
    fn apply(&mut self, event: TagAdded) {
        self.tagged(event);
    }
}

static OWNER_REGISTERED: ApplyDescriptor = ApplyDescriptor {
    aggregate: Account::descriptor,
    method: "owner_registered",
    event: MessageType::of::<OwnerRegistered>(),
    apply: apply_encoded::<Account, OwnerRegistered>,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredApply(&OWNER_REGISTERED) }

impl Applies<OwnerRegistered> for Account {
    fn event_name() -> Name {
        static NAME: NameCell = NameCell::new();
        NAME.get(OWNER_REGISTERED.event)
    }
    fn apply(&mut self, event: OwnerRegistered) {
        self.owner_registered(event);
    }
}

/// V1 had one `name`; V2 has `first_name` and `last_name`.
fn split_name(old: OwnerRegisteredV1) -> OwnerRegistered {
    let (first, last) = old.name.split_once(' ').unwrap_or((&old.name, ""));
    OwnerRegistered { first_name: first.into(), last_name: last.into() }
}

static SPLIT_NAME: UpcasterDescriptor = UpcasterDescriptor {
    function: "split_name",
    from: 1,
    event: None,
    input: MessageType::of::<OwnerRegisteredV1>(),
    outputs: |into| <OwnerRegistered as UpcastOutput>::shapes(into),
    upcast: |payload, sink| {
        split_name(decode_message::<OwnerRegisteredV1>(payload)?).upcast_into(sink);
        Ok(())
    },
    doc: "V1 had one `name`; V2 has `first_name` and `last_name`.",
    location: here(line!()),
};
inventory::submit! { RegisteredUpcaster(&SPLIT_NAME) }

/// Read model. It owns its database; rows and checkpoint commit in one transaction.
pub struct Balances {
    pub pool: sqlx::SqlitePool,
}

impl Balances {
    async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<BalanceView, ProjectionError> {
        self.show(ctx, e.new_balance).await
    }
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

impl DeclaredProjector for Balances {}

static BALANCES: ProjectorDescriptor = ProjectorDescriptor {
    name: "balances",
    rust_name: "Balances",
    component: projector_component::<Balances>,
    domains: &["account"],
    all_editions: false,
    instance: None,
    read_model: |instance| {
        let projector: &Balances = instance_of(instance);
        Probe::<sqlx::SqlitePool>::READ_MODEL.map(|erase| erase(&projector.pool))
    },
    doc: "Read model. It owns its database; rows and checkpoint commit in one transaction.",
    location: here(line!()),
};
inventory::submit! { RegisteredProjector(&BALANCES) }

static BALANCES_DEPOSITED: ProjectorHandlerDescriptor = ProjectorHandlerDescriptor {
    component: projector_component::<Balances>,
    method: "deposited",
    event: MessageType::of::<Deposited>(),
    live_only: false,
    project: balances_deposited,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredProjectorHandler(&BALANCES_DEPOSITED) }

fn balances_deposited<'a>(
    instance: &'a (dyn Any + Send + Sync),
    payload: &'a [u8],
    context: &'a EventContext,
) -> ProjectFuture<'a> {
    Box::pin(async move {
        let event = decode_event::<Deposited>(payload)?;
        let view = instance_of::<Balances>(instance).deposited(event, context).await?;
        Ok(view.into_projection())
    })
}

static BALANCES_WITHDRAWN: ProjectorHandlerDescriptor = ProjectorHandlerDescriptor {
    component: projector_component::<Balances>,
    method: "withdrawn",
    event: MessageType::of::<Withdrawn>(),
    live_only: false,
    project: balances_withdrawn,
    doc: "",
    location: here(line!()),
};
inventory::submit! { RegisteredProjectorHandler(&BALANCES_WITHDRAWN) }

fn balances_withdrawn<'a>(
    instance: &'a (dyn Any + Send + Sync),
    payload: &'a [u8],
    context: &'a EventContext,
) -> ProjectFuture<'a> {
    Box::pin(async move {
        let event = decode_event::<Withdrawn>(payload)?;
        let view = instance_of::<Balances>(instance).withdrawn(event, context).await?;
        Ok(view.into_projection())
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = sqlx::SqlitePool::connect("sqlite:balances.db?mode=rwc").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS balance (account TEXT PRIMARY KEY, amount INTEGER)").execute(&pool).await?;
    let runtime = Runtime::builder()
        .storage(Sqlite::open("bank.db")) // Memory::new() · storage_url("sqlite:bank.db")
        .transport(Local::new())
        .with(Balances { pool }) // instances of components that hold something; unit structs need none
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
