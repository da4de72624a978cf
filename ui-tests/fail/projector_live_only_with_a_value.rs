//! It is said or not said.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited};

#[projector(name = "mail", domains = [Account])]
struct Mail;

#[projector]
impl Mail {
    #[handler(live_only = true)]
    fn deposited(&self, _: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
