//! Everything that is wrong is said at once.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Opened, Withdrawn};

#[process_manager(domain = "Transfer", from = [Account, "stock"], every = 5)]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    async fn opened(&mut self, ctx: &CommandContext, e: &mut Opened) -> (Reaction, Reaction) {
        unreachable!()
    }

    #[timeout]
    fn late(self, e: Opened) {}

    #[timeout("later")]
    fn later(&self) -> Reaction {
        Reaction::new().event(Withdrawn { amount: 1 })
    }

    #[rejected(from = "stock")]
    fn refused(&self) -> Reaction {
        Reaction::new()
    }

    #[fact]
    fn told(&self, f: Deposited) -> Reaction {
        Reaction::new()
    }
}

fn main() {}
