//! Another process has its state.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Reserve, Stock};

async fn reserve(runtime: &Runtime) -> angzarr_runtime::Result<()> {
    runtime.send::<Stock>(Uuid::nil(), Reserve { amount: 1 });
    Ok(())
}

fn main() {}
