//! A fact has a name on the wire.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Warned;

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[fact]
    fn told(&self, f: std::time::Instant) -> Warned {
        Warned { amount: 1 }
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
