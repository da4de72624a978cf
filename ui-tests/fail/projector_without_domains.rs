//! It would hear nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[projector(name = "balances")]
struct Balances;

fn main() {}
