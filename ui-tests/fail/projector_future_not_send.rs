//! A handler may move to another thread while it waits.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[projector(name = "balances", domains = ["account"])]
struct Balances;

#[projector]
impl Balances {
    #[handler]
    async fn deposited(&self, _: Deposited) -> Result<(), ProjectionError> {
        let shared = std::rc::Rc::new(1);
        std::future::ready(()).await;
        drop(shared);
        Ok(())
    }
}

fn main() {}
