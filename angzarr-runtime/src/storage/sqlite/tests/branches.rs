//! Intents, merges and discards where only a file can show them: after it was opened anew, beside another process, and
//! where SQLite fails in the middle.

use super::super::super::{
    Dedup, EditionDiscard, Extras, Intent, IntentFilter, IntentKind, Settle, StreamMerge, StreamSlice,
};
use super::*;

/// The contract where every write goes through the queue in front of the store.
mod grouped {
    use super::*;

    async fn grouped() -> Subject {
        subject(Durability::Relaxed).await.grouped()
    }

    crate::storage_contract!(@checks grouped();
        p1_a_write_is_all_or_nothing
        p3_a_conflict_amid_a_batch_leaves_its_neighbours_alone
        p1_an_intent_is_stored_with_its_write
        p5_an_intent_is_settled_once
        p5_an_intent_that_is_taken_back_is_gone
        c10_a_known_key_comes_before_a_settled_intent
        b5_a_discard_removes_an_edition_everywhere
        b5_main_is_never_discarded
        b5_the_head_never_goes_back
        b5_a_discarded_stream_begins_anew_elsewhere
        b6_a_merge_appends_the_branch_to_main
        b6_a_merge_conflict_of_one_stream_merges_none
        b6_a_merge_carries_dedup_keys
    );
}

fn branch(n: u128) -> StreamKey {
    StreamKey { edition: Name::from_static("b"), ..key(n) }
}

fn branched(key: &StreamKey, diverged_at: u32, expected: u32, payload: &[u8]) -> Write {
    let mut write = write(key, expected, payload);
    write.append.as_mut().expect("an append").diverged_at = Some(diverged_at);
    write
}

fn discard(edition: &'static str) -> Write {
    let discard = EditionDiscard { edition: Name::from_static(edition), domain: None, at: 7 };
    Write::extras(Extras { discards: vec![discard], ..Extras::default() })
}

fn merge(n: u128, diverged_at: u32, next_sequence: u32) -> Write {
    let merge = StreamMerge { branch: branch(n), diverged_at, next_sequence, dedup: Vec::new() };
    Write::extras(Extras { merges: vec![merge], ..Extras::default() })
}

fn intent(n: u128, due: i64) -> Intent {
    let work = Bytes::copy_from_slice(&n.to_be_bytes());
    Intent { id: Uuid::from_u128(n), kind: IntentKind::Timeout, stream: key(n), due, attempts: 1, work }
}

async fn positions(storage: &SqliteStorage) -> Vec<u64> {
    storage.read_log(0, 1_000, usize::MAX).await.expect("it reads").iter().map(|it| it.event.position).collect()
}

async fn next_sequence(storage: &SqliteStorage, key: &StreamKey) -> u32 {
    storage.read_stream(key, StreamRead::all()).await.expect("it reads").next_sequence
}

/// A file with two events on main and, behind them, two on a branch.
async fn with_branch(path: &Path) -> SqliteStorage {
    let storage = open(path).await;
    for write in [
        write(&key(1), 0, b"a"),
        write(&key(1), 1, b"b"),
        branched(&branch(1), 2, 2, b"c"),
        branched(&branch(2), 0, 0, b"d"),
    ] {
        store(&storage, write).await.expect("stored");
    }
    storage
}

/// Rows P1 and P5: a timer fires even across a restart.
#[test]
fn p5_intents_survive_reopening() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = open(&path).await;
        let intents = vec![intent(1, 20), intent(2, 10), intent(3, 30)];
        store(&storage, Write::extras(Extras { intents, ..Extras::default() })).await.expect("stored");
        let settles = vec![Settle { id: intent(3, 30).id, due: 30 }];
        store(&storage, Write::extras(Extras { settles, ..Extras::default() })).await.expect("it is there");
        storage.close().await.expect("it closes");
        let storage = open(&path).await;
        let left = storage.intents(&IntentFilter::default()).await.expect("it reads");
        assert_eq!(left, [intent(2, 10), intent(1, 20)]);
        let tool = Sqlite::open(&path).start_read_only().await.expect("a tool may look");
        assert_eq!(tool.intents(&IntentFilter::default()).await.expect("it reads"), left);
        let late = Extras { settles: vec![Settle { id: intent(3, 30).id, due: 30 }], ..Extras::default() };
        let late = store(&storage, Write::extras(late)).await;
        assert!(matches!(late, Err(WriteError::Settled { .. })), "{late:?}");
    });
}

/// Row B5, promise 6: not even where the newest events are gone and the file is opened anew.
#[test]
fn b5_the_head_never_goes_back_after_reopening() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = with_branch(&path).await;
        store(&storage, discard("b")).await.expect("discarded");
        assert_eq!((storage.head(), positions(&storage).await), (4, vec![1, 2]));
        storage.close().await.expect("it closes");

        let tool = Sqlite::open(&path).start_read_only().await.expect("a tool may look");
        assert_eq!(tool.head(), 4);
        let storage = open(&path).await;
        assert_eq!(storage.head(), 4);
        assert_eq!(store(&storage, branched(&branch(3), 0, 0, b"e")).await.expect("stored").last_position, 5);
        assert_eq!(positions(&tool).await, [1, 2, 5]);
        assert_eq!(tool.head(), 5);
        // Twice more, each time with nothing behind it; the last one leaves an empty log.
        store(&storage, discard("b")).await.expect("discarded");
        storage.close().await.expect("it closes");
        let storage = open(&path).await;
        store(&storage, discard("b")).await.expect("nothing is there, nothing is wrong");
        assert_eq!((positions(&tool).await, storage.head()), (vec![1, 2], 5));
        assert_eq!(tool.head(), 5);
        assert_eq!(store(&storage, write(&key(1), 2, b"f")).await.expect("stored").last_position, 6);
    });
}

/// Row B5: readers remember streams by their numbers, in this process and in others.
#[test]
fn b5_no_reader_takes_a_new_stream_for_a_discarded_one() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = with_branch(&path).await;
        let tool = Sqlite::open(&path).start_read_only().await.expect("a tool may look");
        for reader in [&storage, &tool] {
            assert_eq!(positions(reader).await, [1, 2, 3, 4], "now it knows the streams");
        }
        store(&storage, discard("b")).await.expect("discarded");
        storage.close().await.expect("it closes");
        let storage = open(&path).await;
        for n in [7, 8] {
            store(&storage, write(&key(n), 0, b"new")).await.expect("stored");
        }
        for reader in [&storage, &tool] {
            let log = reader.read_log(2, 10, usize::MAX).await.expect("it reads");
            assert_eq!(log.iter().map(|it| it.stream.clone()).collect::<Vec<_>>(), [key(7), key(8)]);
        }
    });
}

/// Row B5: whoever got round the lock does not go on from what another process has removed.
#[test]
fn b5_a_discard_beside_another_writer_is_seen() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let one = with_branch(&path).await;
        std::fs::remove_file(directory.path().join("a.db.lock")).expect("somebody cleans up");
        let two = open(&path).await;
        store(&two, discard("b")).await.expect("discarded");
        let stale = store(&one, write(&branch(1), 3, b"x")).await;
        assert!(matches!(stale, Err(WriteError::Conflict { actual: 0, .. })), "{stale:?}");
        let stale = store(&one, merge(1, 2, 3)).await;
        assert!(matches!(stale, Err(WriteError::Conflict { actual: 0, .. })), "{stale:?}");
        assert_eq!(store(&one, write(&key(9), 0, b"x")).await.expect("stored").last_position, 5);
        assert_eq!(store(&two, write(&key(8), 0, b"x")).await.expect("stored").last_position, 6);
        let log = one.read_log(4, 10, usize::MAX).await.expect("it reads");
        assert_eq!(log.iter().map(|it| it.stream.clone()).collect::<Vec<_>>(), [key(9), key(8)]);
    });
}

/// Rows B5, B6, P1: SQLite fails in the middle of one write. Nothing of it is stored, and its neighbours are.
#[test]
fn a_merge_a_discard_or_an_intent_that_fails_halfway_leaves_nothing() {
    const CASES: [(&str, &str); 5] = [
        ("discard, at its last table", "BEFORE DELETE ON streams WHEN OLD.edition = 'b'"),
        ("discard, at its last event", "BEFORE DELETE ON events WHEN OLD.position = 4"),
        ("discard, at its letters", "BEFORE UPDATE ON dead_letters"),
        ("merge, at its last event", "BEFORE INSERT ON events WHEN NEW.sequence = 3 AND NEW.stream = 1"),
        ("intent", "BEFORE INSERT ON intents WHEN NEW.due = 99"),
    ];
    block_on(async {
        for (what, place) in CASES {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("a.db");
            let storage = with_branch(&path).await;
            store(&storage, write(&branch(1), 3, b"e")).await.expect("stored");
            let parked = super::schema::letter(1, Some((&branch(1), 2)));
            let extras = Extras { intents: vec![intent(1, 10)], dead_letters: vec![parked], ..Extras::default() };
            store(&storage, Write::extras(extras)).await.expect("stored");
            let before = super::schema::dump(&path);
            let other = rusqlite::Connection::open(&path).expect("it opens");
            let trigger = format!("CREATE TRIGGER bad {place} BEGIN SELECT RAISE(ABORT, 'injected'); END");
            other.execute_batch(&trigger).expect("it writes");

            let bad = || {
                let mut bad = match what.split_once(',') {
                    Some(("discard", _)) => discard("b"),
                    Some(("merge", _)) => merge(1, 2, 4),
                    _ => Write::default(),
                };
                bad.append = Some(write(&key(5), 0, b"own").append.expect("an append"));
                let extras = bad.extras.get_or_insert_default();
                extras.settles.push(Settle { id: intent(1, 10).id, due: 10 });
                extras.intents.push(intent(2, 99));
                bad
            };
            match store(&storage, bad()).await {
                Err(WriteError::Storage(error)) => assert!(error.message.contains("injected"), "{what}: {error}"),
                other => panic!("{what}: {other:?}"),
            }
            other.execute_batch("DROP TRIGGER bad").expect("it writes");
            assert_eq!(super::schema::dump(&path), before, "{what}: nothing of it is stored");
            other.execute_batch(&trigger).expect("it writes");
            let batch = vec![write(&key(6), 0, b"x"), bad(), write(&branch(1), 4, b"y"), write(&key(5), 0, b"z")];
            let outcomes = storage.commit(batch).await;
            assert!(matches!(outcomes[1], Err(WriteError::Storage(_))), "{what}: {:?}", outcomes[1]);
            for (n, position) in [(0, 6), (2, 7), (3, 8)] {
                let written = outcomes[n].as_ref().unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(written.last_position, position, "{what}");
            }
            assert_eq!(positions(&storage).await, (1..=8).collect::<Vec<_>>(), "{what}");

            // Nothing is in the way any more.
            other.execute_batch("DROP TRIGGER bad").expect("it writes");
            let mut again = bad();
            again.append = None;
            if let Some(merge) = again.extras.as_mut().and_then(|it| it.merges.first_mut()) {
                merge.next_sequence = 5;
            }
            store(&storage, again).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let main = next_sequence(&storage, &key(1)).await;
            assert_eq!(main, if what.starts_with("merge") { 5 } else { 2 }, "{what}");
        }
    });
}

/// A constraint that is checked at the commit stands in for a disk that fails.
#[test]
fn a_failed_commit_of_a_discard_leaves_everything() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = with_branch(&path).await;
        let before = super::schema::dump(&path);
        let other = rusqlite::Connection::open(&path).expect("it opens");
        let trap = "CREATE TABLE trap (id INTEGER REFERENCES types (id) DEFERRABLE INITIALLY DEFERRED);
                    CREATE TRIGGER bad AFTER DELETE ON streams BEGIN INSERT INTO trap VALUES (4711); END";
        other.execute_batch(trap).expect("it writes");
        let batch = vec![merge(1, 2, 3), discard("b"), write(&key(7), 0, b"x")];
        for outcome in storage.commit(batch).await {
            assert!(matches!(outcome, Err(WriteError::Storage(_))), "{outcome:?}");
        }
        other.execute_batch("DROP TRIGGER bad; DROP TABLE trap").expect("it writes");
        assert_eq!(super::schema::dump(&path), before);
        assert_eq!(storage.head(), 4);
        // Streams and positions are those from before.
        assert_eq!(store(&storage, write(&branch(1), 3, b"x")).await.expect("stored").last_position, 5);
        store(&storage, merge(1, 2, 4)).await.expect("nothing has moved");
        assert_eq!((storage.head(), next_sequence(&storage, &key(1)).await), (7, 4));
        store(&storage, discard("b")).await.expect("discarded");
        let gone = storage.read_stream(&branch(1), StreamRead::all()).await.expect("it reads");
        assert_eq!(gone, StreamSlice::default());
    });
}

/// No question about intents or an edition reads what has nothing to do with it.
#[test]
fn intents_and_editions_are_found_by_an_index() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        drop(with_branch(&path).await);
        let file = rusqlite::Connection::open(&path).expect("it opens");
        for (question, index) in [
            ("SELECT id FROM intents WHERE due <= 7 ORDER BY due, number LIMIT 1", "due_intents"),
            (
                "SELECT id FROM intents WHERE domain = 'a' AND edition = '' AND root = x'' ORDER BY due, number LIMIT 1",
                "intents_of_stream",
            ),
            (
                "DELETE FROM events WHERE stream IN
                     (SELECT id FROM streams WHERE edition = ?1 AND edition <> '' AND (?2 IS NULL OR domain = ?2))",
                "streams_of_editions",
            ),
        ] {
            let mut plan = file.prepare(&format!("EXPLAIN QUERY PLAN {question}")).expect("a question");
            let parameters = vec!["b"; plan.parameter_count()];
            let steps = plan.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3));
            let steps: Vec<String> = steps.expect("a plan").map(|it| it.expect("a step")).collect();
            let steps = steps.join("; ");
            assert!(steps.contains(index) && !steps.contains("SCAN") && !steps.contains("TEMP"), "{steps}");
        }
    });
}

/// Keys that are merged are found after the file was opened anew.
#[test]
fn b6_a_merge_survives_reopening() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let storage = with_branch(&path).await;
        let dedup = Dedup(Bytes::from_static(b"k"));
        let mut keyed = write(&branch(1), 3, b"e");
        keyed.append.as_mut().expect("an append").dedup = Some(dedup.clone());
        store(&storage, keyed).await.expect("stored");
        let mut write = merge(1, 2, 4);
        write.extras.as_mut().expect("extras").merges[0].dedup.push((dedup.clone(), dedup.clone()));
        store(&storage, write).await.expect("nothing has moved");
        storage.close().await.expect("it closes");
        let storage = open(&path).await;
        assert_eq!((storage.head(), next_sequence(&storage, &key(1)).await), (7, 4));
        let found = storage.find_duplicate(&key(1), &dedup).await.expect("it reads");
        assert_eq!(found.map(|it| (it.first_sequence, it.count, it.last_position)), Some((3, 1, 7)));
        assert_eq!(storage.read_stream(&branch(1), StreamRead::all()).await.expect("it reads").events.len(), 2);
    });
}
