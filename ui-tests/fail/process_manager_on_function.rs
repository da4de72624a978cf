//! A process manager is not a function: it has a state.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Stock, Warned};

#[process_manager(domain = "transfer", from = [Account])]
fn transfer(e: Warned) -> Vec<Command<Stock>> {
    Vec::new()
}

fn main() {}
