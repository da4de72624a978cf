//! Nothing could be checked.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "stock", remote)]
pub struct Stock;

fn main() {}
