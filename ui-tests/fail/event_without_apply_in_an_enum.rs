//! One of two variants has no apply.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited, Warned};

#[derive(Events)]
enum Outcome {
    In(Deposited),
    Warned(Warned),
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
