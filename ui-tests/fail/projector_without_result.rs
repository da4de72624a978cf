//! A projection may fail.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Balance, Deposited};

#[projector(name = "balances", domains = ["account"])]
struct Balances;

#[projector]
impl Balances {
    #[handler]
    fn deposited(&self, e: Deposited) -> Balance {
        Balance { amount: e.amount }
    }
}

fn main() {}
