//! A domain needs a name.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "")]
#[derive(Default)]
struct Account;

fn main() {}
