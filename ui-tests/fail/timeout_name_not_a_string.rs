//! A name is a string.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Stock, Warned};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened) -> Reaction {
        Reaction::new()
    }

    #[timeout(late)]
    fn late(&self) -> Reaction {
        Reaction::new()
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
