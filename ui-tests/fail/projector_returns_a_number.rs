//! A projection is a message.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[projector(name = "balances", domains = ["account"])]
struct Balances;

#[projector]
impl Balances {
    #[handler]
    fn deposited(&self, e: Deposited) -> Result<i64, ProjectionError> {
        Ok(e.amount)
    }
}

fn main() {}
