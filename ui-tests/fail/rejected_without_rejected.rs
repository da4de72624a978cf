//! The command comes with the reason of its rejection.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Reserve, Warned};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[rejected]
    fn refused(&self, cmd: Reserve) -> Result<Warned, Revocation> {
        Ok(Warned { amount: 1 })
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
