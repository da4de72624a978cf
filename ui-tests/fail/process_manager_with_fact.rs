//! Facts are for aggregates.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Opened, Stock, Warned};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened) -> Reaction {
        Reaction::new()
    }

    #[fact]
    fn told(&self, f: Deposited) -> Warned {
        Warned { amount: f.amount }
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
