//! A read model behind a `sqlx::SqlitePool`.

#[cfg(feature = "sqlite")]
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

#[cfg(feature = "sqlite")]
use super::sqlite_copy;
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

    fn checkpoint_in<'a>(
        &'a self,
        transaction: &'a mut Self::Transaction,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move {
            let found = sqlx::query_as(checkpoints::FIND).bind(name).fetch_optional(&mut **transaction).await?;
            let row: Option<(Vec<u8>, i64)> = found;
            let Some((store, position)) = row else { return Ok(None) };
            Ok(Some(checkpoints::from_row(store.as_slice().try_into()?, position)))
        })
    }

    fn is_of_this_process(&self) -> bool {
        true
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

    #[cfg(feature = "sqlite")]
    fn fresh<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Self, ReactionError>> {
        Box::pin(fresh(self, projector))
    }

    #[cfg(not(feature = "sqlite"))]
    fn fresh<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Self, ReactionError>> {
        let text = format!(
            "a pool makes a fresh file beside its own with the feature `sqlite` of angzarr-runtime only; switch it on, or give \
             the rebuild of `{projector}` an instance with an empty file by `.into_instance(…)`"
        );
        Box::pin(async move { Err(ReactionError::permanent(text)) })
    }

    #[cfg(feature = "sqlite")]
    fn take_over<'a>(&'a self, fresh: &'a Self) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            let (from, to) = (file_of(fresh).await?, file_of(self).await?);
            fresh.close().await;
            // A pool cannot copy pages; a connection of ours to the same file can. Those of the pool see the old content, and
            // then the new one.
            let replaced = tokio::task::spawn_blocking(move || {
                let fresh = rusqlite::Connection::open(&from)?;
                let mut live = rusqlite::Connection::open(&to)?;
                live.busy_timeout(BUSY)?;
                sqlite_copy::replace(&fresh, &mut live)?;
                drop(fresh);
                if let Err(error) = sqlite_copy::remove(&from) {
                    // It has happened; the next rebuild removes the file.
                    tracing::warn!(%error, "the fresh file of a rebuild was left behind");
                }
                Ok(())
            });
            replaced.await.map_err(|failed| ReactionError::transient(failed.to_string()))?
        })
    }

    #[cfg(feature = "sqlite")]
    fn abandon(&self) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            let path = self.connect_options().get_filename().to_owned();
            if !sqlite_copy::is_beside(&path) {
                return Ok(());
            }
            self.close().await;
            sqlite_copy::remove(&path)
        })
    }
}

/// How long others may hold the file at the switch.
#[cfg(feature = "sqlite")]
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// The file that a pool is connected to.
#[cfg(feature = "sqlite")]
async fn file_of(pool: &SqlitePool) -> Result<std::path::PathBuf, ReactionError> {
    let sql = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file: Option<String> = sqlx::query_scalar(sql).fetch_one(pool).await?;
    Ok(file.unwrap_or_default().into())
}

/// A pool over an empty file of the same schema.
#[cfg(feature = "sqlite")]
async fn fresh(pool: &SqlitePool, projector: &str) -> Result<SqlitePool, ReactionError> {
    let file = file_of(pool).await?;
    if file.as_os_str().is_empty() {
        return Err(ReactionError::permanent(format!(
            "its pool is in memory and has no file that a fresh one could be put beside; give the rebuild of `{projector}` an \
             instance with an empty one by `.into_instance(…)`"
        )));
    }
    let (path, owner) = (sqlite_copy::path_beside(&file), projector.to_owned());
    let made = path.clone();
    let create = tokio::task::spawn_blocking(move || {
        let live = rusqlite::Connection::open_with_flags(&file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        live.busy_timeout(BUSY)?;
        sqlite_copy::refuse_shared(&live, &owner)?;
        sqlite_copy::remove(&made)?;
        sqlite_copy::create(&live, &rusqlite::Connection::open(&made)?, "")?;
        Ok::<(), ReactionError>(())
    });
    create.await.map_err(|failed| ReactionError::transient(failed.to_string()))??;
    let options = pool.connect_options().as_ref().clone().filename(&path);
    // It can be made again until the switch.
    let options = options.journal_mode(SqliteJournalMode::Memory).synchronous(SqliteSynchronous::Off);
    Ok(pool.options().clone().connect_with(options).await?)
}
