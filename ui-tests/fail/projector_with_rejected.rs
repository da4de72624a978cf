//! A projector sends nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Opened, Reserve};

#[projector(name = "balances", domains = [Account])]
struct Balances;

#[projector]
impl Balances {
    #[handler]
    async fn opened(&self, e: Opened) -> Result<(), ProjectionError> {
        Ok(())
    }

    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
