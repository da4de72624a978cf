//! A saga is a function or a struct.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Account;

#[saga(name = "reserve", from = Account)]
enum Reserve {
    Always,
}

fn main() {}
