//! The aggregate is named by its type.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Stock};

#[saga(name = "reserve", from = "account")]
fn reserve(e: Deposited) -> Option<Command<Stock>> {
    None
}

fn main() {}
