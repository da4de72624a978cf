//! An empty list.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[process_manager(domain = "transfer", from = [])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
