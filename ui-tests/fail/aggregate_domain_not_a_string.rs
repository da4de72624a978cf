//! A bare word is no name.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = Account)]
#[derive(Default)]
struct Account;

fn main() {}
