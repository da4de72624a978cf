//! Its handlers would never be called.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Stock};

struct Reserver;

#[saga]
impl Reserver {
    #[handler]
    fn deposited(&self, e: Deposited) -> Option<Command<Stock>> {
        None
    }
}

fn main() {}
