//! A string says not what is to be done.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Reserve, Warned};

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) -> Result<Warned, String> {
        Ok(Warned { amount: 1 })
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
