//! A block of a type that is no aggregate.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Reserve;

#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) -> Result<(), Revocation> {
        Ok(())
    }
}

fn main() {}
