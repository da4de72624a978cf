//! `codec = Serde` needs serde.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", snapshot(every = 50, codec = Serde))]
#[derive(Default)]
struct Account {
    balance: i64,
}

fn main() {}
