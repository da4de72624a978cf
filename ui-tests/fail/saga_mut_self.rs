//! A saga has no state.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "reserve", from = Account)]
struct Reserve;

#[saga]
impl Reserve {
    #[handler]
    fn deposited(&mut self, _: Deposited) -> Option<Command<Stock>> {
        None
    }
}

fn main() {}
