//! It would change nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[upcaster(from = 1)]
fn step(old: Deposited) -> Deposited {
    old
}

fn main() {}
