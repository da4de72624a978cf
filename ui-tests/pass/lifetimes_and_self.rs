//! Signatures as people write them.

#![deny(warnings)]
#![forbid(unsafe_code)]
#![deny(elided_lifetimes_in_paths, missing_docs, unused_qualifications, clippy::all)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited, Open, Opened, Withdraw, Withdrawn};
use angzarr_ui_tests::{run, start};

/// A state that is also an event: strange, and allowed.
#[aggregate(domain = "lifetimes")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Account {
    /// What is in it.
    #[prost(int64, tag = "1")]
    pub balance: i64,
}
angzarr_runtime::name_messages!("lifetimes": Account);

/// Why not.
pub struct Refusal(&'static str);

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Rejection::new(refusal.0, "")
    }
}

type DomainResult<T> = Result<T, Refusal>;

#[aggregate]
impl Account {
    #[handler]
    fn replace<'a>(&'a self, cmd: &'a Deposit, ctx: &'a CommandContext<'a>) -> Result<Self, Refusal> {
        let _ = ctx.root();
        Ok(Self { balance: cmd.amount })
    }

    #[handler]
    fn withdraw(&self, mut cmd: Withdraw, _: &CommandContext<'_>) -> DomainResult<Withdrawn> {
        cmd.amount += 1;
        if cmd.amount > self.balance { Err(Refusal("insufficient_funds")) } else { Ok(Withdrawn { amount: cmd.amount }) }
    }

    #[handler]
    fn open(&self, Open { owner }: Open) -> Result<Opened, Rejection> {
        Ok(Opened { owner })
    }

    #[apply]
    fn replaced(&mut self, to: Self) {
        *self = to;
    }

    #[apply]
    fn withdrawn<'a>(&'a mut self, e: &'a Withdrawn) {
        self.balance -= e.amount;
    }

    #[apply]
    fn opened(&mut self, _: Opened) -> () {}
}

#[aggregate]
impl Account {
    #[apply]
    fn deposited(&mut self, Deposited { amount }: Deposited) {
        self.balance += amount;
    }
}

fn main() {
    run(async {
        let runtime = start(Runtime::builder()).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Open { owner: "Ada".into() }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        runtime.send::<Account>(id, Withdraw { amount: 1 }).await.unwrap();
        assert!(runtime.send::<Account>(id, Withdraw { amount: 3 }).await.is_err());
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 3);
    });
}
