//! Its events fold into the state.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Reserve, Warned, Withdrawn};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) -> Result<Withdrawn, Revocation> {
        Ok(Withdrawn { amount: 1 })
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
