//! Targets are types too.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", from = [Account], to = ["stock"])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
