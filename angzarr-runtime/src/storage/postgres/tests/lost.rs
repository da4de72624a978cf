//! Connections that are lost: nothing that was acknowledged is lost with them, and nothing is stored twice.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::super::{Dedup, Extras, Intent, IntentKind, Settle, Writer as Queue};
use super::*;

fn on_threads(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Row R1: the server ends every session of the store, again and again, while it is written to.
#[test]
fn r1_sessions_that_are_ended_under_load_lose_and_double_nothing() {
    const TASKS: u128 = 8;
    on_threads(async {
        let schema = Schema::new().await;
        let mark = if url().contains('?') { '&' } else { '?' };
        let name = format!("load {}", &schema.0[..20]);
        let address = format!("{}{mark}application_name={}", url(), name.replace(' ', "%20"));
        let storage = Arc::new(Postgres::connect(address).schema(&schema.0).start().await.expect("it opens"));
        let queue = Queue::new(storage.clone());
        let done = Arc::new(AtomicBool::new(false));
        let tasks = (0..TASKS).map(|n| {
            let (storage, queue, done) = (storage.clone(), queue.clone(), done.clone());
            tokio::spawn(async move {
                let (key, mut acknowledged, mut unclear) = (key(n), Vec::<Bytes>::new(), 0);
                let mut count = 0;
                while !done.load(Ordering::Acquire) {
                    let slice = storage.read_stream(&key, StreamRead::all()).await.expect("a question is asked again");
                    let payload = Bytes::from(format!("{n}/{count}"));
                    count += 1;
                    match queue.commit(write(&key, slice.next_sequence, &payload)).await {
                        Ok(written) => {
                            assert_eq!(written.first_sequence, slice.next_sequence);
                            acknowledged.push(payload);
                        }
                        Err(WriteError::Storage(error)) if error.is_retryable() => {}
                        Err(WriteError::Storage(error)) if error.kind == StorageErrorKind::Unknown => unclear += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                (key, acknowledged, unclear)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let operator = stranger().await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";
        let mut ended = 0;
        for round in 0..25u64 {
            tokio::time::sleep(Duration::from_millis(40 + round * 7 % 50)).await;
            ended += operator.query_one(end, &[&name]).await.expect("ended").get::<_, i64>(0);
        }
        done.store(true, Ordering::Release);
        assert!(ended > 25, "sessions were there to be ended");
        let mut total = 0;
        for task in tasks {
            let (key, acknowledged, unclear) = task.await.expect("a writer ends well");
            let slice = storage.read_stream(&key, StreamRead::all()).await.expect("a stream");
            let sequences: Vec<u32> = slice.events.iter().map(|it| it.sequence).collect();
            assert_eq!(sequences, (0..slice.next_sequence).collect::<Vec<_>>(), "no gap");
            let mut stored: Vec<Bytes> = slice.events.into_iter().map(|it| it.payload).collect();
            assert!(acknowledged.iter().all(|it| stored.contains(it)), "what was acknowledged is there");
            assert!(stored.len() <= acknowledged.len() + unclear, "what was refused is not there");
            total += stored.len();
            stored.sort();
            stored.dedup();
            assert_eq!(stored.len(), sequences.len(), "nothing twice");
        }
        assert!(total > 0);
        let log = storage.read_log(0, usize::MAX, usize::MAX).await.expect("the log");
        assert_eq!(log.iter().map(|it| it.event.position).collect::<Vec<_>>(), (1..=total as u64).collect::<Vec<_>>());
        assert_eq!(storage.head(), total as u64);
    });
}

const PASS: u8 = 0;
/// What the writer sends next does not arrive.
const CUT_BEFORE: u8 = 1;
/// What the server answers the writer next does not arrive.
const CUT_AFTER: u8 = 2;

/// A way to the server that can be cut at a chosen moment.
struct Wire {
    port: u16,
    mode: Arc<AtomicU8>,
    cuts: Arc<AtomicUsize>,
}

impl Wire {
    async fn new(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (mode, cuts) = (Arc::new(AtomicU8::new(PASS)), Arc::new(AtomicUsize::new(0)));
        let wire = Self { port, mode: mode.clone(), cuts: cuts.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, mode, cuts) = (server.clone(), mode.clone(), cuts.clone());
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.expect("the server");
                    carry(client, server, &mode, &cuts).await;
                });
            }
        });
        wire
    }

    fn cut(&self, mode: u8) {
        self.mode.store(mode, Ordering::Release);
    }

    fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Acquire)
    }
}

/// Ends with a cut, or with either side.
async fn carry(mut client: TcpStream, mut server: TcpStream, mode: &AtomicU8, cuts: &AtomicUsize) {
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut writes = false;
    loop {
        let cut = |when: u8| {
            let cuts_now = mode.compare_exchange(when, PASS, Ordering::AcqRel, Ordering::Acquire).is_ok();
            cuts.fetch_add(usize::from(cuts_now), Ordering::AcqRel);
            cuts_now
        };
        tokio::select! {
            count = from_client.read(&mut up) => {
                let Ok(count @ 1..) = count else { return };
                if writes && cut(CUT_BEFORE) {
                    return;
                }
                // The one that prepares this statement is the one that writes.
                writes |= up[..count].windows(13).any(|it| it == b"commit_batch(");
                if to_server.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            count = from_server.read(&mut down) => {
                let Ok(count @ 1..) = count else { return };
                if writes && cut(CUT_AFTER) {
                    return;
                }
                if to_client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A store that reaches its server by a wire.
async fn wired(schema: &Schema) -> (Wire, PostgresStorage) {
    let url = url();
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (authority, path) = rest.split_once('/').expect("a URL with a database");
    let (user, host) =
        authority.rsplit_once('@').map_or((String::new(), authority), |(user, host)| (format!("{user}@"), host));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    let wire = Wire::new(host).await;
    let mark = if path.contains('?') { '&' } else { '?' };
    let address = format!("{scheme}://{user}127.0.0.1:{}/{path}{mark}sslmode=disable", wire.port);
    let storage = Postgres::connect(address).schema(&schema.0).start().await.expect("it opens");
    (wire, storage)
}

/// Promise 2: the answer to a commit is lost. Whether it was stored is found out, and said.
#[test]
fn a_commit_whose_answer_is_lost_is_answered_all_the_same() {
    on_threads(async {
        let schema = Schema::new().await;
        let (wire, storage) = wired(&schema).await;
        store(&storage, write(&key(1), 0, b"0")).await.expect("stored");
        for (n, mode) in (1u32..).zip([CUT_AFTER, CUT_BEFORE, CUT_AFTER, CUT_BEFORE]) {
            let mut append = append(&key(1), n, format!("{n}").as_bytes());
            // By the plain statement, and by the function of the server.
            append.dedup = (n > 2).then(|| Dedup(Bytes::from(format!("key {n}"))));
            wire.cut(mode);
            let written = store(&storage, Write::append(append)).await.expect("it is found out");
            assert_eq!((written.first_sequence, written.last_position), (n, u64::from(n) + 1));
            assert_eq!(wire.cuts(), n as usize, "it was cut");
            assert_eq!(storage.head(), u64::from(n) + 1);
        }
        let slice = storage.read_stream(&key(1), StreamRead::all()).await.expect("a stream");
        let payloads: Vec<Bytes> = slice.events.into_iter().map(|it| it.payload).collect();
        assert_eq!(payloads, ["0", "1", "2", "3", "4"], "each of them once");
        // The same where the batch has to look first: a new stream.
        wire.cut(CUT_BEFORE);
        store(&storage, write(&key(2), 0, b"new")).await.expect("stored");
        assert_eq!(next_of(&storage, &key(2)).await, 1);
    });
}

async fn next_of(storage: &PostgresStorage, key: &StreamKey) -> u32 {
    storage.read_stream(key, StreamRead::all()).await.expect("a stream").next_sequence
}

/// Without an event there is nothing to be found: then it is said that nobody knows. What may be done twice is done again.
#[test]
fn a_commit_that_cannot_be_found_out_is_unknown() {
    on_threads(async {
        let schema = Schema::new().await;
        let (wire, storage) = wired(&schema).await;
        let work = Intent {
            id: Uuid::from_u128(1),
            kind: IntentKind::Command,
            stream: key(1),
            due: 5,
            attempts: 0,
            work: Bytes::new(),
        };
        let put = Extras { intents: vec![work.clone()], ..Extras::default() };
        store(&storage, Write::extras(put)).await.expect("stored");
        let settles = vec![Settle { id: work.id, due: work.due }];
        wire.cut(CUT_AFTER);
        let settle = store(&storage, Write::extras(Extras { settles, ..Extras::default() })).await;
        match settle {
            Err(WriteError::Storage(error)) => assert_eq!(error.kind, StorageErrorKind::Unknown, "{error}"),
            other => panic!("nobody knows, not {other:?}"),
        }
        assert_eq!(storage.intent(work.id).await.expect("an answer"), None, "it went through, as it happens");
        wire.cut(CUT_AFTER);
        let checkpoints = vec![(Name::new("p"), 7)];
        store(&storage, Write::extras(Extras { checkpoints, ..Extras::default() })).await.expect("stored");
        assert_eq!(storage.checkpoint("p").await.expect("an answer"), Some(7));
        assert_eq!(wire.cuts(), 2);
    });
}
