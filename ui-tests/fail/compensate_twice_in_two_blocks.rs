//! One method, in whatever block.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[compensate]
    fn undo(&self, c: Compensate) -> Result<(), Revocation> {
        Ok(())
    }
}

#[aggregate]
impl Order {
    #[compensate]
    fn again(&self, c: &Compensate) -> Result<(), Revocation> {
        Ok(())
    }
}

fn main() {}
