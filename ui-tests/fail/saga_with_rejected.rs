//! A saga has no state that a rejection could change.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Reserve, Stock};

#[saga(name = "watch", from = Account)]
struct Watch;

#[saga]
impl Watch {
    #[handler]
    fn opened(&self, e: Opened) -> Option<Command<Stock>> {
        None
    }

    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) -> Option<Command<Stock>> {
        None
    }
}

fn main() {}
