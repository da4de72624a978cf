//! An event has one handler, in whatever block.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Stock};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened) -> Reaction {
        Reaction::new()
    }
}

#[process_manager]
impl Transfer {
    #[handler]
    fn again(&self, e: Opened) -> Reaction {
        Reaction::new()
    }
}

fn main() {}
