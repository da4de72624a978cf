//! What is it an apply for?
#![allow(unused)]

use angzarr_runtime::prelude::*;

#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(int64, tag = "1")]
    balance: i64,
}

#[aggregate]
impl Account {
    #[apply]
    fn deposited(&mut self) {

    }
}

fn main() {}
