//! A read model in an SQLite file of the projector's own, over `rusqlite`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::ReadModel;
use crate::declare::ReactionError;
use crate::storage::BoxFuture;

/// An SQLite file that holds a projector's tables and its checkpoint.
///
/// One connection writes, inside the transaction that [`EventContext::transaction`](crate::EventContext::transaction)
/// gives; [`query`](Self::query) reads what is committed.
///
/// ```
/// use angzarr_runtime::SqliteReadModel;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = SqliteReadModel::in_memory("CREATE TABLE IF NOT EXISTS balance (account TEXT PRIMARY KEY, amount INTEGER)")?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqliteReadModel {
    writer: Arc<Mutex<Connection>>,
    path: Option<Arc<PathBuf>>,
}

/// The open transaction of a batch. Derefs to the connection.
pub struct SqliteTransaction {
    connection: OwnedMutexGuard<Connection>,
    open: bool,
}

const CHECKPOINTS: &str = "CREATE TABLE IF NOT EXISTS angzarr_checkpoints (
    projector TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID";

impl SqliteReadModel {
    /// Opens or creates the file and runs `schema`, which must be repeatable (`CREATE TABLE IF NOT EXISTS …`).
    ///
    /// # Errors
    /// The file cannot be opened, or the schema is wrong.
    pub fn open(path: impl AsRef<Path>, schema: &str) -> Result<Self, rusqlite::Error> {
        let path = path.as_ref();
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        // A read model that loses its last commits in a power cut loses its checkpoint with them: it catches up.
        connection.pragma_update(None, "synchronous", "normal")?;
        Self::prepare(connection, schema, Some(path.to_owned()))
    }

    /// A read model that lives as long as the value, for tests.
    ///
    /// # Errors
    /// The schema is wrong.
    pub fn in_memory(schema: &str) -> Result<Self, rusqlite::Error> {
        Self::prepare(Connection::open_in_memory()?, schema, None)
    }

    fn prepare(connection: Connection, schema: &str, path: Option<PathBuf>) -> Result<Self, rusqlite::Error> {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(256);
        connection.execute_batch(CHECKPOINTS)?;
        connection.execute_batch(schema)?;
        Ok(Self { writer: Arc::new(Mutex::new(connection)), path: path.map(Arc::new) })
    }

    /// Reads what is committed, on a connection of its own.
    ///
    /// # Errors
    /// What `read` fails with.
    pub async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, rusqlite::Error> {
        let Some(path) = self.path.clone() else { return read(&*self.writer.lock().await) };
        let run = move || {
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path.as_path(), flags)?;
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            read(&connection)
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(result) => result,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
}

impl std::ops::Deref for SqliteTransaction {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl SqliteTransaction {
    fn committed(&mut self) {
        self.open = false;
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        if self.open
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a read model's transaction could not be rolled back");
        }
    }
}

impl ReadModel for SqliteReadModel {
    type Transaction = SqliteTransaction;

    fn begin(&self) -> BoxFuture<'_, Result<SqliteTransaction, ReactionError>> {
        Box::pin(async move {
            let connection = self.writer.clone().lock_owned().await;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(SqliteTransaction { connection, open: true })
        })
    }

    fn checkpoint<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Option<u64>, ReactionError>> {
        Box::pin(async move {
            let connection = self.writer.lock().await;
            let mut statement =
                connection.prepare_cached("SELECT position FROM angzarr_checkpoints WHERE projector = ?1")?;
            Ok(statement.query_row([projector], |row| row.get::<_, i64>(0)).optional()?.map(i64::cast_unsigned))
        })
    }

    fn commit<'a>(
        &'a self,
        mut transaction: SqliteTransaction,
        projector: &'a str,
        position: u64,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            transaction
                .prepare_cached(
                    "INSERT INTO angzarr_checkpoints (projector, position) VALUES (?1, ?2)
                     ON CONFLICT (projector) DO UPDATE SET position = excluded.position",
                )?
                .execute((projector, position.cast_signed()))?;
            transaction.execute_batch("COMMIT")?;
            transaction.committed();
            Ok(())
        })
    }

    fn rollback(&self, transaction: SqliteTransaction) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            drop(transaction);
            Ok(())
        })
    }
}
