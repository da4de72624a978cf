//! An event has another context.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "reserve", from = Account)]
fn reserve(e: Deposited, ctx: &CommandContext) -> Option<Command<Stock>> {
    None
}

fn main() {}
