//! Commands are checked by their target.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposit, Opened, Stock, Warned};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened, ctx: &EventContext) -> Reaction {
        Reaction::new().command(Stock::command(ctx.root(), Deposit { amount: 1 }))
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
