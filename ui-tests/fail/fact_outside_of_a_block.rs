//! A marker that nobody reads.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Warned};

#[fact]
fn told(f: Deposited) -> Warned {
    Warned { amount: 1 }
}

fn main() {}
