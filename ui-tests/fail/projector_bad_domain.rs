//! The name of a domain, with a typing error.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[projector(name = "balances", domains = ["Account"])]
struct Balances;

fn main() {}
