//! Once says it.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited};

#[projector(name = "mail", domains = [Account])]
struct Mail;

#[projector]
impl Mail {
    #[handler(live_only, live_only)]
    fn deposited(&self, _: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
