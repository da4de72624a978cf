//! A read model behind a `sqlx::PgPool`: the schema that its connections look into first.
//!
//! It cannot make a fresh one beside it: a pool does not say what else is in its schema. For a rebuild give an instance with a
//! pool over an empty schema, by `.into_instance(…)`; or use `PostgresReadModel`.

use sqlx::{PgPool, Postgres, Transaction};

use super::{Checkpoint, ReadModel, postgres_checkpoints as checkpoints};
use crate::declare::ReactionError;
use crate::storage::BoxFuture;

impl ReadModel for PgPool {
    type Transaction = Transaction<'static, Postgres>;

    fn begin(&self) -> BoxFuture<'_, Result<Self::Transaction, ReactionError>> {
        Box::pin(async move { Ok(PgPool::begin(self).await?) })
    }

    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move {
            // Without a look first, two that make it at once would meet.
            let made: bool =
                sqlx::query_scalar("SELECT to_regclass('angzarr_checkpoints') IS NOT NULL").fetch_one(self).await?;
            if !made {
                let mut transaction = PgPool::begin(self).await?;
                sqlx::query("SELECT pg_advisory_xact_lock(1095649115, hashtext('angzarr_checkpoints'))")
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(checkpoints::TABLE).execute(&mut *transaction).await?;
                transaction.commit().await?;
            }
            let row: Option<(String, i64)> = sqlx::query_as(checkpoints::FIND).bind(name).fetch_optional(self).await?;
            let Some((store, position)) = row else { return Ok(None) };
            Ok(Some(Checkpoint { store: store.parse()?, position: position.cast_unsigned() }))
        })
    }

    fn checkpoint_in<'a>(
        &'a self,
        transaction: &'a mut Self::Transaction,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move {
            sqlx::query(checkpoints::LOCK).bind(name).execute(&mut **transaction).await?;
            // A statement of its own: it sees what was committed until the lock was given.
            let found = sqlx::query_as(checkpoints::FIND).bind(name).fetch_optional(&mut **transaction).await?;
            let row: Option<(String, i64)> = found;
            let Some((store, position)) = row else { return Ok(None) };
            Ok(Some(Checkpoint { store: store.parse()?, position: position.cast_unsigned() }))
        })
    }

    fn commit<'a>(
        &'a self,
        mut transaction: Self::Transaction,
        name: &'a str,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            // If a statement of the transaction has failed, whatever the handler made of that, this fails too.
            sqlx::query(checkpoints::STORE)
                .bind(name)
                .bind(checkpoint.store.to_string())
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

/// On the server that the tests of the storage use.
#[cfg(all(test, feature = "postgres"))]
mod tests {
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
    use uuid::Uuid;

    use super::*;
    use crate::storage::postgres::tests::{Schema, stranger, url};
    use crate::testing::storage_contract::block_on;

    /// Row J1: rows and checkpoint together, or neither.
    #[test]
    fn j1_rows_and_checkpoint_of_a_pool_are_one() {
        block_on(async {
            let schema = Schema::new().await;
            let sql = format!("CREATE SCHEMA {0}; CREATE TABLE {0}.balance (account text PRIMARY KEY)", schema.0);
            stranger().await.batch_execute(&sql).await.expect("a schema");
            let options: PgConnectOptions = url().parse().expect("a URL");
            let options = options.options([("search_path", &schema.0)]);
            let pool = PgPoolOptions::new().connect_with(options).await.expect("a pool");
            let at = |position| Checkpoint { store: Uuid::from_u128(1), position };
            assert_eq!(pool.checkpoint("p").await.expect("it answers"), None);
            assert!(pool.is_same(&pool.clone()));
            let put = async |account: &str, transaction: &mut Transaction<'static, Postgres>| {
                sqlx::query("INSERT INTO balance VALUES ($1)").bind(account).execute(&mut **transaction).await
            };
            for (account, position, wanted) in [("a", 5, 5), ("b", 3, 5), ("c", 9, 9)] {
                let mut transaction = ReadModel::begin(&pool).await.expect("it begins");
                put(account, &mut transaction).await.expect("a row");
                ReadModel::commit(&pool, transaction, "p", at(position)).await.expect("it commits");
                assert_eq!(pool.checkpoint("p").await.expect("it answers"), Some(at(wanted)));
            }
            let mut transaction = ReadModel::begin(&pool).await.expect("it begins");
            put("d", &mut transaction).await.expect("a row");
            put("a", &mut transaction).await.expect_err("it is there already");
            ReadModel::commit(&pool, transaction, "p", at(11)).await.expect_err("nothing of it was stored");
            let mut transaction = ReadModel::begin(&pool).await.expect("it begins");
            put("d", &mut transaction).await.expect("a row");
            ReadModel::rollback(&pool, transaction).await.expect("it rolls back");
            let count: i64 =
                sqlx::query_scalar("SELECT count(*) FROM balance").fetch_one(&pool).await.expect("a count");
            assert_eq!((count, pool.checkpoint("p").await.expect("it answers")), (3, Some(at(9))));
            let other = Checkpoint { store: Uuid::from_u128(2), position: 1 };
            let transaction = ReadModel::begin(&pool).await.expect("it begins");
            ReadModel::commit(&pool, transaction, "p", other).await.expect("it commits");
            assert_eq!(pool.checkpoint("p").await.expect("it answers"), Some(other), "another store begins anew");
            assert!(pool.fresh("p").await.is_err_and(|error| error.is_permanent()));
            pool.close().await;
        });
    }
}
