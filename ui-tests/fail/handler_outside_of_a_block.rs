//! A marker alone does nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited};

#[handler]
fn deposit(cmd: Deposit) -> Result<Deposited, Rejection> {
    Ok(Deposited { amount: cmd.amount })
}

fn main() {}
