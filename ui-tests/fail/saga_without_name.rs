//! Its place in the log is stored under its name.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(from = Account)]
fn reserve(e: Deposited) -> Option<Command<Stock>> {
    None
}

fn main() {}
