//! One registration, one type.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account")]
#[derive(Default)]
struct Account<T> {
    balance: T,
}

fn main() {}
