//! Nobody could send to it.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(snapshot(off))]
#[derive(Default)]
struct Account;

fn main() {}
