//! It cannot fail.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Withdrawn};

#[upcaster(from = 1)]
fn step(old: Withdrawn) -> Result<Deposited, Rejection> {
    Ok(Deposited { amount: old.amount })
}

fn main() {}
