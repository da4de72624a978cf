//! Not the name of a message.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Withdrawn};

#[upcaster(from = 1, event = "bank/Deposited")]
fn step(old: Withdrawn) -> Deposited {
    Deposited { amount: old.amount }
}

fn main() {}
