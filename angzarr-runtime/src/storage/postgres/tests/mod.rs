//! The contract, on PostgreSQL, and what only a server can go through: other processes, open transactions, lost connections.
//!
//! Each test has a schema of its own, which is dropped afterwards.

use std::sync::Arc;

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::Postgres;
use crate::testing::storage_contract::{Subject, block_on};

/// Where the server of the tests is.
fn url() -> String {
    std::env::var("ANGZARR_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned())
}

/// A connection of somebody else.
async fn stranger() -> Client {
    let url = url();
    let (client, connection) = match tokio_postgres::connect(&url, NoTls).await {
        Ok(connected) => connected,
        Err(error) => panic!(
            "these tests need a PostgreSQL server and found none ({error}). Start one, for example\n  \
             docker run -d -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust -e POSTGRES_DB=test postgres:15\n\
             or say where one is: ANGZARR_TEST_POSTGRES=postgres://user:password@host:5432/database"
        ),
    };
    tokio::spawn(connection);
    client
}

/// A schema of a test.
struct Schema(String);

impl Schema {
    async fn new() -> Self {
        // Fails here, with advice, where there is no server.
        stranger().await;
        Self(format!("test_{}", Uuid::new_v4().simple()))
    }

    fn postgres(&self) -> Postgres {
        Postgres::connect(url()).schema(&self.0)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.0);
        // A thread may wait where a test's runtime may not.
        let dropped = std::thread::spawn(move || block_on(async { stranger().await.batch_execute(&sql).await })).join();
        if !matches!(dropped, Ok(Ok(()))) {
            eprintln!("the schema {} was not dropped", self.0);
        }
    }
}

async fn subject() -> Subject {
    let schema = Schema::new().await;
    let storage = schema.postgres().start().await;
    Subject::new(Arc::new(storage.expect("a new schema opens")), schema)
}

crate::storage_contract!(postgres, subject());
