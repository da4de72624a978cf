//! What does it take?
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[upcaster(from = 1)]
fn step() -> Deposited {
    Deposited::default()
}

fn main() {}
