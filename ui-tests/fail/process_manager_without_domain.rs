//! Its own events are stored under its domain.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(from = [Account])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

fn main() {}
