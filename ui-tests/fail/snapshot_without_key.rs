//! A number, but of what?
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", snapshot(50))]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {}

fn main() {}
