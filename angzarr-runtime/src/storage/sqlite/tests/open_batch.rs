//! Batches that others join while SQLite works on them.

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::super::super::batch::{Callers, Joining};
use super::super::super::{OpenBatch, StorageError, Writer, Written};
use super::*;

type Answer = Result<Vec<Result<Written, WriteError>>, StorageError>;

/// Callers who come one portion after the other.
#[derive(Default)]
struct Late {
    portions: Mutex<Vec<Vec<Write>>>,
    answer: Mutex<Option<Answer>>,
}

impl Callers for Late {
    fn join(&self) -> Joining {
        let mut portions = self.portions.lock();
        if portions.is_empty() { Joining::Nobody } else { Joining::Came(portions.remove(0)) }
    }
    fn answer(&self, outcomes: Answer) {
        *self.answer.lock() = Some(outcomes);
    }
}

async fn commit(storage: &SqliteStorage, first: Vec<Write>, joining: Vec<Vec<Write>>) -> Answer {
    let late = Arc::new(Late { portions: Mutex::new(joining), ..Late::default() });
    storage.commit_open(OpenBatch::new(first, late.clone())).await;
    // The answer may come a moment after the end of the future.
    loop {
        if let Some(answer) = late.answer.lock().take() {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn p3_who_joins_and_fails_fails_alone() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = open(&path).await;
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        // A conflict among those who join; two of them write to one stream, in order.
        let joining =
            vec![vec![write(&key(2), 0, b"x"), write(&key(1), 7, b"x")], vec![write(&key(2), 1, b"x")], Vec::new()];
        let outcomes = commit(&storage, vec![write(&key(1), 1, b"x")], joining).await.expect("the batch is stored");
        assert_eq!(outcomes.len(), 4);
        assert_eq!(outcomes[0].as_ref().expect("stored").last_position, 2);
        assert_eq!(outcomes[1].as_ref().expect("stored").last_position, 3);
        assert!(matches!(outcomes[2], Err(WriteError::Conflict { .. })), "{:?}", outcomes[2]);
        assert_eq!(outcomes[3].as_ref().expect("stored").first_sequence, 1);

        // An error of SQLite in the middle: each of them is tried by itself, in the same order; nobody joins any more.
        let other = rusqlite::Connection::open(&path).expect("it opens");
        let trap = "CREATE TRIGGER bad BEFORE INSERT ON events WHEN NEW.payload = x'BAD0'
                    BEGIN SELECT RAISE(ABORT, 'on purpose'); END";
        other.execute_batch(trap).expect("it writes");
        let joining =
            vec![vec![write(&key(1), 2, &[0xBA, 0xD0]), write(&key(3), 0, b"x")], vec![write(&key(3), 1, b"x")]];
        let outcomes = commit(&storage, vec![write(&key(2), 2, b"x")], joining).await.expect("the batch is tried");
        let stored: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(stored, [true, false, true], "{outcomes:?}");
        assert_eq!(storage.head(), 6);
    });
}

#[test]
fn a_batch_that_comes_too_late_is_told_that_nothing_was_written() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = open(&directory.path().join("a.db")).await;
        storage.close().await.expect("it closes");
        let error = commit(&storage, vec![write(&key(1), 0, b"x")], Vec::new()).await.expect_err("it is closed");
        assert_eq!(error.kind, StorageErrorKind::Unavailable, "{error}");
    });
}

/// The thread that commits must not be the last one that holds its store: it would wait for itself, and keep the file.
#[test]
fn a_runtime_that_ends_amid_a_batch_frees_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.db");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let writer = runtime.block_on(async { Writer::new(Arc::new(open(&path).await)) });
    let next = AtomicU32::new(1);
    let send = || {
        let (writer, n) = (writer.clone(), next.fetch_add(1, Ordering::Relaxed));
        runtime.spawn(async move { writer.commit(write(&key(u128::from(n)), 0, b"x")).await })
    };
    // Several at once, so that the next batch is an open one.
    for _ in 0..20 {
        let callers: Vec<_> = (0..8).map(|_| send()).collect();
        for caller in callers {
            runtime.block_on(caller).expect("no panic").expect("stored");
        }
    }
    let other = rusqlite::Connection::open(&path).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("it holds the file");
    let _held: Vec<_> = (0..8).map(|_| send()).collect();
    std::thread::sleep(std::time::Duration::from_millis(100));
    drop(writer);
    runtime.shutdown_background();
    other.execute_batch("ROLLBACK").expect("it lets go");
    let opened = (0..200).find_map(|_| match block_on(Sqlite::open(&path).start()) {
        Ok(storage) => Some(storage),
        Err(error) => {
            assert_eq!(error.kind, StorageErrorKind::Locked, "{error}");
            std::thread::sleep(std::time::Duration::from_millis(50));
            None
        }
    });
    assert!(opened.expect("the file is free again").head() >= 160);
}
