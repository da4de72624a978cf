//! Two events in one variant.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Withdrawn};

#[derive(Events)]
enum Outcome {
    In(Deposited),
    Both(Deposited, Withdrawn),
}

fn main() {}
