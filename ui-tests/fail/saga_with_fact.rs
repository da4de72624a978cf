//! A fact is for an aggregate.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Opened, Stock};

#[saga(name = "watch", from = Account)]
struct Watch;

#[saga]
impl Watch {
    #[handler]
    fn opened(&self, e: Opened) -> Option<Command<Stock>> {
        None
    }

    #[fact]
    fn told(&self, f: Deposited) -> Option<Command<Stock>> {
        None
    }
}

fn main() {}
