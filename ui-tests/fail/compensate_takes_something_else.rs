//! The request to undo has one type.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Warned, Withdrawn};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[compensate]
    fn undo(&self, e: Withdrawn) -> Result<Warned, Revocation> {
        Ok(Warned { amount: 1 })
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
