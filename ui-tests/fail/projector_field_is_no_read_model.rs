//! A number keeps no checkpoint.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[projector(name = "balances", domains = ["account"], read_model = number)]
struct Balances {
    number: i64,
}

fn main() {}
