//! Projectors: unit, with fields, with a read model; sync and async; with and without a projection.

use std::sync::{Arc, Mutex};

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Balance, Deposit, Deposited, Open, Opened, Warned, Withdraw, Withdrawn};
use angzarr_ui_tests::{run, start};

#[derive(Debug)]
struct Failure;
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}
impl std::error::Error for Failure {}

#[projector(name = "unit", domains = ["account"])]
struct Unit;

#[projector]
impl Unit {
    #[handler]
    fn opened(&self, _: Opened) -> Result<(), Failure> {
        Ok(())
    }

    #[handler]
    fn warned(&self, e: &Warned) -> Result<Balance, ProjectionError> {
        Ok(Balance { amount: e.amount })
    }
}

#[projector(name = "fields", domains = [Account], editions = All)]
struct Fields {
    seen: Arc<Mutex<Vec<i64>>>,
}

#[projector]
impl Fields {
    #[handler]
    async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<Option<Balance>, ProjectionError> {
        tokio::task::yield_now().await;
        assert!(!ctx.is_replay());
        self.seen.lock().unwrap().push(e.amount);
        Ok((e.amount > 10).then_some(Balance { amount: e.amount }))
    }

    #[handler]
    async fn withdrawn<'a>(&'a self, e: &'a Withdrawn, _: &'a EventContext) -> Result<(), Failure> {
        self.seen.lock().unwrap().push(-e.amount);
        Ok(())
    }
}

#[projector(name = "in-a-file", domains = [Account, "account-archive"])]
struct InAFile {
    model: SqliteReadModel,
    _other: String,
}

#[projector]
impl InAFile {
    /// A rebuild leaves it out.
    #[handler(live_only)]
    async fn withdrawn(&self, _: Withdrawn) -> Result<(), ProjectionError> {
        Ok(())
    }

    #[handler]
    async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<(), ProjectionError> {
        let transaction = ctx.transaction(&self.model).await?;
        transaction.execute("insert into seen values (?1)", [e.amount])?;
        Ok(())
    }
}

#[projector(name = "chosen", domains = [Account], read_model = second)]
struct Chosen {
    _first: SqliteReadModel,
    second: SqliteReadModel,
}

#[projector(name = "tuple", domains = [Account], read_model = none)]
struct Tuple(SqliteReadModel, SqliteReadModel);

#[projector]
impl Chosen {
    #[handler]
    fn opened(&self, _: Opened) -> Result<(), ProjectionError> {
        let _ = &self.second;
        Ok(())
    }
}

#[projector]
impl Tuple {
    #[handler]
    fn opened(&self, _: Opened) -> Result<(), ProjectionError> {
        let _ = (&self.0, &self.1);
        Ok(())
    }
}

#[aggregate(domain = "account-archive", remote, handles(Open))]
struct Archive;

fn main() {
    let _ = Archive::command(Uuid::nil(), Open::default());
    run(async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let model = || SqliteReadModel::in_memory("create table if not exists seen (amount integer)").unwrap();
        let file = model();
        let builder = Runtime::builder()
            .with(Fields { seen: Arc::clone(&seen) })
            .with(InAFile { model: file.clone(), _other: String::new() })
            .with(Chosen { _first: model(), second: model() })
            .with(Tuple(model(), model()));
        let runtime = start(builder).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Open { owner: "Ada".into() }).await.unwrap();
        let receipt = runtime.send::<Account>(id, Deposit { amount: 50 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.projections_of::<Balance>("fields").map(|it| it.amount).collect::<Vec<_>>(), [50]);
        let receipt = runtime.send::<Account>(id, Withdraw { amount: 45 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.projections_of::<Balance>("unit").map(|it| it.amount).collect::<Vec<_>>(), [5]);
        assert!(receipt.projections_of::<Balance>("fields").next().is_none());
        runtime.settled().await;
        assert_eq!(*seen.lock().unwrap(), [50, -45]);
    });
    let descriptor = |name: &str| {
        let found = angzarr_runtime::inventory::iter::<angzarr_runtime::declare::RegisteredProjector>();
        found.into_iter().find(|it| it.0.name == name).unwrap().0
    };
    assert!(descriptor("fields").all_editions && !descriptor("unit").all_editions);
    assert_eq!(descriptor("in-a-file").domains, ["account", "account-archive"]);
    let model = || SqliteReadModel::in_memory("").unwrap();
    assert!((descriptor("in-a-file").read_model)(&InAFile { model: model(), _other: String::new() }).is_some());
    assert!((descriptor("chosen").read_model)(&Chosen { _first: model(), second: model() }).is_some());
    assert!((descriptor("tuple").read_model)(&Tuple(model(), model())).is_none());
    assert!((descriptor("unit").read_model)(&Unit).is_none());
    let handlers = angzarr_runtime::inventory::iter::<angzarr_runtime::declare::RegisteredProjectorHandler>();
    let live_only: Vec<_> = handlers.into_iter().filter(|it| it.0.live_only).map(|it| it.0.method).collect();
    assert_eq!(live_only, ["withdrawn"]);
    assert!(descriptor("unit").instance.is_some() && descriptor("fields").instance.is_none());
}
