//! Which of the two comes first?
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[projector(name = "balances", domains = ["account"])]
struct Balances;

#[projector]
impl Balances {
    #[handler]
    fn deposited(&self, _: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }

    #[handler]
    fn also_deposited(&self, _: &Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
