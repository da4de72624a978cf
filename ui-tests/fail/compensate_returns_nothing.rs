//! It says what undoes the events.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Warned;

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[compensate]
    fn undo(&self, c: Compensate) {
        ()
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
