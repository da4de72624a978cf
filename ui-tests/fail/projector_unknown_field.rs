//! A typing error in a field's name.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[projector(name = "balances", domains = ["account"], read_model = modle)]
struct Balances {
    model: SqliteReadModel,
}

fn main() {}
