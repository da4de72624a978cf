//! A block that does nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Stock};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    fn opened(&self, e: Opened) -> Reaction {
        Reaction::new()
    }
}

fn main() {}
