//! Its handlers would never be called.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited};

struct Balances;

#[projector]
impl Balances {
    #[handler]
    async fn deposited(&self, e: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
