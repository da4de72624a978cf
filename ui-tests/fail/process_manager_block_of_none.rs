//! A struct without a declaration.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Opened;

#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

#[process_manager]
impl Transfer {
    #[handler]
    fn opened(&self, e: Opened) -> Reaction {
        Reaction::new()
    }
}

fn main() {}
