//! Which step is it?
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Withdrawn};

#[upcaster]
fn step(old: Withdrawn) -> Deposited {
    Deposited { amount: old.amount }
}

fn main() {}
