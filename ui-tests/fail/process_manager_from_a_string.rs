//! Sources are types, so that their events are checked.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", from = [Account, "stock"])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
