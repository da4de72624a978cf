//! A state has a beginning.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", from = [Account])]
struct Transfer {
    open: bool,
}

fn main() {}
