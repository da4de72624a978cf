//! A trait's methods are no handlers.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited};

#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(int64, tag = "1")]
    balance: i64,
}

trait Handlers {
    fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection>;
}

#[aggregate]
impl Handlers for Account {
    #[handler]
    fn deposit(&self, cmd: Deposit) -> Result<Deposited, Rejection> {
        Ok(Deposited { amount: cmd.amount })
    }
}

fn main() {}
