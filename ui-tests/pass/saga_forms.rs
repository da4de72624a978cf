//! Sagas: a function, a unit struct, a struct that holds something; everything that they may return.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposit, Deposited, Open, Opened, Warned, Withdraw, Withdrawn};
use angzarr_runtime::declare::Target;
use angzarr_ui_tests::{run, start, targets_of};

#[aggregate(domain = "ledger")]
#[derive(Clone, PartialEq, prost::Message)]
struct Ledger {
    #[prost(int64, tag = "1")]
    turnover: i64,
}

#[aggregate]
impl Ledger {
    #[handler]
    fn book(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: cmd.amount })
    }

    #[handler]
    fn book_out(&self, cmd: Withdraw) -> Result<Withdrawn, Rejection> {
        Ok(Withdrawn { amount: cmd.amount })
    }

    #[apply]
    fn booked(&mut self, e: Deposited) {
        self.turnover += e.amount;
    }

    #[apply]
    fn booked_out(&mut self, e: Withdrawn) {
        self.turnover += e.amount;
    }
}

fn ledger() -> Uuid {
    root("ledger", "the one")
}

#[saga(name = "as-function", from = Account)]
fn as_function(e: Deposited, ctx: &EventContext) -> Vec<Command<Ledger>> {
    assert_eq!(ctx.domain(), "account");
    vec![Ledger::command(ledger(), Deposit { amount: e.amount })]
}

#[saga(name = "as-unit-struct", from = angzarr_ui_domain::Account)]
struct AsUnitStruct;

#[saga]
impl AsUnitStruct {
    #[handler]
    fn withdrawn(&self, e: &Withdrawn) -> Result<(Option<Command<Ledger>>, [Command<Ledger>; 1]), ReactionError> {
        let command = Ledger::command(ledger(), Withdraw { amount: e.amount });
        Ok((None, [command]))
    }
}

#[saga]
impl AsUnitStruct {
    #[handler]
    fn warned(&self, _: Warned) -> Option<AnyCommand> {
        None
    }
}

#[saga(name = "with-something", from = Account)]
struct WithSomething {
    calls: Arc<AtomicU32>,
}

type Commands = Vec<Command<Ledger>>;

#[saga]
impl WithSomething {
    #[handler]
    fn opened(&self, _: Opened) -> Commands {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Vec::new()
    }
}

fn main() {
    run(async {
        let calls = Arc::new(AtomicU32::new(0));
        let runtime = start(Runtime::builder().with(WithSomething { calls: Arc::clone(&calls) })).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Open { owner: "Ada".into() }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 50 }).await.unwrap();
        runtime.send::<Account>(id, Withdraw { amount: 7 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(runtime.state::<Ledger>(ledger()).await.unwrap().turnover, 57);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    });
    assert_eq!(targets_of("as_function"), [Target::Domain("ledger")]);
    assert_eq!(targets_of("withdrawn"), [Target::Domain("ledger"), Target::Domain("ledger")]);
    assert_eq!(targets_of("warned"), [Target::Any]);
}
