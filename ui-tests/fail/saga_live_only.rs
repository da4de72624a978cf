//! Only projectors are rebuilt.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "reserve", from = Account)]
struct Reserve;

#[saga]
impl Reserve {
    #[handler(live_only)]
    fn deposited(&self, _: Deposited) -> Option<Command<Stock>> {
        None
    }
}

fn main() {}
