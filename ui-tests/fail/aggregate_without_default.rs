//! The state before the first event is unknown.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account")]
struct Account {
    balance: i64,
}

fn main() {}
