//! Never is said otherwise.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", snapshot(every = 0))]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {}

fn main() {}
