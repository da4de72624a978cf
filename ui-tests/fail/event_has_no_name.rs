//! A message without a protobuf name.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::Deposit;

#[derive(Clone, PartialEq, prost::Message)]
struct Noted {}

#[aggregate(domain = "account")]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {
    #[prost(int64, tag = "1")]
    balance: i64,
}

#[aggregate]
impl Account {
    #[handler]
    fn deposit(&self, _: Deposit) -> Result<Noted, Rejection> {
        Ok(Noted {})
    }

    #[apply]
    fn noted(&mut self, _: Noted) {}
}

fn main() {}
