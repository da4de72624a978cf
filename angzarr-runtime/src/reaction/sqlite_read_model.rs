//! A read model in an SQLite file of the projector's own, over `rusqlite`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Checkpoint, ReadModel, checkpoints};
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

/// How long another program may hold the file before a call fails.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause before the file is asked for again.
const PAUSE: Duration = Duration::from_millis(5);

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
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(256);
        connection.execute_batch(checkpoints::TABLE)?;
        connection.execute_batch(schema)?;
        Ok(Self { writer: Arc::new(Mutex::new(connection)), path: path.map(Arc::new) })
    }

    /// Reads what is committed, on a connection of its own. One that is in memory has one connection only, and the question
    /// waits for the batch that is under way; ask [`EventContext::transaction`](crate::EventContext::transaction) inside a
    /// handler.
    ///
    /// # Errors
    /// What `read` fails with; `SQLITE_BUSY` where a read model in memory has waited for five seconds.
    pub async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, rusqlite::Error> {
        let Some(path) = self.path.clone() else {
            // A handler that asks here, inside the batch that holds the connection, would wait for itself.
            let Ok(connection) = tokio::time::timeout(PATIENCE, self.writer.lock()).await else {
                return Err(busy(
                    "a batch holds the read model in memory; inside a handler read through `ctx.transaction`",
                ));
            };
            return read(&connection);
        };
        let run = move || {
            let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path.as_path(), flags)?;
            connection.busy_timeout(PATIENCE)?;
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
            // Waits without holding a thread of the runtime.
            let deadline = tokio::time::Instant::now() + PATIENCE;
            while !begin_unless_busy(&connection)? {
                if tokio::time::Instant::now() > deadline {
                    return Err(busy("another program holds the file of the read model").into());
                }
                tokio::time::sleep(PAUSE).await;
            }
            Ok(SqliteTransaction { connection, open: true })
        })
    }

    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move {
            let connection = self.writer.lock().await;
            let mut statement = connection.prepare_cached(checkpoints::FIND)?;
            let found = statement
                .query_row([name], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?)))
                .optional()?;
            Ok(found.map(|(store, position)| checkpoints::from_row(store, position)))
        })
    }

    fn commit<'a>(
        &'a self,
        mut transaction: SqliteTransaction,
        name: &'a str,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            let position = checkpoint.position.cast_signed();
            transaction.prepare_cached(checkpoints::STORE)?.execute((name, checkpoint.store.as_bytes(), position))?;
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

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.writer, &other.writer)
    }
}

/// Begins if no other program holds the file.
fn begin_unless_busy(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.busy_timeout(Duration::ZERO)?;
    let begun = match connection.execute_batch("BEGIN IMMEDIATE") {
        Ok(()) => Ok(true),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(error),
    };
    connection.busy_timeout(PATIENCE)?;
    begun
}

fn busy(message: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(code, Some(message.to_owned()))
}
