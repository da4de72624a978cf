//! There are two.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", snapshot(every = 50, codec = Serd))]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {}

fn main() {}
