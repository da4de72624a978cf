//! A saga waits for nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Stock};

#[saga(name = "watch", from = Account)]
struct Watch;

#[saga]
impl Watch {
    #[handler]
    fn opened(&self, e: Opened) -> Option<Command<Stock>> {
        None
    }

    #[timeout("late")]
    fn late(&self) -> Option<Command<Stock>> {
        None
    }
}

fn main() {}
