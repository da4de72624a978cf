//! Files of other versions and of other programs.

use angzarr_proto as proto;
use prost::Message as _;
use proto::angzarr_dead_letter::Payload;

use super::super::super::{Dedup, EditionDiscard, EditionInfo, Extras, IntentFilter, SnapshotWrite, Written};
use super::super::{codec, schema};
use super::*;
use crate::dead_letter::{DeadLetter, Resolution};
use crate::stream::{LogEvent, Retention, StoredSnapshot, TraceContext};

#[test]
fn a_newer_version_is_refused() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        drop(open(&path).await);
        let newer = schema::VERSION + 1;
        let other = rusqlite::Connection::open(&path).expect("it opens");
        other.pragma_update(None, "user_version", newer).expect("it writes");
        drop(other);
        let before = std::fs::read(&path).expect("a file");
        let words = [&newer.to_string()[..], &schema::VERSION.to_string()[..], "nothing was changed"];
        refused(Sqlite::open(&path).start().await, StorageErrorKind::Incompatible, &words);
        refused(Sqlite::open(&path).start_read_only().await, StorageErrorKind::Incompatible, &words);
        assert_eq!(std::fs::read(&path).expect("a file"), before, "nothing was changed");
    });
}

#[test]
fn another_programs_database_is_refused() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let other = rusqlite::Connection::open(&path).expect("it opens");
        other.execute_batch("CREATE TABLE users (id INTEGER)").expect("it writes");
        drop(other);
        let before = std::fs::read(&path).expect("a file");
        refused(Sqlite::open(&path).start().await, StorageErrorKind::Incompatible, &["another program"]);
        assert_eq!(std::fs::read(&path).expect("a file"), before, "nothing was changed");
    });
}

/// A file of version 1, written by hand: what that version's program left behind.
fn version_1(path: &Path, letters: &[DeadLetter]) {
    let file = rusqlite::Connection::open(path).expect("it opens");
    file.execute_batch(include_str!("../schema_1.sql")).expect("the schema");
    file.pragma_update(None, "application_id", schema::APPLICATION_ID).expect("it writes");
    file.pragma_update(None, "user_version", 1).expect("it writes");
    file.execute_batch(
        "INSERT INTO types (id, name, version) VALUES (1, 'bank.Deposited', 1), (2, 'bank.Account', 1);",
    )
    .expect("it writes");
    let streams = [(1, key(1), None), (2, key(2), None), (3, branch(), Some(1u32))];
    for (id, key, diverged_at) in streams {
        let values = rusqlite::params![id, key.domain.as_str(), key.edition.as_str(), key.root.as_bytes(), diverged_at];
        file.execute(
            "INSERT INTO streams (id, domain, edition, root, diverged_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            values,
        )
        .expect("it writes");
    }
    file.execute_batch(
        "INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, payload) VALUES
             (1, 1, 0, 10, 1, 0, NULL, NULL, x'61'), (2, 1, 1, 11, 1, 0, 'w', NULL, x'62'),
             (3, 2, 0, 12, 1, 1, NULL, NULL, x'63'), (4, 1, 2, 13, 1, 0, NULL, NULL, x'64'),
             (5, 3, 1, 14, 1, 0, NULL, NULL, x'65');
         INSERT INTO snapshots (stream, sequence, type, created_at, retention, state) VALUES
             (1, 0, 2, 10, 1, x'6B657074'), (1, 1, 2, 11, 0, x'6E6577'), (2, 0, 2, 12, 2, x'73686F7274');
         INSERT INTO dedup (stream, key, first_sequence, count, last_position) VALUES (1, x'6B6579', 1, 1, 2);
         INSERT INTO checkpoints (subscriber, position) VALUES ('p', 4), ('q', 0);",
    )
    .expect("it writes");
    for letter in letters {
        let (resolution, resolved_at, reason) = codec::encode_resolution(letter.resolution.as_ref());
        let values = rusqlite::params![
            letter.id.as_bytes(),
            letter.occurred_at,
            letter.domain(),
            letter.letter.source_component,
            letter.letter.cover.as_ref().map_or("", |it| it.correlation_id.as_str()),
            letter.attempts,
            letter.letter.encode_to_vec(),
            resolution,
            resolved_at,
            reason,
        ];
        file.execute(
            "INSERT INTO dead_letters (id, occurred_at, domain, component, correlation_id, attempts, letter,
                                       resolution, resolved_at, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            values,
        )
        .expect("it writes");
    }
}

fn branch() -> StreamKey {
    StreamKey { edition: Name::from_static("b"), ..key(1) }
}

/// A letter of the component `p`: about an event, or else about a command.
pub(super) fn letter(n: u128, event: Option<(&StreamKey, u32)>) -> DeadLetter {
    let stream = event.map_or_else(|| key(1), |(stream, _)| stream.clone());
    let cover = proto::Cover {
        domain: stream.domain.to_string(),
        root: Some(proto::Uuid { value: stream.root.as_bytes().to_vec() }),
        edition: Some(proto::Edition { name: stream.edition.to_string(), divergences: Vec::new() }),
        correlation_id: "w".to_owned(),
        ..proto::Cover::default()
    };
    let payload = match event {
        Some((_, sequence)) => {
            let header = proto::PageHeader {
                sequence_type: Some(proto::page_header::SequenceType::Sequence(sequence)),
                ..proto::PageHeader::default()
            };
            let page = proto::EventPage { header: Some(header), ..proto::EventPage::default() };
            Payload::RejectedEvents(proto::EventBook {
                cover: Some(cover.clone()),
                pages: vec![page],
                ..proto::EventBook::default()
            })
        }
        None => Payload::RejectedCommand(proto::CommandBook { cover: Some(cover.clone()), pages: Vec::new() }),
    };
    DeadLetter {
        id: Uuid::from_u128(n),
        letter: proto::AngzarrDeadLetter {
            cover: Some(cover),
            payload: Some(payload),
            rejection_reason: format!("reason {n}"),
            source_component: "p".to_owned(),
            ..proto::AngzarrDeadLetter::default()
        },
        attempts: 3,
        occurred_at: n as i64,
        resolution: None,
    }
}

/// Everything in a file: its versions, its schema and its rows.
pub(super) fn dump(path: &Path) -> Vec<String> {
    let file = rusqlite::Connection::open(path).expect("it opens");
    let ask = |sql: &str| -> Vec<String> {
        let mut statement = file.prepare(sql).expect(sql);
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values: rusqlite::Result<Vec<rusqlite::types::Value>> = (0..columns).map(|n| row.get(n)).collect();
            Ok(format!("{:?}", values?))
        });
        rows.expect(sql).collect::<Result<_, _>>().expect(sql)
    };
    let mut all =
        ask("SELECT (SELECT application_id FROM pragma_application_id), user_version FROM pragma_user_version");
    all.extend(ask("SELECT type, name, sql FROM sqlite_master ORDER BY name"));
    let mut tables = file.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").expect("tables");
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("tables").map(|it| it.expect("one")).collect();
    for table in tables {
        all.extend(ask(&format!("SELECT '{table}', * FROM {table}")));
    }
    all
}

#[test]
fn a_file_of_version_1_keeps_everything() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let discarded = Resolution::Discarded { at: 99, reason: "a test".to_owned() };
        let letters = [letter(1, None), DeadLetter { resolution: Some(discarded), ..letter(2, None) }];
        version_1(&path, &letters);
        let before = dump(&path);
        refused(Sqlite::open(&path).start_read_only().await, StorageErrorKind::Incompatible, &["version 1"]);
        assert_eq!(dump(&path), before, "looking changes nothing");

        let storage = open(&path).await;
        assert!(!storage.id().is_nil(), "it was given an id");
        assert_eq!(storage.head(), 5);
        let log = storage.read_log(0, 100, usize::MAX).await.expect("it reads");
        let read: Vec<_> = log
            .iter()
            .map(|LogEvent { stream, event: it }| {
                let facts = (it.position, stream.clone(), it.sequence, it.created_at, &it.payload[..]);
                (facts, it.isolated, it.headers.correlation_id(), &*it.type_name, it.schema_version)
            })
            .collect();
        let event = |position, stream, sequence, payload: &'static [u8]| {
            (position, stream, sequence, position as i64 + 9, payload)
        };
        let wanted = [
            (event(1, key(1), 0, b"a"), false, "", "bank.Deposited", 1),
            (event(2, key(1), 1, b"b"), false, "w", "bank.Deposited", 1),
            (event(3, key(2), 0, b"c"), true, "", "bank.Deposited", 1),
            (event(4, key(1), 2, b"d"), false, "", "bank.Deposited", 1),
            (event(5, branch(), 1, b"e"), false, "", "bank.Deposited", 1),
        ];
        assert_eq!(read, wanted);
        let diverged = storage.read_stream(&branch(), StreamRead::all()).await.expect("it reads");
        assert_eq!((diverged.diverged_at, diverged.next_sequence), (Some(1), 2));

        let newest = StreamRead { snapshot: Some((Name::from_static("bank.Account"), 1)), ..StreamRead::all() };
        let slice = storage.read_stream(&key(1), newest.clone()).await.expect("it reads");
        let snapshot = |sequence: u32, retention, state: &'static [u8]| StoredSnapshot {
            sequence,
            created_at: i64::from(sequence) + 10,
            type_name: Name::from_static("bank.Account"),
            state_version: 1,
            state: Bytes::from_static(state),
            retention,
        };
        let (kept, new) = (snapshot(0, Retention::Persist, b"kept"), snapshot(1, Retention::Default, b"new"));
        assert_eq!(slice.snapshot.as_ref(), Some(&new));
        assert_eq!(slice.events.iter().map(|it| it.sequence).collect::<Vec<_>>(), [2]);
        let mut stored = storage.snapshots(&key(1)).await.expect("snapshots");
        stored.sort_by_key(|it| it.sequence);
        assert_eq!(stored, [kept.clone(), new]);
        let short = storage.snapshots(&key(2)).await.expect("snapshots");
        assert_eq!((short[0].retention, &short[0].state[..]), (Retention::Transient, &b"short"[..]));

        assert_eq!(storage.checkpoint("p").await.expect("a checkpoint"), Some(4));
        assert_eq!(storage.checkpoint("q").await.expect("a checkpoint"), Some(0));
        for letter in &letters {
            assert_eq!(storage.dead_letter(letter.id).await.expect("a letter").as_ref(), Some(letter));
        }
        let first = Written { first_sequence: 1, count: 1, last_position: 2 };
        let dedup = Dedup(Bytes::from_static(b"key"));
        assert_eq!(storage.find_duplicate(&key(1), &dedup).await.expect("an answer"), Some(first));

        // And it goes on: an event, a key that is known, a snapshot that replaces, a checkpoint.
        let mut again = write(&key(1), 3, b"again");
        again.append.as_mut().expect("an append").dedup = Some(dedup);
        assert!(matches!(store(&storage, again).await, Err(WriteError::Duplicate(it)) if it == first));
        let newer = snapshot(3, Retention::Default, b"newer");
        let mut next = write(&key(1), 3, b"next");
        next.extras = Some(Box::new(Extras {
            snapshots: vec![SnapshotWrite { key: key(1), snapshot: newer.clone() }],
            checkpoints: vec![("p".into(), 6)],
            ..Extras::default()
        }));
        assert_eq!(store(&storage, next).await.expect("stored").last_position, 6);
        assert_eq!(store(&storage, write(&branch(), 2, b"branch")).await.expect("stored").last_position, 7);
        let mut stored = storage.snapshots(&key(1)).await.expect("snapshots");
        stored.sort_by_key(|it| it.sequence);
        assert_eq!(stored, [kept, newer.clone()]);
        assert_eq!(storage.checkpoint("p").await.expect("a checkpoint"), Some(6));
        let id = storage.id();
        storage.close().await.expect("it closes");

        let storage = open(&path).await;
        assert_eq!((storage.id(), storage.head()), (id, 7));
        assert_eq!(storage.read_stream(&key(1), newest).await.expect("it reads").snapshot, Some(newer));
    });
}

/// Version 2 knew no intents and no divergences, and nothing was ever discarded in it.
#[test]
fn a_file_of_version_2_keeps_everything_and_learns_the_rest() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let parked = letter(1, Some((&branch(), 1)));
        version_1(&path, std::slice::from_ref(&parked));
        let mut file = rusqlite::Connection::open(&path).expect("it opens");
        schema::migrate(&mut file, "a.db", schema::Content::Version(1), &schema::STEPS[..2]).expect("version 2");
        drop(file);
        let before = dump(&path);
        refused(Sqlite::open(&path).start_read_only().await, StorageErrorKind::Incompatible, &["version 2"]);
        assert_eq!(dump(&path), before, "looking changes nothing");

        let storage = open(&path).await;
        let id = storage.id();
        let log = storage.read_log(0, 100, usize::MAX).await.expect("it reads");
        let read: Vec<_> = log
            .iter()
            .map(|LogEvent { stream, event: it }| (it.position, stream.clone(), it.sequence, &it.payload[..]))
            .collect();
        let wanted: [(u64, StreamKey, u32, &[u8]); 5] = [
            (1, key(1), 0, b"a"),
            (2, key(1), 1, b"b"),
            (3, key(2), 0, b"c"),
            (4, key(1), 2, b"d"),
            (5, branch(), 1, b"e"),
        ];
        assert_eq!(read, wanted);
        assert!(log.iter().all(|it| it.event.headers.divergences().is_empty()));
        assert_eq!(storage.snapshots(&key(1)).await.expect("snapshots").len(), 2);
        assert_eq!(storage.oldest_parked("p", &branch()).await.expect("a letter"), Some(parked.clone()));
        assert_eq!(storage.intents(&IntentFilter::default()).await.expect("intents"), []);
        let info = EditionInfo { name: Name::from_static("b"), streams: 1, events: 1 };
        assert_eq!(storage.editions().await.expect("editions"), [info]);
        let keys = storage.dedup_keys(&key(1)).await.expect("keys");
        let first = Written { first_sequence: 1, count: 1, last_position: 2 };
        assert_eq!(keys, [(Dedup(Bytes::from_static(b"key")), first)]);

        // And it goes on, old events beside new ones.
        let mut next = write(&branch(), 2, b"f");
        let points = vec![(Name::new("account"), 1)];
        next.append.as_mut().expect("an append").headers = Headers::default().with_divergences(points.clone());
        store(&storage, next).await.expect("stored");
        let slice = storage.read_stream(&branch(), StreamRead::all()).await.expect("it reads");
        let divergences: Vec<_> = slice.events.iter().map(|it| it.headers.divergences().to_vec()).collect();
        assert_eq!(divergences, [Vec::new(), points]);
        let discards = vec![EditionDiscard { edition: Name::from_static("b"), domain: None, at: 9 }];
        store(&storage, Write::extras(Extras { discards, ..Extras::default() })).await.expect("discarded");
        assert_eq!(storage.oldest_parked("p", &branch()).await.expect("a letter"), None);
        storage.close().await.expect("it closes");
        let storage = open(&path).await;
        assert_eq!((storage.id(), storage.head()), (id, 6));
        assert_eq!(store(&storage, write(&key(1), 3, b"g")).await.expect("stored").last_position, 7);
    });
}

/// What version 3 stored has no trace; what comes behind it may have one.
#[test]
fn a_file_of_version_3_goes_on_with_traces() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        version_1(&path, &[]);
        let mut file = rusqlite::Connection::open(&path).expect("it opens");
        schema::migrate(&mut file, "a.db", schema::Content::Version(1), &schema::STEPS[..3]).expect("version 3");
        drop(file);
        refused(Sqlite::open(&path).start_read_only().await, StorageErrorKind::Incompatible, &["version 3"]);
        let storage = open(&path).await;
        let trace = TraceContext::new([7; 16], [8; 8], 1);
        let mut next = write(&key(1), 3, b"f");
        next.append.as_mut().expect("an append").headers = Headers::default().with_trace(trace);
        store(&storage, next).await.expect("stored");
        let slice = storage.read_stream(&key(1), StreamRead::all()).await.expect("it reads");
        let traces: Vec<_> = slice.events.iter().map(|it| it.headers.trace()).collect();
        assert_eq!(traces, [None, None, None, trace]);
        let log = storage.read_log(0, 100, usize::MAX).await.expect("it reads");
        assert_eq!(log.last().map(|it| (it.stream.clone(), it.event.headers.trace())), Some((key(1), trace)));
    });
}

/// Row J2: version 1 had no columns for the place of a parked event, only the letter.
#[test]
fn j2_streams_that_version_1_parked_stay_parked() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let retried = DeadLetter { resolution: Some(Resolution::Retried { at: 99 }), ..letter(5, Some((&key(3), 7))) };
        let letters = [
            letter(1, Some((&key(1), 2))),
            letter(2, Some((&key(1), 1))),
            letter(3, Some((&branch(), 1))),
            letter(4, None),
            retried.clone(),
        ];
        version_1(&path, &letters);
        let storage = open(&path).await;
        assert_eq!(storage.parked_streams("p").await.expect("streams"), [key(1), branch()]);
        assert_eq!(storage.oldest_parked("p", &key(1)).await.expect("a letter").as_ref(), Some(&letters[1]));
        assert_eq!(storage.oldest_parked("p", &branch()).await.expect("a letter").as_ref(), Some(&letters[2]));

        // What was retried fails anew: its letter opens again, and parks its stream.
        let again = DeadLetter { resolution: None, ..retried };
        let extras = Extras { dead_letters: vec![again.clone()], ..Extras::default() };
        store(&storage, Write::extras(extras)).await.expect("stored");
        assert_eq!(storage.oldest_parked("p", &key(3)).await.expect("a letter"), Some(again));
    });
}

/// Whether it parks a stream cannot be told, and to go on without knowing would let later events pass it.
#[test]
fn j2_a_letter_of_version_1_that_cannot_be_read_stops_the_step() {
    block_on(async {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        version_1(&path, &[letter(1, Some((&key(1), 2)))]);
        let file = rusqlite::Connection::open(&path).expect("it opens");
        file.execute("UPDATE dead_letters SET letter = x'FF'", []).expect("it writes");
        drop(file);
        let before = dump(&path);
        refused(
            Sqlite::open(&path).start().await,
            StorageErrorKind::Corrupt,
            &["a.db", "version 2", "letter number 1"],
        );
        assert_eq!(dump(&path), before, "nothing was changed");
    });
}

#[test]
fn a_step_that_fails_halfway_leaves_the_version_before() {
    const GOOD: &str = "CREATE TABLE more (id INTEGER) STRICT; DELETE FROM events; DROP TABLE snapshots;";
    const BAD: &str = "CREATE TABLE more (id INTEGER) STRICT; DELETE FROM events; DROP TABLE snapshots;
                       INSERT INTO nowhere VALUES (1);";
    fn fail(connection: &rusqlite::Connection) -> Result<(), super::super::StorageError> {
        connection.execute("DELETE FROM streams", []).expect("it writes");
        Err(super::super::error::failed("injected"))
    }
    block_on(async {
        let cases = [
            (schema::Step { sql: BAD, then: None }, "nowhere"),
            (schema::Step { sql: GOOD, then: Some(fail) }, "injected"),
        ];
        for (step, word) in cases {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("a.db");
            let parked = letter(1, Some((&key(1), 2)));
            version_1(&path, std::slice::from_ref(&parked));
            let before = dump(&path);
            let mut file = rusqlite::Connection::open(&path).expect("it opens");
            let migrate = |file: &mut rusqlite::Connection, steps: &[schema::Step]| {
                let content = schema::inspect(file, "a.db").expect("a file of ours");
                schema::migrate(file, "a.db", content, steps)
            };
            let error = migrate(&mut file, &[schema::STEPS[0], step]).expect_err("it fails");
            assert!(error.message.contains(word), "{error}");
            assert!(file.is_autocommit(), "no transaction is left open");
            assert_eq!(schema::inspect(&file, "a.db").expect("a file of ours"), schema::Content::Version(1));
            drop(file);
            assert_eq!(dump(&path), before, "nothing was changed");

            // The version before is used as it was.
            let file = rusqlite::Connection::open(&path).expect("it opens");
            file.execute("UPDATE checkpoints SET position = 5 WHERE subscriber = 'p'", []).expect("it writes");
            drop(file);
            let storage = open(&path).await;
            assert_eq!((storage.head(), storage.checkpoint("p").await.expect("a checkpoint")), (5, Some(5)));
            assert_eq!(storage.oldest_parked("p", &key(1)).await.expect("a letter"), Some(parked));
            store(&storage, write(&key(1), 3, b"next")).await.expect("stored");
        }
    });
}

/// Steps that went through before the one that fails stay; the very first one leaves an empty file.
#[test]
fn steps_are_kept_one_by_one() {
    let bad = schema::Step { sql: "CREATE TABLE more (id INTEGER); INSERT INTO nowhere VALUES (1)", then: None };
    let mut file = rusqlite::Connection::open_in_memory().expect("it opens");
    schema::migrate(&mut file, "it", schema::Content::Empty, &[bad]).expect_err("it fails");
    assert_eq!(schema::inspect(&file, "it").expect("empty"), schema::Content::Empty);
    schema::migrate(&mut file, "it", schema::Content::Empty, &[schema::STEPS[0], schema::STEPS[1], bad])
        .expect_err("it fails");
    assert_eq!(schema::inspect(&file, "it").expect("a file of ours"), schema::Content::Version(2));
    // What is done is not done again.
    schema::migrate(&mut file, "it", schema::Content::Version(2), &schema::STEPS[..2]).expect("nothing to do");
}
