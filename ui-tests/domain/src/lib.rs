//! A bank, as a crate that others use: the messages, an aggregate with handlers in two modules, and old shapes of an event.

pub mod messages;
mod withdrawals;

use angzarr_runtime::prelude::*;

pub use messages::*;

/// A customer's account.
///
/// The struct is the state.
#[aggregate(domain = "account", snapshot(every = 50))]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Account {
    /// Whether it was opened.
    #[prost(bool, tag = "1")]
    pub open: bool,
    /// What is in it.
    #[prost(int64, tag = "2")]
    pub balance: i64,
}

#[aggregate]
impl Account {
    /// Opens the account for an owner.
    #[handler]
    fn open(&self, cmd: Open) -> Result<Opened, Rejection> {
        ensure!(!self.open, "already_open", "this account was opened before");
        Ok(Opened { owner: cmd.owner })
    }

    #[handler(merge = Commutative)]
    fn deposit(&self, cmd: &Deposit, ctx: &CommandContext) -> Result<Deposited, Rejection> {
        ensure!(self.open || ctx.next_sequence() == 0, "not_open");
        Ok(Deposited { amount: cmd.amount })
    }

    #[apply]
    fn opened(&mut self, _: Opened) {
        self.open = true;
    }

    #[apply]
    fn deposited(&mut self, e: &Deposited) {
        self.balance += e.amount;
    }
}

/// The stock, which another process keeps.
#[aggregate(domain = "stock", remote, handles(Reserve, Release))]
pub struct Stock;
