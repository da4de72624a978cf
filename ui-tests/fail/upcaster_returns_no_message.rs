//! A number is no event.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Withdrawn;

#[upcaster(from = 1)]
fn step(old: Withdrawn) -> Option<i64> {
    Some(old.amount)
}

fn main() {}
