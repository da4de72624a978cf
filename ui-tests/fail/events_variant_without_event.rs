//! An empty variant.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[derive(Events)]
enum Outcome {
    In(Deposited),
    Nothing,
}

fn main() {}
