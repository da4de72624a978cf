//! 65 characters.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
#[derive(Default)]
struct Account;

fn main() {}
