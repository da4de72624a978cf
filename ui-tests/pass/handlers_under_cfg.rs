//! What is configured away leaves nothing behind; of two that exclude each other one stays.

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited, Withdrawn};
use angzarr_ui_tests::{applies, command_handlers, run, start};

#[aggregate(domain = "cfg")]
#[derive(Clone, PartialEq, prost::Message)]
struct Wallet {
    #[prost(int64, tag = "1")]
    balance: i64,
}

#[aggregate]
impl Wallet {
    #[cfg(feature = "never")]
    #[handler]
    fn absent(&self, cmd: NoSuchCommand) -> Result<NoSuchEvent, Rejection> {
        NO_SUCH_THING
    }

    #[cfg(feature = "never")]
    #[handler]
    fn one(&self, _: Deposit) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: 1 })
    }

    #[cfg(not(feature = "never"))]
    #[handler]
    fn other(&self, _: Deposit) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: 2 })
    }

    #[handler]
    #[cfg(not(feature = "never"))]
    #[cfg(feature = "never")]
    fn contradiction(&self, cmd: NoSuchCommand) -> Result<NoSuchEvent, Rejection> {
        NO_SUCH_THING
    }

    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance += e.amount;
    }

    #[cfg(feature = "never")]
    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {
        NO_SUCH_THING
    }
}

#[derive(Events)]
#[allow(dead_code)]
enum Outcome {
    In(Deposited),
    #[cfg(feature = "never")]
    Absent(NoSuchEvent),
}

#[cfg(feature = "never")]
#[saga(name = "never", from = NoSuchAggregate)]
fn never(e: NoSuchEvent) -> NoSuchCommand {}

#[saga(name = "never-too", from = NoSuchAggregate)]
#[cfg(feature = "never")]
fn never_too(e: NoSuchEvent) -> NoSuchCommand {}

#[projector(name = "fields", domains = [Wallet])]
struct Fields {
    #[cfg(feature = "never")]
    absent: NoSuchType,
    _present: u8,
}

#[projector]
impl Fields {
    #[handler]
    fn deposited(&self, _: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }

    #[cfg(feature = "never")]
    #[handler]
    fn absent(&self, _: NoSuchEvent) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {
    let _ = |e: Outcome| matches!(e, Outcome::In(_));
    let _ = Withdrawn::default();
    run(async {
        let runtime = start(Runtime::builder().with(Fields { _present: 0 })).await;
        let id = Uuid::new_v4();
        runtime.send::<Wallet>(id, Deposit { amount: 9 }).await.unwrap();
        assert_eq!(runtime.state::<Wallet>(id).await.unwrap().balance, 2);
    });
    for absent in ["absent", "one", "contradiction"] {
        assert!(!command_handlers().contains(&absent));
    }
    assert!(command_handlers().contains(&"other"));
    assert_eq!(applies().iter().filter(|name| **name == "withdrawn").count(), 1, "the one of the other crate");
}
