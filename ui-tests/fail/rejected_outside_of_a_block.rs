//! A marker that nobody reads.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Reserve;

struct Order;

impl Order {
    #[rejected]
    fn refused(&self, r: Rejected<Reserve>) {}
}

fn main() {}
