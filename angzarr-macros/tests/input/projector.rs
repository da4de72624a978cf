/// How much is in each account.
#[projector(name = "balances", domains = ["account", shop::Order], editions = All)]
pub struct Balances {
    pool: sqlx::SqlitePool,
    #[cfg(test)]
    seen: Seen,
}

#[projector]
impl Balances {
    #[handler]
    async fn withdrawn(&self, e: Withdrawn, ctx: &EventContext) -> Result<Option<BalanceView>, ProjectionError> {
        self.write(e, ctx).await
    }

    #[handler]
    fn opened(&self, _: Opened) -> Result<(), Failure> {
        Ok(())
    }
}

#[projector(name = "one-field", domains = ["account"], read_model = pool)]
struct OneField {
    pool: sqlx::SqlitePool,
    other: sqlx::SqlitePool,
}

#[projector(name = "unit", domains = ["account"])]
struct Unit;
