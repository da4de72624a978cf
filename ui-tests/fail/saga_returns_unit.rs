//! It could do nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited};

#[saga(name = "reserve", from = Account)]
fn reserve(e: Deposited) -> Option<()> {
    None
}

fn main() {}
