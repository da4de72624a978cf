//! What does it listen to?
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Stock};

#[saga(name = "reserve")]
fn reserve(e: Deposited) -> Option<Command<Stock>> {
    None
}

fn main() {}
