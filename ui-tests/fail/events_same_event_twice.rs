//! They could not be told apart.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[derive(Events)]
enum Outcome {
    In(Deposited),
    Again(Deposited),
}

fn main() {}
