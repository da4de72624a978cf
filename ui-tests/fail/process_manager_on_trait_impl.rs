//! Handlers are methods of the type itself.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Stock};

#[process_manager(domain = "transfer", from = [Account, Stock])]
#[derive(Clone, PartialEq, prost::Message)]
struct Transfer {}

trait React {}

#[process_manager]
impl React for Transfer {}

fn main() {}
