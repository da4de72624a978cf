//! It waits for nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Warned;

#[aggregate(domain = "order")]
#[derive(Clone, PartialEq, prost::Message)]
struct Order {}

#[aggregate]
impl Order {
    #[compensate]
    async fn undo(&self, c: Compensate) -> Result<Warned, Revocation> {
        Ok(Warned { amount: 1 })
    }

    #[apply]
    fn warned(&mut self, e: Warned) {}
}

fn main() {}
