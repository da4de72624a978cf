//! Everything that is wrong is said at once.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Reserve, Stock, Warned};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[rejected(form = Stock)]
    async fn refused(&self, r: Rejected<Reserve>) -> Warned {
        Warned { amount: 1 }
    }

    #[compensate(all)]
    fn undo(&mut self, c: Compensate, why: String) -> Result<Warned, Revocation> {
        Ok(Warned { amount: 1 })
    }

    #[fact]
    fn told(&self, ctx: &EventContext, f: Deposited) -> Result<Warned, Rejection> {
        Ok(Warned { amount: 1 })
    }

    #[timeout("late")]
    fn late(&self) -> Warned {
        Warned { amount: 1 }
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
