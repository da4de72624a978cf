//! The aggregate has no such handler.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Reserve};

async fn reserve(runtime: &Runtime) -> angzarr_runtime::Result<()> {
    runtime.send::<Account>(Uuid::nil(), Reserve { amount: 1 }).await?;
    Ok(())
}

fn main() {
    let _ = reserve;
}
