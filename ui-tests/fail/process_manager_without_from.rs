//! It listens to nothing.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[process_manager(domain = "transfer")]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
