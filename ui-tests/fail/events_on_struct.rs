//! One of several is an enum.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposited;

#[derive(Events)]
struct Outcome(Deposited);

fn main() {}
