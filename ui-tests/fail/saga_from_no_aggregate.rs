//! A message is no aggregate.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Stock};

#[saga(name = "reserve", from = Deposited)]
fn reserve(e: Deposited) -> Option<Command<Stock>> {
    None
}

fn main() {}
