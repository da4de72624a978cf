//! A plain struct has no encoding.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", snapshot(every = 50))]
#[derive(Default)]
struct Account {
    balance: i64,
}

fn main() {}
