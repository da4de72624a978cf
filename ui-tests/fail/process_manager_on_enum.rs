//! An enum is no state that events fold into.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", from = [Account])]
enum Transfer {
    Started,
}

fn main() {}
