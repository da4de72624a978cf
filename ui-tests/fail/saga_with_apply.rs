//! A saga has no state.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Stock};

#[saga(name = "reserve", from = Account)]
struct Reserve;

#[saga]
impl Reserve {
    #[handler]
    fn deposited(&self, _: Deposited) -> Option<Command<Stock>> {
        None
    }

    #[apply]
    fn remember(&mut self, _: Deposited) {}
}

fn main() {}
