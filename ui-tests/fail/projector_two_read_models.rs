//! Where is the checkpoint kept?
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[projector(name = "balances", domains = ["account"])]
struct Balances {
    first: SqliteReadModel,
    second: SqliteReadModel,
}

fn main() {}
