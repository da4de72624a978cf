//! A step has nothing to look up.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposited, Withdrawn};

struct Steps;

impl Steps {
    #[upcaster(from = 1)]
    fn step(&self, old: Withdrawn) -> Deposited {
        Deposited { amount: old.amount }
    }
}

fn main() {}
