//! A command needs a target.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Reserve};

#[saga(name = "reserve", from = Account)]
fn reserve(e: Deposited) -> Option<Reserve> {
    Some(Reserve { amount: e.amount })
}

fn main() {}
