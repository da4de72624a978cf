//! Callers need a code that stays.
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
    fn deposit(&self, cmd: Deposit) -> Result<Deposited, String> {
        Err("the bank is closed".to_owned())
    }

    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance += e.amount;
    }
}

fn main() {}
