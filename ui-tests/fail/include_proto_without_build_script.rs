//! This crate has no `build.rs`.
#![allow(unused)]

use angzarr_runtime::prelude::*;

pub mod pb {
    angzarr_runtime::include_proto!("bank");
}

fn main() {}
