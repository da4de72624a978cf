//! Each is told, in one go.
#![allow(unused)]

use angzarr_runtime::prelude::*;
use angzarr_ui_domain::{Deposit, Deposited, Withdraw, Withdrawn};

#[aggregate(domain = "Account", snapshot(every = 0))]
#[derive(Clone, PartialEq, prost::Message)]
struct Account {}

#[aggregate]
impl Account {
    #[handler(merge = Strickt)]
    async fn deposit(&mut self, ctx: &EventContext, cmd: Deposit) -> Deposited {
        todo!()
    }

    #[handler]
    fn withdraw(&self, cmd: Withdraw) -> Result<Withdrawn, Rejection> {
        Ok(Withdrawn { amount: cmd.amount })
    }

    #[apply]
    fn deposited(&self, e: Deposited) -> bool {
        true
    }

    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {}
}

/// What refers to handlers with mistakes finds them nevertheless.
fn commands() -> [Command<Account>; 2] {
    [
        Account::command(Uuid::nil(), Deposit { amount: 1 }),
        Account::command(Uuid::nil(), Withdraw { amount: 1 }),
    ]
}

fn main() {
    let _ = commands;
}
