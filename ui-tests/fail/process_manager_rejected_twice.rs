//! A rejection has one method.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Reserve, Stock, Warned};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened) -> Reaction {
        Reaction::new()
    }

    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) -> Reaction {
        Reaction::new()
    }

    #[rejected]
    fn again(&self, r: Rejected<Reserve>) -> Reaction {
        Reaction::new()
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
