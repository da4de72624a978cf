//! What a projector's read model needs of this backend: an address, a schema, connections.
//!
//! In: a URL and the name of a schema. Out: connections whose names mean that schema. Never: a table of the store.

use deadpool_postgres::{Object, Pool};

use super::super::StorageError;
use super::connect::{Connector, Role, connection};
use super::error::{failed, while_doing};
use super::schema::{MIGRATION_LOCK, schema_exists};
use super::settings::Settings;

/// Where a read model is.
#[derive(Clone)]
pub(crate) struct ReadModelSource {
    connector: Connector,
}

impl ReadModelSource {
    pub(crate) async fn new(url: &str, schema: &str) -> Result<Self, StorageError> {
        let settings = Settings::parse(url).and_then(|settings| settings.in_schema(schema));
        let settings = settings.map_err(|problem| failed(format!("the read model cannot be used: {problem}")))?;
        Ok(Self { connector: Connector::new(settings).await? })
    }

    /// Another schema of the same database, with a longer name.
    pub(crate) fn beside(&self, suffix: &str) -> Result<Self, StorageError> {
        let mut beside = self.clone();
        let name = format!("{}{suffix}", self.schema());
        let settings = self.connector.settings.clone().in_schema(&name);
        beside.connector.settings = settings.map_err(|problem| {
            failed(format!(
                "there is no room for a schema beside that of the read model: {problem}; choose a shorter name"
            ))
        })?;
        Ok(beside)
    }

    pub(crate) fn schema(&self) -> &str {
        &self.connector.settings.schema
    }

    pub(crate) fn quoted_schema(&self) -> String {
        self.connector.settings.quoted_schema()
    }

    pub(crate) fn describe(&self) -> String {
        self.connector.settings.describe()
    }

    /// Makes the schema if it is not there, and runs statements in it that may be repeated; all of it or nothing, and one
    /// process at a time.
    pub(crate) async fn prepare(&self, statements: &[&str]) -> Result<(), StorageError> {
        let mut client = self.connector.connect(Role::Projects).await?;
        let doing = || while_doing(format!("cannot prepare the read model in {}", self.describe()));
        let transaction = client.transaction().await.map_err(doing())?;
        let lock = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
        transaction.execute(lock, &[&MIGRATION_LOCK, &self.schema()]).await.map_err(doing())?;
        // Whoever may not make one may use one that is there.
        if !schema_exists(&transaction, &self.connector.settings).await? {
            transaction.batch_execute(&format!("CREATE SCHEMA {}", self.quoted_schema())).await.map_err(doing())?;
        }
        for sql in statements {
            transaction.batch_execute(sql).await.map_err(doing())?;
        }
        transaction.commit().await.map_err(doing())
    }

    /// Removes the schema with all that is in it.
    pub(crate) async fn remove(&self) -> Result<(), StorageError> {
        let client = self.connector.connect(Role::Projects).await?;
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.quoted_schema());
        client.batch_execute(&sql).await.map_err(while_doing(format!("cannot remove {}", self.describe())))
    }

    pub(crate) fn pool(&self) -> Result<Pool, StorageError> {
        self.connector.pool(Role::Projects)
    }

    pub(crate) async fn connection(&self, pool: &Pool) -> Result<Object, StorageError> {
        connection(pool).await
    }
}
