//! Other processes on the same schema, and other people's transactions. A store of its own stands for a process: nothing is
//! shared between two of them but the database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::super::{Dedup, EditionDiscard, Extras, Intent, IntentFilter, IntentKind, Settle, Writer as Queue};
use super::*;
use crate::stream::LogEvent;

fn on_threads(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

async fn stores(schema: &Schema, count: usize) -> Vec<Arc<PostgresStorage>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(Arc::new(open(schema).await));
    }
    stores
}

/// From now on each transaction that stores events takes a while between storing them and its commit.
async fn slow_commits(schema: &Schema) {
    let sql = format!(
        "SET search_path TO {}; CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(random() * 0.004); RETURN NULL; END $$;
         CREATE TRIGGER dawdle AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION dawdle()",
        schema.0
    );
    stranger().await.batch_execute(&sql).await.expect("a trigger");
}

/// Row R4: several processes write at the same time, with delays between giving a position and the commit; whoever goes on
/// behind what it saw misses nothing, and its head never promises what cannot be read.
#[test]
fn r4_a_reader_misses_nothing_of_what_several_processes_write() {
    const PROCESSES: usize = 3;
    const TASKS: usize = 6;
    const EACH: u32 = 25;
    on_threads(async {
        let schema = Schema::new().await;
        let writers = stores(&schema, PROCESSES).await;
        slow_commits(&schema).await;
        let follower = open(&schema).await;
        let done = Arc::new(AtomicBool::new(false));
        let reading = tokio::spawn({
            let done = done.clone();
            async move {
                let (mut seen, mut head) = (Vec::<LogEvent>::new(), 0);
                loop {
                    let finished = done.load(Ordering::Acquire);
                    assert!(follower.head() >= head, "the head never goes back");
                    head = follower.head();
                    let after = seen.last().map_or(0, |it| it.event.position);
                    let more = follower.read_log(after, 7, usize::MAX).await.expect("the log");
                    if let Some(last) = more.last() {
                        assert!(more.len() == 7 || last.event.position >= head, "the head can be read");
                    }
                    if more.is_empty() && finished {
                        return seen;
                    }
                    seen.extend(more);
                }
            }
        });
        let mut tasks = Vec::new();
        for (process, store) in writers.iter().enumerate() {
            let queue = Queue::new(store.clone());
            for task in 0..TASKS {
                let queue = queue.clone();
                tasks.push(tokio::spawn(async move {
                    let key = key((process * TASKS + task) as u128);
                    let mut last = 0;
                    for n in 0..EACH {
                        let two = {
                            let mut two = append(&key, n * 2, b"x");
                            two.events.push(two.events[0].clone());
                            two
                        };
                        let written = queue.commit(Write::append(two)).await.expect("stored");
                        assert!(written.last_position > last);
                        last = written.last_position;
                    }
                }));
            }
        }
        for task in tasks {
            task.await.expect("a writer ends well");
        }
        done.store(true, Ordering::Release);
        let seen = reading.await.expect("the reader ends well");
        assert!(seen.windows(2).all(|pair| pair[0].event.position < pair[1].event.position));
        let mut next: BTreeMap<StreamKey, u32> = BTreeMap::new();
        for it in &seen {
            let next = next.entry(it.stream.clone()).or_default();
            assert_eq!(it.event.sequence, *next, "every event of {}", it.stream);
            *next += 1;
        }
        assert_eq!(seen.len(), PROCESSES * TASKS * EACH as usize * 2);
    });
}

/// Promises 4, 5 and 8 between processes: on one stream, with one key, for one intent.
#[test]
fn c9_c10_p5_processes_that_want_the_same_are_told_apart() {
    const ROUNDS: u32 = 40;
    on_threads(async {
        let schema = Schema::new().await;
        let stores = stores(&schema, 3).await;
        let works: Vec<Intent> = (0..ROUNDS)
            .map(|n| Intent {
                id: Uuid::from_u128(n.into()),
                kind: IntentKind::Command,
                stream: key(1),
                due: 5,
                attempts: 0,
                work: Bytes::new(),
            })
            .collect();
        let put = Write::extras(Extras { intents: works.clone(), ..Extras::default() });
        store(&stores[0], put).await.expect("stored");
        let racers = stores.iter().enumerate().map(|(racer, storage)| {
            let (storage, works) = (storage.clone(), works.clone());
            tokio::spawn(async move {
                let (mut settled, mut keys, mut appended) = (0, 0, 0);
                for (n, work) in works.iter().enumerate() {
                    // One intent.
                    let settle = Settle { id: work.id, due: work.due };
                    let write = Write::extras(Extras { settles: vec![settle], ..Extras::default() });
                    match store(&storage, write).await {
                        Ok(_) => settled += 1,
                        Err(WriteError::Settled { intent }) => assert_eq!(intent, work.id),
                        Err(error) => panic!("{error}"),
                    }
                    // One dedup key, on a stream that grows meanwhile.
                    loop {
                        let at = next(&storage, &key(2)).await;
                        let mut keyed = append(&key(2), at, b"keyed");
                        keyed.dedup = Some(Dedup(Bytes::from(format!("key {n}"))));
                        match store(&storage, Write::append(keyed)).await {
                            Ok(_) => keys += 1,
                            Err(WriteError::Duplicate(first)) => assert_eq!(first.count, 1),
                            Err(WriteError::Conflict { .. }) => continue,
                            Err(error) => panic!("{error}"),
                        }
                        break;
                    }
                    // One stream.
                    loop {
                        let at = next(&storage, &key(3)).await;
                        match store(&storage, write_of(&key(3), at, racer, n)).await {
                            Ok(written) => assert_eq!(written.first_sequence, at),
                            Err(WriteError::Conflict { actual, .. }) => {
                                assert!(actual > at, "it is told where the stream is now");
                                continue;
                            }
                            Err(error) => panic!("{error}"),
                        }
                        appended += 1;
                        break;
                    }
                }
                (settled, keys, appended)
            })
        });
        let counts = futures_util::future::join_all(racers).await;
        let counts: Vec<(u32, u32, u32)> = counts.into_iter().map(|it| it.expect("a racer ends well")).collect();
        assert_eq!(counts.iter().map(|it| it.0).sum::<u32>(), ROUNDS, "each intent was settled once");
        assert_eq!(counts.iter().map(|it| it.1).sum::<u32>(), ROUNDS, "each key was stored once");
        assert_eq!(counts.iter().map(|it| it.2).sum::<u32>(), 3 * ROUNDS);
        assert!(stores[0].intents(&IntentFilter::default()).await.expect("intents").is_empty());
        for (key, count) in [(key(2), ROUNDS), (key(3), 3 * ROUNDS)] {
            let events = stores[1].read_stream(&key, StreamRead::all()).await.expect("a stream").events;
            assert_eq!(events.iter().map(|it| it.sequence).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
        let mut payloads: Vec<Bytes> = stores[2]
            .read_stream(&key(3), StreamRead::all())
            .await
            .expect("a stream")
            .events
            .into_iter()
            .map(|it| it.payload)
            .collect();
        payloads.sort();
        payloads.dedup();
        assert_eq!(payloads.len(), 3 * ROUNDS as usize, "none twice");
    });
}

fn write_of(key: &StreamKey, at: u32, racer: usize, n: usize) -> Write {
    write(key, at, format!("{racer}/{n}").as_bytes())
}

async fn next(storage: &PostgresStorage, key: &StreamKey) -> u32 {
    storage.read_stream(key, StreamRead::all()).await.expect("a stream").next_sequence
}

/// Whoever remembers a stream that another process went on with is told where it is, not where it was; and no number and no
/// position is given twice after another process has discarded what was newest.
#[test]
fn b5_what_another_process_has_changed_is_not_decided_from_memory() {
    block_on(async {
        let schema = Schema::new().await;
        let (one, other) = (open(&schema).await, open(&schema).await);
        store(&one, write(&key(1), 0, b"one")).await.expect("stored");
        store(&other, write(&key(1), 1, b"other")).await.expect("stored");
        // Its memory is at 1.
        assert_eq!(store(&one, write(&key(1), 2, b"one")).await.expect("it knows").last_position, 3);
        let late = store(&other, write(&key(1), 2, b"other")).await;
        assert!(matches!(late, Err(WriteError::Conflict { actual: 3, .. })), "{late:?}");
        let branch = StreamKey { edition: "b".into(), ..key(1) };
        let mut first = append(&branch, 1, b"branch");
        first.diverged_at = Some(1);
        store(&one, Write::append(first.clone())).await.expect("stored");
        let discards = vec![EditionDiscard { edition: "b".into(), domain: None, at: 1 }];
        store(&other, Write::extras(Extras { discards, ..Extras::default() })).await.expect("discarded");
        // It remembers the branch at 2.
        let late = store(&one, write(&branch, 2, b"late")).await;
        assert!(matches!(late, Err(WriteError::Conflict { actual: 0, .. })), "{late:?}");
        assert_eq!(store(&one, Write::append(first)).await.expect("anew").last_position, 5);
        let log = other.read_log(0, 10, usize::MAX).await.expect("the log");
        assert_eq!(log.iter().map(|it| it.event.position).collect::<Vec<_>>(), [1, 2, 3, 5]);
    });
}

/// Row R4: a transaction of somebody else that holds writers back is named, while they wait and when they give up. Readers
/// do not wait.
#[test]
fn r4_who_holds_writers_back_is_named() {
    on_threads(async {
        let schema = Schema::new().await;
        let patience = Duration::from_millis(2_500);
        let first = Arc::new(schema.postgres().lock_patience(patience).start().await.expect("it opens"));
        let second = Arc::new(schema.postgres().lock_patience(patience).start().await.expect("it opens"));
        store(&first, write(&key(1), 0, b"x")).await.expect("stored");
        assert_eq!(first.held_up(), None);
        let foreign = stranger().await;
        let set_up =
            format!("SET application_name TO 'nightly export'; BEGIN; LOCK TABLE {}.events IN SHARE MODE", schema.0);
        foreign.batch_execute(&set_up).await.expect("a lock");
        let pid: i32 = foreign.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);

        let given_up = tokio::spawn({
            let first = first.clone();
            async move { store(&first, write(&key(1), 1, b"y")).await }
        });
        let behind_it = tokio::spawn({
            let second = second.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                store(&second, write(&key(2), 0, b"y")).await
            }
        });
        let words = [format!("server process {pid} "), "nightly export".to_owned(), "idle in transaction".to_owned()];
        let named = async |storage: &PostgresStorage| {
            loop {
                match storage.held_up() {
                    Some(told) => {
                        words.iter().for_each(|word| assert!(told.contains(word), "`{word}` is missing in: {told}"));
                        return;
                    }
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        named(&first).await;
        assert_eq!(first.read_log(0, 10, 1_000).await.expect("readers do not wait").len(), 1);
        let Err(WriteError::Storage(error)) = given_up.await.expect("no panic") else { panic!("it is held back") };
        assert!(error.is_retryable(), "{error}");
        words.iter().for_each(|word| assert!(error.message.contains(word), "`{word}` is missing in: {error}"));
        assert_eq!(next(&first, &key(1)).await, 1, "nothing was stored");
        // Behind a writer of ours that waits itself: still the one that all wait for.
        named(&second).await;
        foreign.batch_execute("ROLLBACK").await.expect("it ends");
        behind_it.await.expect("no panic").expect("nobody is in the way any more");
        store(&first, write(&key(1), 1, b"z")).await.expect("nobody is in the way any more");
        assert_eq!((first.held_up(), second.held_up()), (None, None));
    });
}

/// A process that was stopped in the middle of a transaction holds up the others for as long as the server lets it.
#[test]
fn r5_a_writer_that_stands_still_is_ended_by_the_server() {
    on_threads(async {
        let schema = Schema::new().await;
        let patience = Duration::from_millis(1_000);
        let connector = schema.postgres().lock_patience(patience).connector().await.expect("an address");
        let storage = open(&schema).await;
        let (_, lock_key) = super::super::schema::identity(
            &connector.connect(super::super::Role::Writes).await.expect("a connection"),
            &connector.settings,
        )
        .await
        .expect("an id");
        let suspended = super::super::statements::Session::open(&connector, lock_key).await.expect("a session");
        suspended.lock().await.expect("the lock");
        store(&storage, write(&key(1), 0, b"x")).await.expect("it is not for ever");
        assert!(suspended.next_version().await.is_err(), "what it would have stored now, it cannot store");
    });
}

/// What another process stores is noticed: at once by a notification, and without one when it is looked for.
#[test]
fn r4_the_head_follows_other_processes() {
    block_on(async {
        let schema = Schema::new().await;
        let (writer, follower) = (open(&schema).await, open(&schema).await);
        let mut changes = follower.changes().expect("others write");
        for n in 0..5u32 {
            store(&writer, write(&key(1), n, b"x")).await.expect("stored");
            let head = *changes.wait_for(|head| *head > u64::from(n)).await.expect("it is told");
            assert!(follower.head() >= head);
            assert_eq!(follower.read_log(u64::from(n), 1, 1).await.expect("the log").len(), 1, "it can be read");
        }
        // Somebody stores and dies before telling.
        let sql = format!(
            "SET search_path TO {}; SELECT begin_write(0, newest_version()), nextval('version');
             INSERT INTO events (position, stream, sequence, created_at, type, isolated, payload)
             VALUES (6, 1, 5, 5, 1, false, 'x')",
            schema.0
        );
        stranger().await.batch_execute(&sql).await.expect("stored");
        changes.wait_for(|head| *head == 6).await.expect("it is found");
        // Own commits are no news.
        changes.borrow_and_update();
        store(&follower, write(&key(2), 0, b"x")).await.expect("stored");
        assert_eq!(follower.head(), 7);
        assert!(!changes.has_changed().expect("it is open"));
    });
}

/// What a user's sessions see otherwise is not what is decided on.
#[test]
fn r4_writers_see_the_newest_whatever_the_isolation_of_their_user() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let schema = Schema::new().await;
        let mark = if url().contains('?') { '&' } else { '?' };
        let strict = format!(
            "{}{mark}options=-c%20default_transaction_isolation%3Dserializable%20-c%20default_transaction_read_only%3Don",
            url()
        );
        let mut writers = tokio::task::JoinSet::new();
        open(&schema).await.close().await.expect("it closes");
        for n in 1..=2u128 {
            let storage = Postgres::connect(&strict).schema(&schema.0).start().await.expect("it opens");
            writers.spawn(async move {
                for sequence in 0..100 {
                    store(&storage, write(&key(n), sequence, b"x")).await.expect("stored");
                }
            });
        }
        while let Some(done) = writers.join_next().await {
            done.expect("each event is stored at once");
        }
    });
}
