//! Versions count from 1.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account", state_version = 0)]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {}

fn main() {}
