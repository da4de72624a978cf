//! A plain struct is no command.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

struct Amount(i64);

#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(int64, tag = "1")]
    balance: i64,
}

#[aggregate]
impl Account {
    #[handler]
    fn deposit(&self, cmd: Amount) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: cmd.0 })
    }

    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance += e.amount;
    }
}

fn main() {}
