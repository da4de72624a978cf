//! The separator is a colon.
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[derive(Clone, PartialEq, prost::Message)]
struct Put {}
angzarr_runtime::name_messages!("bank", Put);

fn main() {}
