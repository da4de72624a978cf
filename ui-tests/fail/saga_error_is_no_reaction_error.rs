//! A failure has a message.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "reserve", from = Account)]
fn reserve(e: Deposited) -> Result<Command<Stock>, String> {
    Err(String::new())
}

fn main() {}
