//! What would it be stored as?
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited};

struct Renamed {
    amount: i64,
}

#[upcaster(from = 1)]
fn rename(old: Deposited) -> Renamed {
    Renamed { amount: old.amount }
}

fn main() {}
