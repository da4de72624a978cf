//! It could not remember one while it waits for the other.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "reserve", from = [Account, Stock])]
fn reserve(e: Deposited) -> Option<Command<Stock>> {
    None
}

fn main() {}
