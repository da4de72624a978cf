//! A projector is a struct.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[projector(name = "balances", domains = ["account"])]
fn balances(_: Deposited) -> Result<(), ProjectionError> {
    Ok(())
}

fn main() {}
