//! A second block of the same aggregate, in another file.

use angzarr_runtime::prelude::*;

use crate::{Account, Warned, Withdraw, Withdrawn};

#[aggregate]
impl Account {
    /// Must see the current balance.
    #[handler(merge = Strict)]
    fn withdraw(&self, cmd: Withdraw) -> Result<(Withdrawn, Option<Warned>), Rejection> {
        ensure!(cmd.amount <= self.balance, "insufficient_funds", "balance is {}, wanted {}", self.balance, cmd.amount);
        let left = self.balance - cmd.amount;
        Ok((Withdrawn { amount: cmd.amount }, (left < 10).then_some(Warned { amount: left })))
    }

    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {
        self.balance -= e.amount;
    }

    #[apply]
    fn warned(&mut self, _: Warned) {}
}
