//! A read model behind a `sqlx::SqlitePool`.

use sqlx::{Sqlite, SqlitePool, Transaction};

use super::{Checkpoint, ReadModel, checkpoints};
use crate::declare::ReactionError;
use crate::storage::BoxFuture;

impl ReadModel for SqlitePool {
    type Transaction = Transaction<'static, Sqlite>;

    fn begin(&self) -> BoxFuture<'_, Result<Self::Transaction, ReactionError>> {
        Box::pin(async move { Ok(SqlitePool::begin(self).await?) })
    }

    fn is_of_earlier_version(&self) -> BoxFuture<'_, Result<bool, ReactionError>> {
        Box::pin(async move { Ok(sqlx::query_scalar(checkpoints::IS_OLD).fetch_one(self).await?) })
    }

    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move {
            sqlx::query(checkpoints::TABLE).execute(self).await?;
            let row: Option<(Vec<u8>, i64)> = sqlx::query_as(checkpoints::FIND).bind(name).fetch_optional(self).await?;
            let Some((store, position)) = row else { return Ok(None) };
            Ok(Some(checkpoints::from_row(store.as_slice().try_into()?, position)))
        })
    }

    fn commit<'a>(
        &'a self,
        mut transaction: Self::Transaction,
        name: &'a str,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            sqlx::query(checkpoints::STORE)
                .bind(name)
                .bind(&checkpoint.store.as_bytes()[..])
                .bind(checkpoint.position.cast_signed())
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        })
    }

    fn rollback(&self, transaction: Self::Transaction) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move { Ok(transaction.rollback().await?) })
    }

    fn is_same(&self, other: &Self) -> bool {
        // Clones of a pool share what it was made with.
        std::ptr::eq(self.options(), other.options())
    }
}
