//! Empty parentheses.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", snapshot())]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {}

fn main() {}
