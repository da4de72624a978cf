//! A key that is called otherwise.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Reserve, Stock, Warned};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[rejected(target = Stock)]
    fn refused(&self, r: Rejected<Reserve>) -> Result<Warned, Revocation> {
        Ok(Warned { amount: 1 })
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
