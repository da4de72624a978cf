//! A message is no aggregate.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposited};

#[process_manager(domain = "transfer", from = [Account, Deposited])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
