//! A step is a function.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[upcaster(from = 1)]
struct Step;

fn main() {}
