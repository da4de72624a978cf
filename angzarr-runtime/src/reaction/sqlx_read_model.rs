//! A read model behind a `sqlx::SqlitePool`.

use sqlx::{Sqlite, SqlitePool, Transaction};

use super::ReadModel;
use crate::declare::ReactionError;
use crate::storage::BoxFuture;

const CHECKPOINTS: &str = "CREATE TABLE IF NOT EXISTS angzarr_checkpoints (
    projector TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID";

impl ReadModel for SqlitePool {
    type Transaction = Transaction<'static, Sqlite>;

    fn begin(&self) -> BoxFuture<'_, Result<Self::Transaction, ReactionError>> {
        Box::pin(async move { Ok(SqlitePool::begin(self).await?) })
    }

    fn checkpoint<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Option<u64>, ReactionError>> {
        Box::pin(async move {
            sqlx::query(CHECKPOINTS).execute(self).await?;
            let row: Option<(i64,)> = sqlx::query_as("SELECT position FROM angzarr_checkpoints WHERE projector = ?1")
                .bind(projector)
                .fetch_optional(self)
                .await?;
            Ok(row.map(|(position,)| position.cast_unsigned()))
        })
    }

    fn commit<'a>(
        &'a self,
        mut transaction: Self::Transaction,
        projector: &'a str,
        position: u64,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            sqlx::query(
                "INSERT INTO angzarr_checkpoints (projector, position) VALUES (?1, ?2)
                 ON CONFLICT (projector) DO UPDATE SET position = excluded.position",
            )
            .bind(projector)
            .bind(position.cast_signed())
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        })
    }

    fn rollback(&self, transaction: Self::Transaction) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move { Ok(transaction.rollback().await?) })
    }
}
