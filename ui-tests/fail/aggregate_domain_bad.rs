//! Capital letters are not allowed.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "MyAccount")]
#[derive(Default)]
struct Account;

fn main() {}
