//! Spaces are not allowed.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "Reserve stock", from = Account)]
fn reserve(e: Deposited) -> Option<Command<Stock>> {
    None
}

fn main() {}
