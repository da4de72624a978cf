/// A customer's account.
#[aggregate(domain = "account", snapshot(every = 50), state_version = 2)]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Account {
    #[prost(int64, tag = "1")]
    pub balance: i64,
}

#[aggregate]
impl Account {
    /// Must see the current balance.
    #[handler(merge = Strict)]
    fn withdraw<'a>(&'a self, cmd: Withdraw, ctx: &'a CommandContext<'a>) -> Result<(Withdrawn, Option<Vec<Noted>>), Refusal> {
        decide(self, cmd, ctx)
    }

    #[cfg(feature = "points")]
    #[handler]
    fn touch(&self, _: &Touch) -> Result<(), Rejection> {
        Ok(())
    }

    #[apply]
    fn withdrawn(&mut self, e: Withdrawn) {
        self.balance -= e.amount;
    }

    fn helper(&self) {}
}
