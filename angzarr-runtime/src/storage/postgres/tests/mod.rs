//! The contract, on PostgreSQL, and what only a server can go through: other processes, open transactions, lost connections.
//!
//! Each test has a schema of its own, which is dropped afterwards.

mod lost;
mod others;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::super::{Append, NewEvent, Storage, StorageError, StorageErrorKind, StreamRead, Write, WriteError, Written};
use super::{Postgres, PostgresStorage};
use crate::dead_letter::Resolution;
use crate::stream::{Headers, Name, StreamKey};
use crate::testing::storage_contract::{Subject, block_on};

/// Where the server of the tests is.
pub(crate) fn url() -> String {
    std::env::var("ANGZARR_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned())
}

/// A connection of somebody else.
pub(crate) async fn stranger() -> Client {
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
pub(crate) struct Schema(pub(crate) String);

impl Schema {
    pub(crate) async fn new() -> Self {
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
        let of_rebuild = format!("{}_angzarr_rebuild", self.0);
        let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE; DROP SCHEMA IF EXISTS {of_rebuild} CASCADE", self.0);
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
crate::lease_contract!(leases, subject());

async fn open(schema: &Schema) -> PostgresStorage {
    schema.postgres().start().await.expect("it opens")
}

fn key(n: u128) -> StreamKey {
    StreamKey::main("account", Uuid::from_u128(n))
}

fn append(key: &StreamKey, expected: u32, payload: &[u8]) -> Append {
    Append {
        key: key.clone(),
        expected,
        events: vec![NewEvent {
            type_name: Name::from_static("bank.Deposited"),
            schema_version: 1,
            payload: Bytes::copy_from_slice(payload),
            isolated: false,
        }]
        .into(),
        created_at: i64::from(expected),
        headers: Headers::default(),
        dedup: None,
        diverged_at: None,
    }
}

fn write(key: &StreamKey, expected: u32, payload: &[u8]) -> Write {
    Write::append(append(key, expected, payload))
}

async fn store(storage: &PostgresStorage, write: Write) -> Result<Written, WriteError> {
    storage.commit(vec![write]).await.remove(0)
}

#[track_caller]
fn refused(result: Result<PostgresStorage, StorageError>, kind: StorageErrorKind, words: &[&str]) {
    let error = result.expect_err("it has to be refused");
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "`{word}` is missing in: {error}");
    }
    assert!(!error.message.contains("secret"), "{error}");
}

async fn grouped() -> Subject {
    subject().await.grouped()
}

/// The contract by the way that a runtime takes, with the checks that look at batches.
mod by_the_queue {
    use super::*;
    crate::storage_contract!(@checks grouped();
        p1_a_write_is_all_or_nothing
        p3_a_conflict_amid_a_batch_leaves_its_neighbours_alone
        p5_an_intent_is_settled_once
        c10_dedup_key_once_per_stream
        b5_the_head_never_goes_back
    );
}

#[test]
fn reopening_keeps_everything() {
    block_on(async {
        let schema = Schema::new().await;
        let mut id = None;
        for round in 0..4u32 {
            let storage = open(&schema).await;
            assert_eq!(*id.get_or_insert(storage.id()), storage.id());
            assert_eq!(storage.head(), u64::from(round));
            assert_eq!(store(&storage, write(&key(1), round, b"x")).await.expect("stored").first_sequence, round);
            if round % 2 == 0 {
                storage.close().await.expect("it closes");
                let late = store(&storage, write(&key(1), round + 1, b"x")).await;
                assert!(matches!(late, Err(WriteError::Storage(_))), "closed is closed");
                assert!(storage.read_log(0, 1, 1).await.is_err(), "for questions too");
            }
            // Otherwise it is only dropped.
        }
        let storage = open(&schema).await;
        let slice = storage.read_stream(&key(1), StreamRead::all()).await.expect("it reads");
        assert_eq!(slice.events.len(), 4);
    });
}

/// What was given to a store that is dropped at once is stored all the same.
#[test]
fn a_dropped_store_finishes_what_it_was_given() {
    block_on(async {
        let schema = Schema::new().await;
        let storage = open(&schema).await;
        for n in 0..20 {
            drop(storage.commit(vec![write(&key(1), n, b"x")]));
        }
        drop(storage);
        let after = open(&schema).await;
        for _ in 0..100 {
            if after.read_log(0, 100, usize::MAX).await.expect("the log").len() == 20 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("20 writes were given to it");
    });
}

#[test]
fn what_is_open_for_questions_follows_and_writes_nothing() {
    block_on(async {
        let schema = Schema::new().await;
        refused(schema.postgres().start_read_only().await, StorageErrorKind::Failed, &["holds nothing yet"]);
        let storage = open(&schema).await;
        let tool = schema.postgres().start_read_only().await.expect("a tool may look");
        let mut changes = tool.changes().expect("others write");
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        changes.wait_for(|head| *head == 1).await.expect("it is told");
        assert_eq!(tool.head(), 1);
        assert!(matches!(store(&tool, write(&key(1), 1, b"z")).await, Err(WriteError::Storage(_))));
        let resolution = Resolution::Retried { at: 1 };
        assert!(tool.resolve_dead_letter(Uuid::nil(), resolution).await.is_err());
        assert!(tool.describe().contains("read only"));
    });
}

/// One write that cannot be stored at all fails alone.
#[test]
fn p3_a_write_that_the_server_refuses_leaves_its_neighbours_alone() {
    block_on(async {
        let schema = Schema::new().await;
        let storage = open(&schema).await;
        let mut impossible = append(&key(2), 0, b"y");
        impossible.headers = Headers::new("no \0 fits into a text", None);
        let batch = vec![write(&key(1), 0, b"x"), Write::append(impossible), write(&key(1), 1, b"z")];
        let outcomes = storage.commit(batch).await;
        assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
        assert!(matches!(&outcomes[1], Err(WriteError::Storage(error)) if error.kind == StorageErrorKind::Failed));
        assert_eq!(storage.head(), 2);
        assert_eq!(store(&storage, write(&key(1), 2, b"x")).await.expect("it goes on").last_position, 3);
    });
}

#[test]
fn an_address_that_cannot_be_used_is_told_without_its_password() {
    block_on(async {
        Schema::new().await;
        let nowhere = Postgres::connect("postgres://me:secret@127.0.0.1:1/none");
        refused(nowhere.start().await, StorageErrorKind::Unavailable, &["127.0.0.1:1/none", "the server runs"]);
        let wrong = Postgres::connect("postgres://me:secret@127.0.0.1/none?sslmode=perhaps");
        assert!(!wrong.describe().contains("secret"));
        refused(wrong.start().await, StorageErrorKind::Failed, &["sslmode=perhaps"]);
        let url = url();
        let (address, _) = url.rsplit_once('/').expect("a URL with a database");
        let missing = Postgres::connect(format!("{address}/no_such_database"));
        refused(missing.start().await, StorageErrorKind::Failed, &["no_such_database", "createdb"]);
    });
}
