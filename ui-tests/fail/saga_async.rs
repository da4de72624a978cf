//! A saga is pure.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "reserve", from = Account)]
async fn reserve(e: Deposited) -> Option<Command<Stock>> {
    None
}

fn main() {}
