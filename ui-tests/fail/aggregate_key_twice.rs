//! Which of the two?
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", domain = "wallet")]
#[derive(Default)]
struct Account;

fn main() {}
