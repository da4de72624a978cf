//! All, or the main one.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[projector(name = "balances", domains = ["account"], editions = Al)]
struct Balances;

fn main() {}
