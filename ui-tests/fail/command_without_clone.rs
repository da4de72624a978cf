//! A derive is missing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited};

#[derive(PartialEq, prost::Message)]
struct Put {
    #[prost(int64, tag = "1")]
    amount: i64,
}
angzarr_runtime::name_messages!("bank": Put);

#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(int64, tag = "1")]
    balance: i64,
}

#[aggregate]
impl Account {
    #[handler]
    fn put(&self, cmd: Put) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: cmd.amount })
    }

    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance += e.amount;
    }
}

fn main() {}
