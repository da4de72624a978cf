//! There is one for the whole program.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[process_manager(domain = "transfer", from = [Account])]
struct Transfer<T> {
    of: Option<T>,
}

fn main() {}
