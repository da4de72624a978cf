//! One instance serves many events.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[projector(name = "balances", domains = ["account"])]
struct Balances;

#[projector]
impl Balances {
    #[handler]
    fn deposited(&mut self, _: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
