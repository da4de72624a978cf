//! Once is enough.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Release, Reserve};

#[aggregate(domain = "stock", remote, handles(Reserve, Release, Reserve))]
pub struct Stock;

fn main() {}
