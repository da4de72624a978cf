//! A key that is called otherwise.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", sources = [Account])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
