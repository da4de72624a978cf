//! Never is `off`.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", from = [Account], snapshot(every = 0))]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
