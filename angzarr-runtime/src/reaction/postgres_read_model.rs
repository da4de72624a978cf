//! A read model in a schema of the projector's own in a PostgreSQL database, over `tokio-postgres`.

use std::sync::Arc;

use deadpool_postgres::{ClientWrapper, Object, Pool};
use futures_util::FutureExt as _;
use futures_util::future::try_join;

use super::postgres_checkpoints::{FIND, LOCK, STORE, TABLE};
use super::{Checkpoint, ReadModel};
use crate::declare::ReactionError;
use crate::storage::postgres::ReadModelSource;
use crate::storage::{BoxFuture, StorageError};

/// A schema that holds a projector's tables and its checkpoint. A clone is the same read model.
///
/// Handlers write inside the transaction that [`EventContext::transaction`](crate::EventContext::transaction) gives;
/// [`client`](Self::client) is for reading what is committed.
///
/// Everything in the schema is the projector's: a rebuild (row J3) makes a fresh one beside it, `NAME_angzarr_rebuild`, runs
/// `sql` there, so that tables get the form that the program has for them now, gives it the other tables of the old one,
/// empty, and takes the place of the old one in one transaction. A schema in which two projectors keep their checkpoints
/// cannot be rebuilt, and neither can one into which views or foreign keys of other schemas look.
///
/// ```no_run
/// # use angzarr_runtime::prelude::*;
/// # use angzarr_runtime::PostgresReadModel;
/// # #[derive(Clone, PartialEq, prost::Message)] pub struct Deposited { #[prost(int64, tag = "1")] pub amount: i64 }
/// # angzarr_runtime::name_messages!("bank": Deposited);
/// #[projector(name = "totals", domains = ["account"])]
/// pub struct Totals {
///     model: PostgresReadModel,
/// }
///
/// #[projector]
/// impl Totals {
///     #[handler]
///     async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<(), ProjectionError> {
///         let transaction = ctx.transaction(&self.model).await?;
///         transaction.execute("UPDATE total SET amount = amount + $1", &[&e.amount]).await?;
///         Ok(())
///     }
/// }
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgres://shop@db.example/shop";
/// let model = PostgresReadModel::connect(url, "totals", "CREATE TABLE IF NOT EXISTS total (amount bigint)").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresReadModel {
    shared: Arc<Shared>,
}

struct Shared {
    source: ReadModelSource,
    pool: Pool,
    sql: Arc<str>,
    /// Made for a rebuild, to be thrown away.
    is_fresh: bool,
}

/// The open transaction of a batch; one that is dropped is rolled back. Derefs to the client, with `prepare_cached` for
/// statements that come again.
pub struct PostgresTransaction {
    connection: Object,
    /// It is not over.
    open: bool,
}

/// A checkpoint of a letter has the projector's name and more; names hold no space.
const OTHER_OWNER: &str = "SELECT name FROM angzarr_checkpoints
    WHERE name <> $1 AND NOT starts_with(name, $1 || ' ') ORDER BY name LIMIT 1";
const OWNER: &str = "SELECT min(name) FROM angzarr_checkpoints";
/// What of another schema depends on tables of this one.
const DEPENDENT: &str = "
    SELECT 'the view ' || v.oid::regclass FROM pg_class t
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
    WHERE t.relnamespace = to_regnamespace($1) AND v.relnamespace <> t.relnamespace
    UNION ALL
    SELECT 'the foreign key ' || c.conname || ' of ' || c.conrelid::regclass FROM pg_constraint c
    JOIN pg_class t ON t.oid = c.confrelid
    WHERE t.relnamespace = to_regnamespace($1) AND c.connamespace <> t.relnamespace
    LIMIT 1";
const SUFFIX: &str = "_angzarr_rebuild";

impl PostgresReadModel {
    /// Connects, makes the schema if it does not exist, and runs `sql` in it, which must be repeatable (`CREATE TABLE IF NOT
    /// EXISTS …`). The URL is as for [`Postgres`](crate::storage::Postgres), without its option `schema`; names that are not in
    /// the schema are looked for in `public` as well. What was committed is on disk, whatever the server does where nobody
    /// insists, unless the URL itself says `options=-c synchronous_commit=…`.
    ///
    /// # Errors
    /// The server cannot be reached, or `sql` is wrong.
    pub async fn connect(url: impl AsRef<str>, schema: impl AsRef<str>, sql: &str) -> Result<Self, StorageError> {
        let source = ReadModelSource::new(url.as_ref(), schema.as_ref()).await?;
        source.prepare(&[TABLE, sql]).await?;
        Self::over(source, sql.into(), false)
    }

    fn over(source: ReadModelSource, sql: Arc<str>, is_fresh: bool) -> Result<Self, StorageError> {
        let pool = source.pool()?;
        Ok(Self { shared: Arc::new(Shared { source, pool, sql, is_fresh }) })
    }

    /// A connection for reading what is committed; it goes back when it is dropped. A handler reads through
    /// [`EventContext::transaction`](crate::EventContext::transaction), which sees what the batch has written.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn client(&self) -> Result<Object, StorageError> {
        self.shared.source.connection(&self.shared.pool).await
    }

    async fn connection(&self) -> Result<Object, ReactionError> {
        Ok(self.shared.source.connection(&self.shared.pool).await?)
    }

    /// Refuses a schema in which another projector keeps its checkpoint: its rows would not be in the fresh one.
    async fn refuse_shared(&self, client: &tokio_postgres::Client, projector: &str) -> Result<(), ReactionError> {
        let schema = self.shared.source.schema();
        if let Some(row) = client.query_opt(OTHER_OWNER, &[&projector]).await? {
            let other: String = row.try_get(0)?;
            let other = other.split(' ').next().unwrap_or_default();
            return Err(ReactionError::permanent(format!(
                "its read model is the schema of `{other}` too, whose rows a rebuild would lose; give each projector a schema \
                 of its own, or rebuild `{projector}` into another one by `.into_instance(…)`"
            )));
        }
        if let Some(row) = client.query_opt(DEPENDENT, &[&self.shared.source.quoted_schema()]).await? {
            let dependent: String = row.try_get(0)?;
            return Err(ReactionError::permanent(format!(
                "{dependent} looks into the schema `{schema}` of its read model and would be lost when a fresh one takes its \
                 place; drop it first, or rebuild `{projector}` into another schema by `.into_instance(…)`"
            )));
        }
        Ok(())
    }

    async fn make_fresh(&self, projector: &str) -> Result<Self, ReactionError> {
        let live = self.connection().await?;
        self.refuse_shared(&live, projector).await?;
        let source = self.shared.source.beside(SUFFIX)?;
        live.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", source.quoted_schema())).await?;
        source.prepare(&[TABLE, &self.shared.sql]).await?;
        // Tables that somebody else has made.
        let missing =
            "SELECT format('CREATE TABLE %s.%I (LIKE %s.%I INCLUDING ALL)', $2::text, t.relname, $1::text, t.relname)
             FROM pg_class t WHERE t.relnamespace = to_regnamespace($1) AND t.relkind IN ('r', 'p') AND NOT EXISTS (
                 SELECT FROM pg_class f WHERE f.relnamespace = to_regnamespace($2) AND f.relname = t.relname)
             ORDER BY t.oid";
        let names = [self.shared.source.quoted_schema(), source.quoted_schema()];
        for row in live.query(missing, &[&names[0], &names[1]]).await? {
            live.batch_execute(row.try_get(0)?).await?;
        }
        Ok(Self::over(source, self.shared.sql.clone(), true)?)
    }

    async fn replace_by(&self, fresh: &Self) -> Result<(), ReactionError> {
        let mut client = self.connection().await?;
        let owner = fresh.connection().await?.query_one(OWNER, &[]).await?;
        if let Some(name) = owner.try_get::<_, Option<String>>(0)? {
            // The schema may have got a second owner meanwhile.
            self.refuse_shared(&client, name.split(' ').next().unwrap_or_default()).await?;
        }
        fresh.shared.pool.close();
        let (live, new) = (self.shared.source.quoted_schema(), fresh.shared.source.quoted_schema());
        let old = self.shared.source.beside("_angzarr_old")?.quoted_schema();
        let transaction = client.transaction().await?;
        let replace = format!(
            "DROP SCHEMA IF EXISTS {old} CASCADE; ALTER SCHEMA {live} RENAME TO {old}; ALTER SCHEMA {new} RENAME TO {live};
             DROP SCHEMA {old} CASCADE"
        );
        transaction.batch_execute(&replace).await?;
        transaction.commit().await?;
        // They were prepared for tables that are gone.
        self.shared.pool.manager().statement_caches.clear();
        Ok(())
    }
}

impl std::fmt::Debug for PostgresReadModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PostgresReadModel").field(&self.shared.source.describe()).finish()
    }
}

impl std::ops::Deref for PostgresTransaction {
    type Target = ClientWrapper;
    fn deref(&self) -> &ClientWrapper {
        &self.connection
    }
}

impl PostgresTransaction {
    fn ended(&mut self) {
        self.open = false;
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if self.open {
            // Nobody can wait here. It is sent when it is polled for the first time, and whoever gets this connection next
            // comes behind it.
            let _ = self.connection.batch_execute("ROLLBACK").now_or_never();
        }
    }
}

async fn find(client: &ClientWrapper, name: &str) -> Result<Option<Checkpoint>, ReactionError> {
    let statement = client.prepare_cached(FIND).await?;
    let Some(row) = client.query_opt(&statement, &[&name]).await? else { return Ok(None) };
    let (store, position): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(Checkpoint { store: store.parse()?, position: position.cast_unsigned() }))
}

impl ReadModel for PostgresReadModel {
    type Transaction = PostgresTransaction;

    fn begin(&self) -> BoxFuture<'_, Result<PostgresTransaction, ReactionError>> {
        Box::pin(async move {
            let connection = self.connection().await?;
            // Before it begins: if this is given up in between, it is rolled back.
            let transaction = PostgresTransaction { connection, open: true };
            transaction.batch_execute("BEGIN").await?;
            Ok(transaction)
        })
    }

    fn checkpoint<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move { find(&*self.connection().await?, name).await })
    }

    fn checkpoint_in<'a>(
        &'a self,
        transaction: &'a mut PostgresTransaction,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Checkpoint>, ReactionError>> {
        Box::pin(async move {
            let statement = transaction.prepare_cached(LOCK).await?;
            transaction.execute(&statement, &[&name]).await?;
            // A statement of its own: it sees what was committed until the lock was given.
            find(transaction, name).await
        })
    }

    fn commit<'a>(
        &'a self,
        mut transaction: PostgresTransaction,
        name: &'a str,
        checkpoint: Checkpoint,
    ) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(async move {
            let position = checkpoint.position.cast_signed();
            let statement = transaction.prepare_cached(STORE).await?;
            // If a statement of the transaction has failed, whatever the handler made of that, the first one fails too.
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&name, &checkpoint.store.to_string(), &position];
            try_join(transaction.execute(&statement, &parameters), transaction.batch_execute("COMMIT")).await?;
            transaction.ended();
            Ok(())
        })
    }

    fn rollback(&self, mut transaction: PostgresTransaction) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            transaction.batch_execute("ROLLBACK").await?;
            transaction.ended();
            Ok(())
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    fn fresh<'a>(&'a self, projector: &'a str) -> BoxFuture<'a, Result<Self, ReactionError>> {
        Box::pin(self.make_fresh(projector))
    }

    fn take_over<'a>(&'a self, fresh: &'a Self) -> BoxFuture<'a, Result<(), ReactionError>> {
        Box::pin(self.replace_by(fresh))
    }

    fn abandon(&self) -> BoxFuture<'_, Result<(), ReactionError>> {
        Box::pin(async move {
            if !self.shared.is_fresh {
                return Ok(());
            }
            self.shared.pool.close();
            self.shared.source.remove().await?;
            Ok(())
        })
    }
}

#[cfg(test)]
#[path = "postgres_read_model_tests.rs"]
mod tests;
