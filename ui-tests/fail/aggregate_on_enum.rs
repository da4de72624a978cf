//! An enum is no state.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account")]
#[derive(Default)]
enum Account {
    #[default]
    Closed,
}

fn main() {}
