//! A read model in an SQLite file of the projector's own, over `rusqlite`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{Checkpoint, ReadModel, checkpoints, sqlite_copy};
use crate::declare::ReactionError;
use crate::storage::BoxFuture;

/// An SQLite file that holds a projector's tables and its checkpoint.
///
/// One connection writes, inside the transaction that [`EventContext::transaction`](crate::EventContext::transaction)
/// gives; [`query`](Self::query) reads what is committed.
///
/// Everything in the file is the projector's: a rebuild (row J3) makes a fresh one beside it, in `FILE.angzarr-rebuild`, runs
/// the schema there, so that tables get the form that the program has for them now, and replaces the content of the file at the end in one transaction. A file in which two
/// projectors keep their checkpoints cannot be rebuilt.
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
    schema: Arc<str>,
    /// Made for a rebuild, to be thrown away.
    is_fresh: bool,
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
        connection.execute_batch(checkpoints::TABLE)?;
        connection.execute_batch(schema)?;
        Self::over(connection, path, schema.into(), false)
    }

    fn over(
        connection: Connection,
        path: Option<PathBuf>,
        schema: Arc<str>,
        is_fresh: bool,
    ) -> Result<Self, rusqlite::Error> {
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(Self { writer: Arc::new(Mutex::new(connection)), path: path.map(Arc::new), schema, is_fresh })
    }

    /// An empty one of the same schema beside this one.
    fn make_fresh(&self, live: &Connection, projector: &str) -> Result<Self, ReactionError> {
        sqlite_copy::refuse_shared(live, projector)?;
        let path = self.path.as_ref().map(|path| sqlite_copy::path_beside(path));
        let fresh = match &path {
            Some(path) => {
                sqlite_copy::remove(path)?;
                Connection::open(path)?
            }
            None => Connection::open_in_memory()?,
        };
        sqlite_copy::create(live, &fresh, &self.schema)?;
        Ok(Self::over(fresh, path, self.schema.clone(), true)?)
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

    fn is_of_earlier_version(&self) -> BoxFuture<'_, Result<bool, ReactionError>> {
        Box::pin(async move { Ok(self.writer.lock().await.query_row(checkpoints::IS_OLD, [], |row| row.get(0))?) })
    }

    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move {
            let connection = self.writer.lock().await;
            find(&connection, name)
        })
    }

    fn checkpoint_in<'a>(
        &'a self,
        transaction: &'a mut SqliteTransaction,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        // It holds the file against other writers.
        Box::pin(async move { find(transaction, name) })
    }

    fn is_of_this_process(&self) -> bool {
        true
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

    fn fresh<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Self, ReactionError>> {
        Box::pin(async move {
            let live = self.writer.lock().await;
            self.make_fresh(&live, projector)
        })
    }

    fn take_over<'a>(&'a self, fresh: &'a Self) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            let (from, mut to) = (fresh.writer.clone().lock_owned().await, self.writer.clone().lock_owned().await);
            let replaced = tokio::task::spawn_blocking(move || sqlite_copy::replace(&from, &mut to)).await;
            replaced.map_err(|failed| ReactionError::transient(failed.to_string()))??;
            if let Err(error) = fresh.abandon().await {
                // It has happened; the next rebuild removes the file.
                tracing::warn!(%error, "the fresh file of a rebuild was left behind");
            }
            Ok(())
        })
    }

    fn abandon(&self) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            if !self.is_fresh {
                return Ok(());
            }
            let mut connection = self.writer.lock().await;
            // The file is closed before it is removed.
            drop(std::mem::replace(&mut *connection, Connection::open_in_memory()?));
            self.path.as_deref().map_or(Ok(()), |path| sqlite_copy::remove(path))
        })
    }
}

fn find(connection: &Connection, name: &str) -> Result<Option<Checkpoint>, ReactionError> {
    let mut statement = connection.prepare_cached(checkpoints::FIND)?;
    let found =
        statement.query_row([name], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?))).optional()?;
    Ok(found.map(|(store, position)| checkpoints::from_row(store, position)))
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::declare::{EventContext, SystemClock};
    use crate::reaction::erase_read_model;
    use crate::stream::{Edition, Headers, Name, StreamKey};
    use crate::testing::storage_contract::block_on;

    fn context_with(unit: Arc<dyn std::any::Any + Send + Sync>) -> EventContext {
        EventContext {
            stream: StreamKey::main("account", Uuid::nil()),
            edition: Edition::main(),
            sequence: 0,
            part: 0,
            position: 5,
            created_at: 0,
            type_name: Name::from_static("test.Event"),
            headers: Headers::default(),
            replay: false,
            clock: Arc::new(SystemClock),
            transaction: Some(unit),
        }
    }

    const AT_5: Checkpoint = Checkpoint { store: Uuid::from_u128(1), position: 5 };

    /// Row J1: late answers must not send a projector back; another store begins anew.
    #[test]
    fn j1_a_checkpoint_never_moves_back() {
        block_on(async {
            let model = SqliteReadModel::in_memory("").expect("a model");
            let other = Checkpoint { store: Uuid::from_u128(2), position: 1 };
            let at = |position| Checkpoint { position, ..AT_5 };
            assert_eq!(model.checkpoint("p").await.expect("it answers"), None);
            for (stored, wanted) in [(AT_5, AT_5), (at(3), AT_5), (at(9), at(9)), (other, other)] {
                let transaction = model.begin().await.expect("it begins");
                model.commit(transaction, "p", stored).await.expect("it commits");
                assert_eq!(model.checkpoint("p").await.expect("it answers"), Some(wanted));
                assert_eq!(model.checkpoint("q").await.expect("it answers"), None);
            }
        });
    }

    /// Another program holds the file: other tasks of the same thread go on, and the transaction begins when it is free.
    #[test]
    fn j1_waiting_for_the_file_holds_up_no_thread() {
        block_on(async {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("model.db");
            let model = SqliteReadModel::open(&path, "").expect("a model");
            let other = Connection::open(&path).expect("another program");
            other.execute_batch("BEGIN IMMEDIATE").expect("it holds the file");
            let (transaction, ()) = tokio::join!(model.begin(), async {
                other.execute_batch("ROLLBACK").expect("it lets go");
            });
            model.commit(transaction.expect("it begins"), "p", AT_5).await.expect("it commits");
        });
    }

    /// A handler that asks the model in memory inside its own batch gets an error instead of waiting for itself for ever.
    #[test]
    fn j1_a_question_inside_a_batch_in_memory_ends() {
        block_on(async {
            let model = SqliteReadModel::in_memory("").expect("a model");
            let transaction = model.begin().await.expect("it begins");
            tokio::time::pause(); // nobody waits for the five seconds
            let error = model.query(|_| Ok(())).await.expect_err("the batch holds the connection");
            assert!(error.to_string().contains("ctx.transaction"), "{error}");
            model.rollback(transaction).await.expect("it rolls back");
            model.query(|_| Ok(())).await.expect("it is free");
        });
    }

    /// Rows and checkpoint would go to different databases.
    #[test]
    fn j1_another_read_model_is_refused() {
        block_on(async {
            let model = SqliteReadModel::in_memory("").expect("a model");
            let other = SqliteReadModel::in_memory("").expect("another");
            let erased = erase_read_model(&model);
            let context = context_with(erased.unit());
            let error = context.transaction(&other).await.err().expect("not the projector's own");
            assert!(error.is_permanent(), "{error}");
            drop(context.transaction(&model.clone()).await.map_err(|error| error.to_string()).expect("its own"));
            erased
                .commit(context.transaction.expect("a unit"), "p", None, AT_5)
                .await
                .map_err(|e| e.to_string())
                .expect("stored");
            assert_eq!(model.checkpoint("p").await.map_err(|e| e.to_string()).expect("it answers"), Some(AT_5));
        });
    }
}
