//! A handler is for one event only.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Opened, Stock, Warned};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened, also: Deposited) -> Reaction {
        Reaction::new()
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
