//! A typing error in a key.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", snapshots(every = 50))]
#[derive(Default)]
struct Account;

fn main() {}
