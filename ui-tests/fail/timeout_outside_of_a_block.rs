//! A marker that nobody reads.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Stock};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

impl Transfer {
    #[timeout("late")]
    fn late(&self) -> Reaction<Self> {
        Reaction::new()
    }
}

fn main() {}
