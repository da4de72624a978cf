//! Versions count from 1.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Withdrawn};

#[upcaster(from = 0)]
fn step(old: Withdrawn) -> Deposited {
    Deposited { amount: old.amount }
}

fn main() {}
