//! It means something.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Warned};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[fact]
    fn told(&self, f: Deposited) {
        ()
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
