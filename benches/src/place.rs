//! Where an arm of a measurement keeps its data. It is removed with it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::Result;

/// A directory, or a schema of a PostgreSQL database.
pub enum Place {
    Directory(TempDir),
    Schema(Schema),
}

impl Place {
    pub fn directory(base: &Path) -> Result<Self> {
        Ok(Self::Directory(tempfile::tempdir_in(base)?))
    }

    pub async fn schema(url: &str) -> Result<Self> {
        Schema::new(url).await.map(Self::Schema)
    }

    /// Removes it, and leaves nothing to do for the disk, so that whoever comes next pays for nobody.
    pub async fn remove(self) -> Result<()> {
        match self {
            Self::Directory(directory) => Ok(directory.close()?),
            Self::Schema(schema) => schema.remove().await,
        }
    }
}

/// A schema of its own.
pub struct Schema {
    base: String,
    name: String,
}

static SCHEMAS: AtomicU32 = AtomicU32::new(0);

impl Schema {
    async fn new(url: &str) -> Result<Self> {
        let name = format!("bench_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let schema = Self { base: url.to_owned(), name };
        schema.execute(&format!("CREATE SCHEMA {}", schema.name)).await?;
        Ok(schema)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// For whoever knows nothing of schemas.
    pub fn url(&self) -> String {
        let mark = if self.base.contains('?') { '&' } else { '?' };
        format!("{}{mark}options=-c%20search_path%3D{}", self.base, self.name)
    }

    async fn remove(self) -> Result<()> {
        self.execute(&format!("DROP SCHEMA {} CASCADE", self.name)).await?;
        self.execute("CHECKPOINT").await
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        let (client, connection) = tokio_postgres::connect(&self.base, NoTls).await.map_err(|error| {
            format!(
                "no PostgreSQL server at {}: {error}. `tests/servers` starts one; `--postgres URL` names another",
                self.base
            )
        })?;
        tokio::spawn(connection);
        Ok(client.batch_execute(sql).await?)
    }
}
