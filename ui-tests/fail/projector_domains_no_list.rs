//! Brackets are missing.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[projector(name = "balances", domains = "account")]
struct Balances;

fn main() {}
