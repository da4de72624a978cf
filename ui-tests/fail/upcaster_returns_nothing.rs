//! What takes its place?
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Withdrawn;

#[upcaster(from = 1)]
fn step(old: Withdrawn) {
    let _ = old;
}

fn main() {}
