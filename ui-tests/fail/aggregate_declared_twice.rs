//! On the struct and on a block.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[aggregate(domain = "account")]
#[derive(Default)]
struct Account {
    balance: i64,
}

#[aggregate(domain = "account")]
impl Account {
    #[apply]
    fn deposited(&mut self, e: Deposited) {
        self.balance += e.amount;
    }
}

fn main() {}
