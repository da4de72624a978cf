//! Its state is elsewhere.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Reserve;

#[aggregate(domain = "stock", remote, handles(Reserve), snapshot(every = 50))]
pub struct Stock;

fn main() {}
