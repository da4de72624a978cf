//! Numbers are no commands.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited};

#[saga(name = "reserve", from = Account)]
fn reserve(e: Deposited) -> Vec<i64> {
    vec![e.amount]
}

fn main() {}
