//! A source that is listed twice.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Stock};

#[process_manager(domain = "transfer", from = [Account, Stock, Account])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
