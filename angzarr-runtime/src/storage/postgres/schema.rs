//! The schema and its history.
//!
//! In: a database with any earlier version, or none. Out: one of this version, whoever else starts at the same time. Never: a
//! step back, or a change of a step that was released; what is new gets a step of its own.

use tokio_postgres::{Client, GenericClient};
use uuid::Uuid;

use super::super::StorageError;
use super::error::{corrupt, incompatible, while_doing};
use super::settings::Settings;

/// Each step leads from the version that is its index to the next one.
const STEPS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// The version that this program reads and writes.
pub(super) const VERSION: i32 = STEPS.len() as i32;

/// First key of the lock under which the schema is changed. Writers have another one.
pub(super) const MIGRATION_LOCK: i32 = 0x414E_475B;

/// Where the version of the schema is.
const VERSIONS: &str = "angzarr_schema";

/// Brings the schema up to date.
///
/// # Errors
/// A step fails: then nothing was changed. What belongs to another program or a newer version of this one is refused.
pub(super) async fn migrate(client: &mut Client, settings: &Settings) -> Result<(), StorageError> {
    if version(client, settings).await? == Some(VERSION) {
        return Ok(());
    }
    let name = settings.describe();
    let doing = || while_doing(format!("cannot bring {name} to schema version {VERSION}"));
    let transaction = client.transaction().await.map_err(doing())?;
    // Several processes may start at once: the first one does it, the others find it done.
    let lock = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
    transaction.execute(lock, &[&MIGRATION_LOCK, &settings.schema]).await.map_err(doing())?;
    let schema = settings.quoted_schema();
    let from = match version(&transaction, settings).await? {
        Some(VERSION) => return Ok(()),
        Some(version) => version,
        None => {
            if !schema_exists(&transaction, settings).await? {
                transaction.batch_execute(&format!("CREATE SCHEMA {schema}")).await.map_err(doing())?;
            }
            let versions = format!(
                "CREATE TABLE {schema}.{VERSIONS} (version integer PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())"
            );
            transaction.batch_execute(&versions).await.map_err(doing())?;
            0
        }
    };
    for (version, step) in (1..).zip(STEPS).skip(from.max(0) as usize) {
        transaction.batch_execute(step).await.map_err(doing())?;
        let note = format!("INSERT INTO {schema}.{VERSIONS} (version) VALUES ($1)");
        transaction.execute(&note, &[&version]).await.map_err(doing())?;
        tracing::info!(database = name, version, "schema brought up to date");
    }
    transaction.commit().await.map_err(doing())
}

/// Looks without changing anything.
///
/// # Errors
/// It is not of this version.
pub(super) async fn check(client: &Client, settings: &Settings) -> Result<(), StorageError> {
    let name = settings.describe();
    match version(client, settings).await? {
        Some(VERSION) => Ok(()),
        Some(version) => Err(incompatible(format!(
            "{name} has schema version {version}, this program reads version {VERSION}; start the program that runs on it \
             once, it brings the schema up to date"
        ))),
        None => Err(super::error::failed(format!(
            "{name} holds nothing yet; run the program that writes it, or check the URL"
        ))),
    }
}

/// The version of the schema; `None` where there is none yet.
async fn version(client: &impl GenericClient, settings: &Settings) -> Result<Option<i32>, StorageError> {
    let (name, schema) = (settings.describe(), settings.quoted_schema());
    let doing = || while_doing(format!("cannot look into {name}"));
    let tables = client
        .query_one(
            "SELECT to_regclass($1) IS NOT NULL, (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($2))",
            &[&format!("{schema}.{VERSIONS}"), &schema],
        )
        .await
        .map_err(doing())?;
    let (ours, others): (bool, i64) = (tables.get(0), tables.get(1));
    if !ours && others > 0 {
        return Err(incompatible(format!(
            "{name}: the schema belongs to another program ({others} tables, indexes and the like); nothing was changed. \
             Choose another one with `schema=NAME`"
        )));
    }
    if !ours {
        return Ok(None);
    }
    let newest = format!("SELECT max(version) FROM {schema}.{VERSIONS}");
    let version: Option<i32> = client.query_one(&newest, &[]).await.map_err(doing())?.get(0);
    match version {
        Some(version) if version > VERSION => Err(incompatible(format!(
            "{name} has schema version {version}, this program knows versions up to {VERSION}; nothing was changed. Run the \
             newer program, or restore a backup from before it was run"
        ))),
        version => Ok(version),
    }
}

pub(super) async fn schema_exists(client: &impl GenericClient, settings: &Settings) -> Result<bool, StorageError> {
    let exists = "SELECT to_regnamespace($1) IS NOT NULL";
    let row = client.query_one(exists, &[&settings.quoted_schema()]).await;
    Ok(row.map_err(while_doing("cannot look for the schema"))?.get(0))
}

/// Who the store is, and the key of the lock that its writers take: the schema's own number.
pub(super) async fn identity(client: &Client, settings: &Settings) -> Result<(Uuid, i32), StorageError> {
    let name = settings.describe();
    let sql = "SELECT (SELECT value FROM about WHERE fact = 'id'), to_regnamespace($1)::oid";
    let row = client.query_one(sql, &[&settings.quoted_schema()]).await;
    let row = row.map_err(while_doing(format!("cannot read the id of {name}")))?;
    let (id, oid): (Option<String>, u32) = (row.get(0), row.get(1));
    let id = id.and_then(|id| Uuid::parse_str(&id).ok());
    let id = id.ok_or_else(|| corrupt(format!("{name} does not say who it is: the table `about` was changed")))?;
    Ok((id, oid as i32))
}
