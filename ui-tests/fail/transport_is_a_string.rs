//! A URL has a method of its own.
#![allow(unused)]

use angzarr_runtime::prelude::*;

fn main() {
    let _ = Runtime::builder().transport("local:");
}
