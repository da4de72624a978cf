//! The same in a method without a marker.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Stock, Warned, Withdrawn};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened) -> Reaction {
        Reaction::new()
    }

    fn begin(&self) -> Option<Reaction> {
        Some(Reaction::new().event(Withdrawn { amount: 1 }))
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
