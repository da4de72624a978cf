//! A number, but of what?
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Withdrawn};

#[upcaster(1)]
fn rename(old: Deposited) -> Withdrawn {
    Withdrawn { amount: old.amount }
}

fn main() {}
