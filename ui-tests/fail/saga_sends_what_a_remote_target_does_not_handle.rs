//! The target was not declared to take it.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock, Withdraw};

#[saga(name = "reserve", from = Account)]
fn reserve(e: Deposited) -> Command<Stock> {
    Stock::command(Uuid::nil(), Withdraw { amount: e.amount })
}

fn main() {}
