//! Handlers say what a local aggregate handles.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Reserve;

#[aggregate(domain = "stock", handles(Reserve))]
#[derive(Default)]
pub struct Stock;

fn main() {}
