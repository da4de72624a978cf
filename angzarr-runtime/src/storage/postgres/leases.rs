//! Leases in a table (row R5).
//!
//! In: names, and who wants them. Out: who has which, by the server's clock. Never: the lock that writers wait for; leases are
//! renewed however long somebody holds it.

use std::time::Duration;

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::{Lease, Leases, StorageError, StorageFuture};
use super::PostgresStorage;
use super::codec::value;
use super::error::while_doing;
use super::reader::Reader;

/// In order of the names: two that want the same ones wait for each other, never crosswise.
const HOLD: &str = "INSERT INTO leases (name, holder, until)
    SELECT name, $1, clock_timestamp() + make_interval(secs => $3) FROM unnest($2::text[]) AS name ORDER BY name
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until <= clock_timestamp()
    RETURNING name";
const RELEASE: &str = "DELETE FROM leases WHERE holder = $1 AND name = ANY ($2::text[])";
const LIST: &str = "SELECT name, holder, extract(epoch FROM until - clock_timestamp())::float8 FROM leases
    WHERE until > clock_timestamp() ORDER BY name";

impl Reader {
    async fn hold(&self, holder: Uuid, names: &[String], time: Duration) -> Result<Vec<String>, StorageError> {
        let parameters: &[&(dyn ToSql + Sync)] = &[&holder, &names, &time.as_secs_f64()];
        self.list(HOLD, parameters, |row| value(row, 0)).await
    }

    async fn release(&self, holder: Uuid, names: &[String]) -> Result<(), StorageError> {
        let doing = || while_doing("leases were not given back");
        let statement = self.client.prepare_cached(RELEASE).await.map_err(doing())?;
        self.client.execute(&statement, &[&holder, &names]).await.map(drop).map_err(doing())
    }

    async fn leases(&self) -> Result<Vec<Lease>, StorageError> {
        self.list(LIST, &[], |row| {
            let left: f64 = value(row, 2)?;
            let left = Duration::try_from_secs_f64(left).unwrap_or_default();
            Ok(Lease { name: value(row, 0)?, holder: value(row, 1)?, left })
        })
        .await
    }
}

/// Asked again where the connection was lost, as questions are: to hold and to give back is the same however often it happens.
impl Leases for PostgresStorage {
    fn hold<'a>(&'a self, holder: Uuid, names: &'a [String], time: Duration) -> StorageFuture<'a, Vec<bool>> {
        let wanted = names.to_vec();
        let held = self.read(move |reader| {
            let wanted = wanted.clone();
            async move { reader.hold(holder, &wanted, time).await }
        });
        Box::pin(async move {
            let held = held.await?;
            Ok(names.iter().map(|name| held.contains(name)).collect())
        })
    }

    fn release<'a>(&'a self, holder: Uuid, names: &'a [String]) -> StorageFuture<'a, ()> {
        let names = names.to_vec();
        self.read(move |reader| {
            let names = names.clone();
            async move { reader.release(holder, &names).await }
        })
    }

    fn list(&self) -> StorageFuture<'_, Vec<Lease>> {
        self.read(|reader| async move { reader.leases().await })
    }
}
