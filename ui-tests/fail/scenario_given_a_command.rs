//! What happened before are events.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Account, Deposit};

use angzarr_runtime::testing::Scenario;

fn main() {
    Scenario::<Account>::given(Deposit { amount: 1 }).when(Deposit { amount: 1 }).then_nothing();
}
