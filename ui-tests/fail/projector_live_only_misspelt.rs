//! A key that is nearly one.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited, Withdrawn};

#[projector(name = "mail", domains = [Account])]
struct Mail;

#[projector]
impl Mail {
    #[handler(liveonly)]
    fn deposited(&self, _: Deposited) -> Result<(), ProjectionError> {
        Ok(())
    }

    #[handler(merge = Strict)]
    fn withdrawn(&self, _: Withdrawn) -> Result<(), ProjectionError> {
        Ok(())
    }
}

fn main() {}
