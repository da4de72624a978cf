//! A name that cannot be stored.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "MoneyTransfer", from = [Account])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
