//! Its events fold into the state.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Warned, Withdrawn};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[fact]
    fn told(&self, f: Deposited) -> Withdrawn {
        Withdrawn { amount: f.amount }
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
