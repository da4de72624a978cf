//! The contract, on SQLite, and what only a file can go through: locks, damage, the end of the process. Its versions: `schema`.

mod branches;
mod open_batch;
mod schema;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::super::{Append, NewEvent, Storage, StorageErrorKind, StreamRead, Write, WriteError};
use super::{Durability, Sqlite, SqliteStorage};
use crate::stream::{Headers, Name, StreamKey};
use crate::testing::storage_contract::{Subject, block_on};

async fn subject(durability: Durability) -> Subject {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Sqlite::open(directory.path().join("test.db")).durability(durability).start().await;
    Subject::new(Arc::new(storage.expect("a new file opens")), directory)
}

crate::storage_contract!(durable, subject(Durability::Durable));
crate::storage_contract!(relaxed, subject(Durability::Relaxed));

fn key(n: u128) -> StreamKey {
    StreamKey::main("account", Uuid::from_u128(n))
}

fn write(key: &StreamKey, expected: u32, payload: &[u8]) -> Write {
    Write::append(Append {
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
    })
}

async fn open(path: &Path) -> SqliteStorage {
    Sqlite::open(path).start().await.expect("it opens")
}

async fn store(storage: &SqliteStorage, write: Write) -> Result<super::Written, WriteError> {
    storage.commit(vec![write]).await.remove(0)
}

#[track_caller]
fn refused(result: Result<SqliteStorage, super::StorageError>, kind: StorageErrorKind, words: &[&str]) {
    let error = result.expect_err("it has to be refused");
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "`{word}` is missing in: {error}");
    }
}

#[test]
fn reopening_keeps_everything() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        for round in 0..4u32 {
            let storage = open(&path).await;
            assert_eq!(storage.head(), u64::from(round));
            assert_eq!(store(&storage, write(&key(1), round, b"x")).await.expect("stored").first_sequence, round);
            if round % 2 == 0 {
                storage.close().await.expect("it closes");
                let late = store(&storage, write(&key(1), round + 1, b"x")).await;
                assert!(matches!(late, Err(WriteError::Storage(_))), "closed is closed");
            }
            // Otherwise it is only dropped.
        }
        let storage = open(&path).await;
        let slice = storage.read_stream(&key(1), StreamRead::all()).await.expect("it reads");
        assert_eq!(slice.events.len(), 4);
    });
}

#[test]
fn a_second_process_is_refused() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = open(&path).await;
        let own = format!("process {}", std::process::id());
        refused(Sqlite::open(&path).start().await, StorageErrorKind::Locked, &[&own, "stop it first"]);
        // However the file is spelled.
        let detour = directory.path().join(".").join("a.db");
        refused(Sqlite::open(detour).start().await, StorageErrorKind::Locked, &[&own]);
        store(&storage, write(&key(1), 0, b"x")).await.expect("the first one goes on");

        // Looking is allowed, writing is not.
        let tool = Sqlite::open(&path).start_read_only().await.expect("a tool may look");
        assert_eq!(tool.head(), 1);
        store(&storage, write(&key(1), 1, b"y")).await.expect("the first one goes on");
        let seen = tool.read_stream(&key(1), StreamRead::all()).await.expect("it reads");
        assert_eq!((seen.events.len(), tool.head()), (2, 2), "it follows");
        assert!(matches!(store(&tool, write(&key(1), 2, b"z")).await, Err(WriteError::Storage(_))));
        drop(tool);

        storage.close().await.expect("it closes");
        open(&path).await;
    });
}

/// A link to a file that is not there yet, and one that is: the lock is beside the file, not beside the link.
#[cfg(unix)]
#[test]
fn a_link_is_the_file_that_it_leads_to() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let (link, file) = (directory.path().join("link.db"), directory.path().join("file.db"));
        std::os::unix::fs::symlink("file.db", &link).expect("a link");
        let storage = open(&link).await;
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        refused(Sqlite::open(&link).start().await, StorageErrorKind::Locked, &["stop it first"]);
        refused(Sqlite::open(&file).start().await, StorageErrorKind::Locked, &["stop it first"]);
        storage.close().await.expect("it closes");

        let second = directory.path().join("second.db");
        std::fs::hard_link(&file, &second).expect("a hard link");
        refused(Sqlite::open(&second).start().await, StorageErrorKind::Failed, &["hard links"]);
        refused(Sqlite::open(&file).start().await, StorageErrorKind::Failed, &["hard links"]);

        std::fs::remove_file(&link).expect("removed");
        std::os::unix::fs::symlink("link.db", &link).expect("a link to itself");
        refused(Sqlite::open(&link).start().await, StorageErrorKind::Failed, &["circle"]);
    });
}

/// The lock can be got round: by a shell, by removing the lock file. Then both see what the other wrote, before they decide.
#[test]
fn who_gets_round_the_lock_damages_nothing() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let one = open(&path).await;
        store(&one, write(&key(1), 0, b"x")).await.expect("stored");
        std::fs::remove_file(directory.path().join("a.db.lock")).expect("somebody cleans up");
        let two = open(&path).await;
        for round in 0..5u32 {
            let (first, second) = (round * 2 + 1, round * 2 + 2);
            let written = store(&two, write(&key(1), first, b"two")).await.expect("stored");
            assert_eq!(written.last_position, u64::from(first) + 1);
            // The other one's memory of the stream is old: it is a conflict, not a doubled sequence.
            let stale = store(&one, write(&key(1), first, b"one")).await;
            assert!(matches!(stale, Err(WriteError::Conflict { .. })), "{stale:?}");
            let written = store(&one, write(&key(1), second, b"one")).await.expect("stored");
            assert_eq!(written.last_position, u64::from(second) + 1);
        }
        let log = one.read_log(0, 100, usize::MAX).await.expect("it reads");
        let positions: Vec<u64> = log.iter().map(|it| it.event.position).collect();
        assert_eq!(positions, (1..=11).collect::<Vec<u64>>());
    });
}

#[test]
fn what_a_process_runs_on_is_not_removed() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        Sqlite::open(&path).remove().expect("nothing is there, nothing is wrong");
        let storage = open(&path).await;
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        let error = Sqlite::open(&path).remove().expect_err("it is in use");
        assert_eq!(error.kind, StorageErrorKind::Locked, "{error}");
        storage.close().await.expect("it closes");
        Sqlite::open(&path).remove().expect("removed");
        assert_eq!(open(&path).await.head(), 0, "anew");
    });
}

/// No test can cut the power, so this one looks at what decides whether a commit is on the disk when it is answered.
#[test]
fn r1_durable_commits_wait_for_the_disk() {
    for (durability, synchronous) in [(Durability::Durable, 2), (Durability::Relaxed, 1)] {
        let directory = tempfile::tempdir().expect("a directory");
        let config = Sqlite::open(directory.path().join("a.db")).durability(durability);
        let opened = super::open::for_writing(&config).expect("it opens");
        for connection in [&opened.connection, &opened.second] {
            let ask = |what: &str| -> i64 { connection.pragma_query_value(None, what, |row| row.get(0)).expect(what) };
            assert_eq!((ask("synchronous"), ask("fullfsync"), ask("checkpoint_fullfsync")), (synchronous, 1, 1));
            let mode: String =
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("journal_mode");
            assert_eq!(mode, "wal");
        }
    }
}

#[test]
fn a_closed_file_can_be_looked_into() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = open(&path).await;
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        storage.close().await.expect("it closes");
        let tool = Sqlite::open(&path).start_read_only().await.expect("a tool may look");
        assert_eq!(tool.read_log(0, 10, usize::MAX).await.expect("it reads").len(), 1);
        let missing = Sqlite::open(directory.path().join("b.db")).start_read_only().await;
        refused(missing, StorageErrorKind::Failed, &["b.db"]);
        assert!(!directory.path().join("b.db").exists(), "looking creates nothing");
    });
}

#[test]
fn what_cannot_be_opened_is_told() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        std::fs::write(&path, b"this is a text, and it is long enough to be taken for a page".repeat(100))
            .expect("it writes");
        refused(Sqlite::open(&path).start().await, StorageErrorKind::Corrupt, &["a.db", "no SQLite database"]);
        let nowhere = directory.path().join("no").join("a.db");
        refused(Sqlite::open(nowhere).start().await, StorageErrorKind::Failed, &["directory"]);
        refused(Sqlite::open(directory.path()).start().await, StorageErrorKind::Failed, &["is a directory"]);
        refused(Sqlite::open(":memory:").start().await, StorageErrorKind::Failed, &["Memory"]);
    });
}

#[test]
fn an_empty_file_is_a_new_store() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        std::fs::write(&path, b"").expect("it writes");
        assert_eq!(open(&path).await.head(), 0);
    });
}

/// A trigger stands in for what SQLite may dislike about one write.
#[test]
fn p3_an_error_of_sqlite_fails_one_write_only() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = open(&path).await;
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        let other = rusqlite::Connection::open(&path).expect("it opens");
        let trigger = "CREATE TRIGGER bad BEFORE INSERT ON events WHEN NEW.payload = x'BAD0'
                       BEGIN SELECT RAISE(ABORT, 'injected'); END";
        other.execute_batch(trigger).expect("it writes");

        let batch = vec![
            write(&key(1), 1, b"y"),
            write(&key(2), 0, &[0xBA, 0xD0]),
            write(&key(2), 0, b"z"),
            write(&key(1), 2, b"y"),
            write(&key(1), 2, b"conflict"),
        ];
        let outcomes = storage.commit(batch).await;
        assert_eq!(outcomes[0].as_ref().expect("stored").last_position, 2);
        match &outcomes[1] {
            Err(WriteError::Storage(error)) => assert!(error.message.contains("injected"), "{error}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(outcomes[2].as_ref().expect("stored").last_position, 3);
        assert_eq!(outcomes[3].as_ref().expect("stored").last_position, 4);
        assert!(matches!(outcomes[4], Err(WriteError::Conflict { actual: 3, .. })));
        assert_eq!(storage.head(), 4);
        assert_eq!(storage.read_log(0, 100, usize::MAX).await.expect("it reads").len(), 4);
    });
}

/// A constraint that is checked at the commit stands in for a disk that fails.
#[test]
fn a_failed_commit_fails_all_and_leaves_no_memory() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = open(&path).await;
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        let other = rusqlite::Connection::open(&path).expect("it opens");
        let trap = "CREATE TABLE trap (id INTEGER REFERENCES types (id) DEFERRABLE INITIALLY DEFERRED);
                    CREATE TRIGGER bad AFTER INSERT ON events WHEN NEW.payload = x'BAD0'
                    BEGIN INSERT INTO trap VALUES (4711); END";
        other.execute_batch(trap).expect("it writes");

        let new_type = |mut write: Write| {
            if let Some(append) = &mut write.append {
                append.events[0].type_name = Name::from_static("bank.New");
            }
            write
        };
        let batch = vec![new_type(write(&key(3), 0, b"y")), write(&key(2), 0, &[0xBA, 0xD0]), write(&key(1), 1, b"y")];
        for outcome in storage.commit(batch).await {
            assert!(matches!(outcome, Err(WriteError::Storage(_))), "{outcome:?}");
        }
        assert_eq!(storage.head(), 1);
        // Streams, sequences, types and positions are those from before.
        let batch = vec![new_type(write(&key(3), 0, b"y")), write(&key(1), 1, b"y")];
        let outcomes = storage.commit(batch).await;
        assert_eq!(outcomes[0].as_ref().expect("stored").last_position, 2);
        assert_eq!(outcomes[1].as_ref().expect("stored").last_position, 3);
        let log = storage.read_log(0, 10, usize::MAX).await.expect("it reads");
        assert_eq!(log[1].event.type_name, "bank.New");
        assert_eq!(log[2].stream, key(1));
    });
}

/// Another program that holds the file for a moment delays a write; readers go on.
#[test]
fn another_writer_delays_but_does_not_break() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = Arc::new(open(&path).await);
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        let other = rusqlite::Connection::open(&path).expect("it opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("it holds the file");
        let held = {
            let storage = storage.clone();
            tokio::spawn(async move { store(&storage, write(&key(1), 1, b"y")).await })
        };
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        assert_eq!(storage.read_log(0, 10, usize::MAX).await.expect("a reader goes on").len(), 1);
        other.execute_batch("ROLLBACK").expect("it lets go");
        held.await.expect("no panic").expect("stored");
    });
}

/// Row R1: what a copy of the files shows is what would be there had the process died at that moment.
#[test]
fn r1_a_crash_loses_nothing_that_was_acknowledged() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = Arc::new(open(&path).await);
        let acknowledged = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let load = {
            let (storage, acknowledged) = (storage.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                block_on(async {
                    for n in 0..300 {
                        let batch = vec![write(&key(1), n, &[7; 100]), write(&key(2), n, &[8; 100])];
                        for outcome in storage.commit(batch).await {
                            outcome.expect("stored");
                        }
                        acknowledged.store(n + 1, std::sync::atomic::Ordering::Release);
                    }
                });
            })
        };
        for round in 0..10 {
            std::thread::sleep(std::time::Duration::from_millis(3));
            let sure = acknowledged.load(std::sync::atomic::Ordering::Acquire);
            let copy = directory.path().join(format!("copy{round}.db"));
            // The log is too short for a checkpoint here, so the database does not change under the copy.
            std::fs::copy(&path, &copy).expect("it copies");
            std::fs::copy(directory.path().join("a.db-wal"), directory.path().join(format!("copy{round}.db-wal")))
                .expect("it copies");
            let restarted = open(&copy).await;
            let one = restarted.read_stream(&key(1), StreamRead::all()).await.expect("it reads");
            let two = restarted.read_stream(&key(2), StreamRead::all()).await.expect("it reads");
            assert!(one.next_sequence >= sure, "{} of {sure} acknowledged", one.next_sequence);
            assert_eq!(one.next_sequence, two.next_sequence, "a transaction is there as a whole or not at all");
            assert_eq!(one.events.len() as u32, one.next_sequence, "no gap");
            store(&restarted, write(&key(1), one.next_sequence, b"x")).await.expect("and it goes on from there");
        }
        load.join().expect("the load ends well");
    });
}

/// More than one checkpoint's worth, with a reader that looks on: the log does not grow without end.
#[test]
fn the_log_starts_anew() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = Sqlite::open(&path).relaxed().start().await.expect("it opens");
        let mut n = 0;
        for _ in 0..60 {
            let batch = (0..400).map(|_| {
                n += 1;
                write(&key(1), n - 1, &[7; 4_000])
            });
            for outcome in storage.commit(batch.collect()).await {
                outcome.expect("stored");
            }
            storage.read_log(u64::from(n) - 1, 10, usize::MAX).await.expect("a reader looks on");
        }
        let log = std::fs::metadata(directory.path().join("a.db-wal")).expect("a log").len();
        assert!(log < 72 << 20, "96 MiB were written, the log has {} MiB", log >> 20);
        storage.close().await.expect("it closes");
        let left = std::fs::metadata(directory.path().join("a.db-wal")).map_or(0, |it| it.len());
        assert_eq!(left, 0, "after a close everything is in the database");
    });
}

/// There is no moment in which nobody reads, as with many subscribers: the log starts anew all the same.
#[test]
fn the_log_starts_anew_although_somebody_always_reads() {
    use std::sync::atomic::{AtomicBool, Ordering};

    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = Sqlite::open(&path).relaxed().start().await.expect("it opens");
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        let over = Arc::new(AtomicBool::new(false));
        // Some are many pages behind a quick writer when they are asked to leave.
        let readers: Vec<_> = [3, 3, 20, 20]
            .into_iter()
            .map(|stays| {
                let (path, over) = (path.clone(), over.clone());
                std::thread::spawn(move || {
                    let connection = rusqlite::Connection::open(&path).expect("it opens");
                    connection.busy_timeout(std::time::Duration::from_secs(60)).expect("patience");
                    let read = |sql: &str| connection.execute_batch(sql).expect("it reads");
                    let mut reads = 0;
                    read("BEGIN; SELECT count(*) FROM types;");
                    while !over.load(Ordering::Acquire) {
                        std::thread::sleep(std::time::Duration::from_millis(stays));
                        // Away for no longer than that takes.
                        read("COMMIT; BEGIN; SELECT count(*) FROM types;");
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        let mut n = 1;
        for _ in 0..200 {
            let batch = (0..400).map(|_| {
                n += 1;
                write(&key(1), n - 1, &[7; 4_000])
            });
            for outcome in storage.commit(batch.collect()).await {
                outcome.expect("stored");
            }
        }
        over.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().expect("a reader ends well") > 0, "it has read");
        }
        let log = std::fs::metadata(directory.path().join("a.db-wal")).expect("a log").len();
        // On a machine that lets readers stand still it takes several tries.
        assert!(log < 240 << 20, "320 MiB were written, the log has {} MiB", log >> 20);
        storage.close().await.expect("it closes");
    });
}

const KILLED: &str = "ANGZARR_TEST_KILLED";

/// Not a test by itself: what the next test starts and kills.
#[test]
#[ignore = "started by r1_a_killed_process_loses_nothing_that_was_acknowledged"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(KILLED) else { return };
    block_on(async {
        let storage = open(Path::new(&path)).await;
        for n in 0.. {
            // By turns alone and in a batch: the two ways to the file.
            let batch = match n % 2 {
                0 => vec![write(&key(1), n, &[7; 2_000])],
                _ => vec![write(&key(1), n, &[7; 2_000]), write(&key(2), n / 2, &[8; 2_000])],
            };
            for outcome in storage.commit(batch).await {
                outcome.expect("stored");
            }
            println!("acknowledged {n}");
        }
    });
}

/// Row R1, with a process that is killed while it writes.
#[test]
fn r1_a_killed_process_loses_nothing_that_was_acknowledged() {
    use std::io::{BufRead, BufReader};
    let directory = tempfile::tempdir().expect("a directory");
    let module = module_path!().split_once("::").map_or("", |(_, module)| module);
    let mut next = 0;
    for round in 1..=3u32 {
        let file = directory.path().join(format!("{round}.db"));
        let mut child = std::process::Command::new(std::env::current_exe().expect("a program"))
            .args(["--ignored", "--exact", "--nocapture", &format!("{module}::writes_until_it_is_killed")])
            .env(KILLED, &file)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        for line in lines {
            let line = line.expect("a line");
            if let Some(n) = line.strip_prefix("acknowledged ") {
                next = n.parse::<u32>().expect("a number") + 1;
                if next == round * 40 {
                    child.kill().expect("it can be killed");
                }
            }
        }
        child.wait().expect("it ends");
        assert!(next >= round * 40);
        block_on(async {
            let storage = open(&file).await; // the lock is free: the system has taken it back
            let one = storage.read_stream(&key(1), StreamRead::all()).await.expect("it reads");
            let two = storage.read_stream(&key(2), StreamRead::all()).await.expect("it reads");
            assert!(one.next_sequence >= next, "{} of {next} acknowledged", one.next_sequence);
            assert_eq!(two.next_sequence, one.next_sequence / 2, "a transaction is there as a whole or not at all");
            assert_eq!(storage.read_log(0, 10_000, usize::MAX).await.expect("it reads").len() as u64, storage.head());
        });
    }
}

/// Row R1: whoever is told "not stored" may send again, so that is only said where it is true.
#[test]
fn r1_a_disk_that_fails_under_a_commit_leaves_it_open() {
    let failed = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
    let open = super::error::not_committed("not stored")(failed(rusqlite::ffi::SQLITE_IOERR_FSYNC));
    assert_eq!(open.kind, StorageErrorKind::Unknown, "{open}");
    let open = crate::Error::from(open);
    assert_eq!((open.code(), open.is_retryable()), ("OUTCOME_UNKNOWN", false));
    let full = super::error::not_committed("not stored")(failed(rusqlite::ffi::SQLITE_FULL));
    assert_eq!(full.kind, StorageErrorKind::Failed, "{full}");
    let busy = crate::Error::from(super::error::not_committed("not stored")(failed(rusqlite::ffi::SQLITE_BUSY)));
    assert!(busy.is_retryable(), "{busy}");
}

/// Row J1: a read model finds the same store again, however it is opened.
#[test]
fn j1_the_id_of_a_file_stays() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("test.db");
        let storage = open(&path).await;
        let id = storage.id();
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        let tool = Sqlite::open(&path).start_read_only().await.expect("a tool looks into it");
        assert_eq!(tool.id(), id);
        storage.close().await.expect("it closes");
        assert_eq!(open(&path).await.id(), id);
    });
}

/// A future that is kept and not polled holds up nobody.
#[test]
fn questions_that_are_kept_and_not_polled_leave_room_for_others() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = open(&directory.path().join("a.db")).await;
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        let mut kept: Vec<_> = (0..3 * super::reader::READERS).map(|_| storage.domains()).collect();
        for question in &mut kept {
            // Asked, and left there.
            let _ = futures_util::poll!(question);
        }
        let asked = tokio::time::timeout(std::time::Duration::from_secs(30), storage.domains()).await;
        assert_eq!(asked.expect("its turn comes").expect("an answer"), ["account"]);
        drop(kept);
    });
}
