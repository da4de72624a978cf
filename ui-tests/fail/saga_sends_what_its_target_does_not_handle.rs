//! The target has no such handler.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Reserve};

#[saga(name = "reserve", from = Account)]
fn reserve(e: Deposited) -> Command<Account> {
    Account::command(Uuid::nil(), Reserve { amount: e.amount })
}

fn main() {}
