//! A projector has no state.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[projector(name = "balances", domains = ["account"])]
struct Balances;

#[projector]
impl Balances {
    #[apply]
    fn deposited(&mut self, _: Deposited) {}
}

fn main() {}
