//! A projection is one message.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Balance, Deposited};

#[projector(name = "balances", domains = ["account"])]
struct Balances;

#[projector]
impl Balances {
    #[handler]
    fn deposited(&self, e: Deposited) -> Result<Vec<Balance>, ProjectionError> {
        Ok(vec![Balance { amount: e.amount }])
    }
}

fn main() {}
