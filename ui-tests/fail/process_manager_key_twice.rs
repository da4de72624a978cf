//! A key has one value.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", from = [Account], domain = "moves")]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
