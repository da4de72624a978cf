//! Nothing is sent.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposit};

#[deny(unused_must_use)]
async fn deposit(runtime: &Runtime) {
    runtime.send::<Account>(Uuid::nil(), Deposit { amount: 1 });
}

fn main() {}
