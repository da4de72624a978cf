//! A function is no state.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account")]
fn account() {}

fn main() {}
