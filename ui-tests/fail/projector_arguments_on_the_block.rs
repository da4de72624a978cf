//! The declaration stands on the struct.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

struct Balances;

#[projector(name = "balances", domains = ["account"])]
impl Balances {
    #[handler]
    fn deposited(&self, _: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
