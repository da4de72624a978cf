//! An event says what happened, not what was wanted.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited};

#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(int64, tag = "1")]
    balance: i64,
}

#[aggregate]
impl Account {
    #[handler]
    fn deposit(&self, cmd: Deposit) -> Result<Deposit, Rejection> {
        Ok(cmd)
    }

    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance += e.amount;
    }
}

fn main() {}
