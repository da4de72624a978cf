//! An enum that is not declared as events.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited};

enum Outcome {
    In(Deposited),
}

#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(int64, tag = "1")]
    balance: i64,
}

#[aggregate]
impl Account {
    #[handler]
    fn deposit(&self, cmd: Deposit) -> Result<Outcome, Rejection> {
        Ok(Outcome::In(Deposited { amount: cmd.amount }))
    }

    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance += e.amount;
    }
}

fn main() {}
