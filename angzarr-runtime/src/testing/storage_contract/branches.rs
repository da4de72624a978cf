//! Checks of editions as a whole: divergences in headers, merge, discard, lists.

use super::*;

fn in_edition(edition: &str, key: StreamKey) -> StreamKey {
    StreamKey { edition: edition.into(), ..key }
}

/// `count` events for a branch, whether it exists or not.
fn branched(branch: &StreamKey, diverged_at: u32, expected: u32, count: u32) -> Append {
    Append { diverged_at: Some(diverged_at), ..append(branch, expected, count) }
}

fn merge(branch: &StreamKey, diverged_at: u32, next_sequence: u32) -> StreamMerge {
    StreamMerge { branch: branch.clone(), diverged_at, next_sequence, dedup: Vec::new() }
}

fn merges(merges: impl Into<Vec<StreamMerge>>) -> Write {
    extras(|it| it.merges = merges.into())
}

fn discard(edition: &str, domain: Option<&str>) -> Write {
    let discard = EditionDiscard { edition: edition.into(), domain: domain.map(Name::from), at: 77 };
    extras(|it| it.discards.push(discard))
}

#[track_caller]
fn conflict_of(outcome: &Result<Written, WriteError>, wanted: &StreamKey, at: u32) {
    match outcome {
        Err(WriteError::Conflict { key, actual, .. }) => assert_eq!((key, *actual), (wanted, at)),
        other => panic!("a conflict was due, not {other:?}"),
    }
}

#[track_caller]
fn refused(outcome: &Result<Written, WriteError>, word: &str) {
    match outcome {
        Err(WriteError::Storage(error)) => {
            assert_eq!(error.kind, StorageErrorKind::Failed, "{error}");
            assert!(error.message.contains(word), "`{word}` is missing in: {error}");
        }
        other => panic!("it has to be refused, not {other:?}"),
    }
}

impl Subject {
    async fn slice(&self, key: &StreamKey) -> StreamSlice {
        self.storage.read_stream(key, StreamRead::all()).await.expect("a stream can be read")
    }

    async fn positions(&self) -> Vec<u64> {
        self.log().await.iter().map(|it| it.event.position).collect()
    }
}

/// Row B4: what comes after an event stays where its command was, divergences included.
pub async fn b4_divergences_come_back_with_the_headers(it: &Subject) {
    let any = prost_types::Any { type_url: "type.googleapis.com/bank.Ext".into(), value: vec![1] };
    let points = vec![(Name::new("account"), 2), (Name::new("order"), u32::MAX), (Name::new("Ü"), 0)];
    let cases = [
        Headers::default().with_divergences(points.clone()),
        Headers::new("w", None).with_divergences(points[..1].to_vec()),
        Headers::new("w", None),
        Headers::new("w", None).with_divergences(points[1..].to_vec()),
        Headers::new("w", Some(any)).with_divergences(points.clone()),
        Headers::default(),
    ];
    // In one batch: nothing of one append gets into the next.
    let write =
        |(n, headers): (u32, &Headers)| Write::append(Append { headers: headers.clone(), ..append(&key(1), n, 1) });
    for outcome in it.batch((0u32..).zip(&cases).map(write).collect()).await {
        outcome.expect("stored");
    }
    let read: Vec<Headers> = it.slice(&key(1)).await.events.iter().map(|it| it.headers.clone()).collect();
    assert_eq!(read, cases);
    assert_eq!(read[0].divergences(), points);
    let log: Vec<Headers> = it.log().await.iter().map(|it| it.event.headers.clone()).collect();
    assert_eq!(log, cases);
    let workflow = it.storage.read_correlation("w").await.expect("a workflow");
    assert_eq!(workflow.iter().map(|it| it.event.headers.clone()).collect::<Vec<_>>(), cases[1..5]);
}

/// Row B6: on main an event is the same as on the branch, but for its position.
pub async fn b6_a_merge_appends_the_branch_to_main(it: &Subject) {
    let branch = in_edition("b", key(1));
    it.store(append(&key(1), 0, 2)).await;
    let headers = Headers::new("w", None).with_trace(TraceContext::new([1; 16], [2; 8], 1));
    let mut first = branched(&branch, 2, 2, 2);
    first.headers = headers.clone().with_divergences(vec![("account".into(), 2)]);
    first.events[1].isolated = true;
    first.events[1].type_name = "bank.Withdrawn".into();
    first.events[1].schema_version = 3;
    first.created_at = 5_000;
    it.store(first).await;
    it.store(append(&key(2), 0, 1)).await;
    it.store(append(&branch, 4, 1)).await;
    let before = it.slice(&branch).await;
    it.put(merges([merge(&branch, 2, 5)])).await.expect("main has not moved");

    let main = it.slice(&key(1)).await;
    assert_eq!((main.next_sequence, main.diverged_at, main.last_created_at), (5, None, 1_004));
    assert_eq!(main.events.iter().map(|it| it.sequence).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    for ((merged, own), position) in main.events[2..].iter().zip(&before.events).zip(7..) {
        let headers = own.headers.clone().with_divergences(Vec::new());
        assert_eq!(*merged, StoredEvent { position, headers, ..own.clone() });
    }
    assert_eq!(main.events[2].headers, headers);
    assert_eq!(it.slice(&branch).await, before, "the branch stays as it is");
    assert_eq!((it.positions().await, it.storage.head()), ((1..=9).collect(), 9));
    assert_eq!(it.storage.read_correlation("w").await.expect("a workflow").len(), 4);
    // Both go on, each by itself. What was merged is not merged again.
    it.store(append(&key(1), 5, 1)).await;
    it.store(append(&branch, 5, 1)).await;
    conflict_of(&it.put(merges([merge(&branch, 2, 6)])).await, &key(1), 6);
    // A branch of a root that main does not know.
    let fresh = in_edition("b", key(5));
    it.store(branched(&fresh, 0, 0, 2)).await;
    it.put(merges([merge(&fresh, 0, 2)])).await.expect("main does not have it");
    assert_eq!(it.sequences(&key(5), StreamRead::all()).await, [0, 1]);
    it.store(append(&key(5), 2, 1)).await;
}

/// Row B6: in the order in which the branches were written, over all of them.
pub async fn b6_merged_streams_keep_the_order_of_their_events(it: &Subject) {
    let branches = [in_edition("b", key(1)), in_edition("b", StreamKey::main("order", Uuid::from_u128(1)))];
    for n in 0..4u32 {
        it.store(branched(&branches[n as usize % 2], 0, n / 2, 1)).await;
    }
    it.put(merges([merge(&branches[1], 0, 2), merge(&branches[0], 0, 2)])).await.expect("main has not moved");
    let log = it.log().await;
    let places = |part: &[LogEvent]| {
        part.iter().map(|it| (it.stream.on_main(), it.event.sequence, it.event.payload.clone())).collect::<Vec<_>>()
    };
    assert_eq!(places(&log[4..]), places(&log[..4]));
    assert!(log[4..].iter().all(|it| it.stream.is_main()));
}

/// Row B6: what has moved is told, and nothing of the write is stored.
pub async fn b6_a_merge_conflict_of_one_stream_merges_none(it: &Subject) {
    let [one, two] = [1, 2].map(|n| in_edition("b", key(n)));
    for n in [1, 2] {
        it.store(append(&key(n), 0, 2)).await;
    }
    it.store(with_key(branched(&one, 2, 2, 1), "k")).await;
    it.store(branched(&two, 1, 1, 2)).await;
    let work = Intent {
        id: Uuid::from_u128(1),
        kind: IntentKind::Command,
        stream: key(1),
        due: 1,
        attempts: 0,
        work: Bytes::new(),
    };
    let first = StreamMerge { dedup: vec![(dedup("k"), dedup("k"))], ..merge(&one, 2, 3) };
    let attempt = |second: StreamMerge| {
        let mut write = merges([first.clone(), second]);
        write.append = Some(append(&key(9), 0, 1));
        if let Some(extras) = &mut write.extras {
            extras.intents.push(work.clone());
            extras.checkpoints.push(("p".into(), 1));
            extras.discards.push(EditionDiscard { edition: "b".into(), domain: None, at: 1 });
        }
        it.put(write)
    };
    // Main went on behind the place where the branch left; or nobody knows such a branch, or not like this.
    let absent = in_edition("c", key(7));
    for (second, key, at) in [
        (merge(&two, 1, 3), &key(2), 2),
        (merge(&two, 2, 3), &two, 3),
        (merge(&absent, 0, 1), &absent, 0),
        (merge(&absent, 2, 3), &absent.on_main(), 0),
    ] {
        conflict_of(&attempt(second).await, key, at);
    }
    // The branch went on, or does not know a key.
    let fresh = in_edition("b", key(3));
    it.store(branched(&fresh, 0, 0, 2)).await;
    conflict_of(&attempt(merge(&fresh, 0, 1)).await, &fresh, 2);
    conflict_of(&attempt(merge(&fresh, 0, 3)).await, &fresh, 2);
    let unknown = StreamMerge { dedup: vec![(dedup("k"), dedup("k"))], ..merge(&fresh, 0, 2) };
    conflict_of(&attempt(unknown).await, &fresh, 2);
    // A stream without events of its own has not left.
    let empty = in_edition("b", key(4));
    it.store(with_key(append(&empty, 0, 0), "k")).await;
    conflict_of(&attempt(merge(&empty, 0, 0)).await, &empty, 0);

    assert_eq!(it.positions().await, (1..=9).collect::<Vec<u64>>());
    for (key, next) in [(key(1), 2), (key(2), 2), (key(3), 0), (key(9), 0), (one.clone(), 3)] {
        assert_eq!(it.next_sequence(&key).await, next, "{key}");
    }
    assert_eq!(it.storage.find_duplicate(&key(1), &dedup("k")).await.expect("a key"), None);
    assert_eq!(it.storage.intent(work.id).await.expect("an intent"), None);
    assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), None);
    // Nobody is in the way: all of it, the discard last.
    attempt(merge(&fresh, 0, 2)).await.expect("nothing has moved");
    assert_eq!(it.next_sequence(&key(1)).await + it.next_sequence(&key(3)).await, 5);
    assert_eq!(it.slice(&one).await, StreamSlice::default());
    assert_eq!(it.storage.head(), 13);
}

/// Row B6: a merge that could not be what its caller means.
pub async fn b6_a_merge_that_cannot_be_is_refused(it: &Subject) {
    let branch = in_edition("b", key(1));
    it.store(branched(&branch, 0, 0, 1)).await;
    it.store(branched(&in_edition("c", key(1)), 0, 0, 1)).await;
    refused(&it.put(merges([merge(&key(1), 0, 1)])).await, "main timeline");
    refused(&it.put(merges([merge(&branch, 0, 1), merge(&branch, 0, 1)])).await, "merges it");
    refused(&it.put(merges([merge(&branch, 0, 1), merge(&in_edition("c", key(1)), 0, 1)])).await, "merges it");
    for key in [&key(1), &branch] {
        let mut write = merges([merge(&branch, 0, 1)]);
        write.append = Some(append(key, it.next_sequence(key).await, 1));
        refused(&it.put(write).await, "merges it");
    }
    assert_eq!(it.storage.head(), 2);
}

/// Rows B6 and C10: a repeat on main finds what the first one stored on the branch.
pub async fn b6_a_merge_carries_dedup_keys(it: &Subject) {
    let branch = in_edition("b", key(1));
    it.store(with_key(append(&key(1), 0, 1), "shared")).await;
    let kept = it.store(with_key(append(&key(1), 1, 1), "main")).await;
    it.store(with_key(branched(&branch, 2, 2, 2), "one")).await;
    it.store(with_key(branched(&branch, 2, 4, 0), "nothing")).await;
    let shared = it.store(with_key(branched(&branch, 2, 4, 1), "shared")).await;
    it.store(with_key(branched(&branch, 2, 5, 1), "left")).await;
    let keys = it.storage.dedup_keys(&branch).await.expect("keys");
    let names: Vec<&[u8]> = keys.iter().map(|(key, _)| &key.0[..]).collect();
    assert_eq!(names, [&b"left"[..], b"nothing", b"one", b"shared"]);
    assert_eq!(keys[3].1, shared);
    let pairs = [("one", "one on main"), ("nothing", "nothing"), ("shared", "main")];
    let dedup_pairs = pairs.map(|(one, other)| (dedup(one), dedup(other))).to_vec();
    it.put(merges([StreamMerge { dedup: dedup_pairs, ..merge(&branch, 2, 6) }])).await.expect("nothing has moved");

    let found =
        |name: &'static str| async move { it.storage.find_duplicate(&key(1), &dedup(name)).await.expect("an answer") };
    let last = it.slice(&key(1)).await.events[3].position;
    assert_eq!(found("one on main").await, Some(Written { first_sequence: 2, count: 2, last_position: last }));
    assert_eq!(found("nothing").await, Some(Written { first_sequence: 4, count: 0, last_position: 0 }));
    assert_eq!(found("main").await, Some(kept), "main knew it before");
    assert_eq!((found("one").await, found("left").await), (None, None));
    let again = it.put(Write::append(with_key(append(&key(1), 6, 1), "one on main"))).await;
    duplicate_of(&again, Written { first_sequence: 2, count: 2, last_position: last });
    assert_eq!(it.storage.dedup_keys(&branch).await.expect("keys"), keys, "the branch stays as it is");
    assert_eq!(it.storage.dedup_keys(&key(7)).await.expect("keys"), []);
}

/// A store with two editions in two domains, events 1 to 8; `b` has the newest ones.
async fn two_editions(it: &Subject) -> [StreamKey; 4] {
    let order = StreamKey::main("order", Uuid::from_u128(1));
    let [account_b, order_b, account_c] = [in_edition("b", key(1)), in_edition("b", order), in_edition("c", key(1))];
    let workflow = |append: Append| Append { headers: Headers::new("w", None), ..append };
    it.store(workflow(with_key(append(&key(1), 0, 2), "k"))).await;
    it.store(workflow(branched(&account_c, 1, 1, 1))).await;
    it.store(workflow(with_key(branched(&account_b, 2, 2, 2), "k"))).await;
    it.store(workflow(branched(&order_b, 0, 0, 3))).await;
    for key in [&key(1), &account_b, &order_b, &account_c] {
        it.store_snapshot(key, snapshot(2, Retention::Persist)).await;
        let work = Intent {
            id: Uuid::new_v5(&key.root, key.to_string().as_bytes()),
            kind: IntentKind::Command,
            stream: key.clone(),
            due: 1,
            attempts: 0,
            work: Bytes::new(),
        };
        it.put(extras(|it| it.intents.push(work))).await.expect("stored");
    }
    [key(1), account_b, order_b, account_c]
}

/// What there is of a stream, in a word.
async fn traces(it: &Subject, key: &StreamKey) -> (usize, usize, usize, usize) {
    let keys = it.storage.dedup_keys(key).await.expect("keys");
    let filter = IntentFilter { stream: Some(key.clone()), ..IntentFilter::default() };
    let intents = it.storage.intents(&filter).await.expect("intents");
    (it.slice(key).await.events.len(), it.snapshot_sequences(key).await.len(), keys.len(), intents.len())
}

/// Row B5.
pub async fn b5_a_discard_removes_an_edition_everywhere(it: &Subject) {
    let [main, account_b, order_b, account_c] = two_editions(it).await;
    let (main_before, c_before) = (it.slice(&main).await, it.slice(&account_c).await);
    it.put(discard("b", None)).await.expect("discarded");
    for key in [&account_b, &order_b] {
        assert_eq!(it.slice(key).await, StreamSlice::default(), "{key}");
        assert_eq!(traces(it, key).await, (0, 0, 0, 0), "{key}");
    }
    assert_eq!(it.slice(&main).await, main_before);
    assert_eq!(it.slice(&account_c).await, c_before);
    assert_eq!(traces(it, &main).await, (2, 1, 1, 1));
    assert_eq!(traces(it, &account_c).await, (1, 1, 0, 1));
    assert_eq!(it.positions().await, [1, 2, 3]);
    assert_eq!(it.storage.read_correlation("w").await.expect("a workflow").len(), 3);
    assert_eq!(it.storage.domains().await.expect("domains"), ["account"]);
    let streams = it.storage.streams(&StreamFilter::default(), None, 10).await.expect("streams");
    assert_eq!(streams.into_iter().map(|it| it.key).collect::<Vec<_>>(), [main, account_c]);
    it.put(discard("b", None)).await.expect("nothing is there, nothing is wrong");
    it.put(discard("never", None)).await.expect("nothing is there, nothing is wrong");
}

/// Row B5: for one domain.
pub async fn b5_a_discard_of_one_domain_leaves_the_others(it: &Subject) {
    let [main, account_b, order_b, account_c] = two_editions(it).await;
    it.put(discard("b", Some("account"))).await.expect("discarded");
    assert_eq!(traces(it, &account_b).await, (0, 0, 0, 0));
    assert_eq!(traces(it, &order_b).await, (3, 1, 0, 1));
    assert_eq!(traces(it, &account_c).await, (1, 1, 0, 1));
    assert_eq!(traces(it, &main).await, (2, 1, 1, 1));
    assert_eq!(it.positions().await, [1, 2, 3, 6, 7, 8]);
    it.put(discard("b", Some("nothing"))).await.expect("nothing is there, nothing is wrong");
    assert_eq!(it.positions().await.len(), 6);
}

/// Row B5: main can never be discarded, nor what comes with such a write.
pub async fn b5_main_is_never_discarded(it: &Subject) {
    two_editions(it).await;
    for domain in [None, Some("account")] {
        let mut write = discard("", domain);
        write.append = Some(append(&key(9), 0, 1));
        refused(&it.put(write).await, "cannot be discarded");
    }
    let mut write = discard("b", None);
    if let Some(extras) = &mut write.extras {
        extras.discards.push(EditionDiscard { edition: Name::default(), domain: None, at: 1 });
    }
    refused(&it.put(write).await, "cannot be discarded");
    assert_eq!(it.positions().await, (1..=8).collect::<Vec<u64>>());
    // A write that is refused for another reason discards nothing.
    let mut write = discard("b", None);
    write.append = Some(append(&key(1), 7, 1));
    conflict_at(&it.put(write).await, 2);
    assert_eq!(it.positions().await.len(), 8);
}

/// Row B5, promise 6: the positions of what is gone are never given again.
pub async fn b5_the_head_never_goes_back(it: &Subject) {
    two_editions(it).await;
    it.put(discard("b", None)).await.expect("discarded");
    assert_eq!(it.storage.head(), 8, "the newest ones are gone");
    assert_eq!(it.store(append(&key(1), 2, 1)).await.last_position, 9);
    assert_eq!(it.storage.read_log(3, 1, usize::MAX).await.expect("the log can be read")[0].event.position, 9);
    // An edition that comes and goes in one batch.
    let branch = in_edition("d", key(1));
    let batch =
        vec![Write::append(branched(&branch, 3, 3, 2)), discard("d", None), Write::append(append(&key(1), 3, 1))];
    let outcomes = it.batch(batch).await;
    assert_eq!(outcomes[2].as_ref().map(|it| it.last_position).ok(), Some(12));
    assert_eq!(it.positions().await, [1, 2, 3, 9, 12]);
    assert_eq!(it.storage.head(), 12);
}

/// Row B5: a reader that goes on behind what it saw gets over a hole of any length.
pub async fn b5_a_reader_skips_what_is_gone(it: &Subject) {
    let branch = in_edition("b", key(1));
    it.store(append(&key(1), 0, 2)).await;
    it.store(branched(&branch, 2, 2, 5_000)).await;
    it.store(append(&key(1), 2, 2)).await;
    it.put(discard("b", None)).await.expect("discarded");
    let read = |after: u64, limit: usize, bytes: usize| async move {
        let events = it.storage.read_log(after, limit, bytes).await.expect("the log can be read");
        events.iter().map(|it| it.event.position).collect::<Vec<_>>()
    };
    assert_eq!(read(0, 100, usize::MAX).await, [1, 2, 5_003, 5_004]);
    assert_eq!(read(0, 3, usize::MAX).await, [1, 2, 5_003], "a limit counts events, not holes");
    assert_eq!(read(2, 1, usize::MAX).await, [5_003]);
    assert_eq!(read(700, 1, 1).await, [5_003]);
    assert_eq!(read(5_004, 1, usize::MAX).await, [0u64; 0]);
}

/// Row B5: nothing of the old stream comes up again in the new one.
pub async fn b5_a_discarded_stream_begins_anew_elsewhere(it: &Subject) {
    let [main, branch, ..] = two_editions(it).await;
    let log = it.log().await; // whatever a store remembers of streams, it knows these now
    assert_eq!(log.len(), 8);
    it.put(discard("b", None)).await.expect("discarded");
    // What was decided on the old past is too late, whatever place it names.
    conflict_at(&it.put(Write::append(append(&branch, 4, 1))).await, 0);
    conflict_at(&it.put(Write::append(branched(&branch, 2, 4, 1))).await, 2);
    // It leaves earlier than before; another stream takes its turn first.
    let other = in_edition("z", key(3));
    it.store(branched(&other, 0, 0, 1)).await;
    let written = it.store(with_key(branched(&branch, 1, 1, 1), "k")).await;
    assert_eq!(written, Written { first_sequence: 1, count: 1, last_position: 10 });
    let slice = it.slice(&branch).await;
    assert_eq!((slice.diverged_at, slice.next_sequence, slice.events.len()), (Some(1), 2, 1));
    assert_eq!(slice.events[0].payload, event(&format!("{branch} 1")).payload);
    assert!(it.snapshot_sequences(&branch).await.is_empty());
    let streams: Vec<StreamKey> = it.log().await.into_iter().map(|it| it.stream).collect();
    assert_eq!(streams[3..], [other, branch.clone()], "events are shown with their own streams");
    // And again, into main this time.
    it.store(append(&branch, 2, 1)).await;
    it.put(discard("b", None)).await.expect("discarded");
    it.store(branched(&branch, 2, 2, 1)).await;
    it.put(merges([merge(&branch, 2, 3)])).await.expect("nothing has moved");
    assert_eq!(it.sequences(&main, StreamRead::all()).await, [0, 1, 2]);
}

/// Row B5, with threads: whoever appends while the edition goes is either discarded or told that its stream has moved, and
/// whoever reads sees all of a stream or nothing.
pub async fn b5_writers_and_readers_meet_a_discard(it: &Subject) {
    const LENGTH: u32 = 3_000;
    let branch = in_edition("b", key(1));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            block_on(async {
                while !done.load(Ordering::Acquire) {
                    let slice = it.slice(&branch).await;
                    assert_eq!(slice.events.len() as u32, slice.next_sequence, "a whole stream");
                }
            });
        });
        let writer = scope.spawn(|| {
            block_on(async {
                while !done.load(Ordering::Acquire) {
                    let at = it.next_sequence(&branch).await;
                    if at > 0 {
                        match it.put(Write::append(append(&branch, at, 1))).await {
                            Ok(written) => assert_eq!(written.first_sequence, at),
                            Err(WriteError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        });
        let discarder = scope.spawn(|| {
            block_on(async {
                for _ in 0..8 {
                    it.store(branched(&branch, 0, 0, LENGTH)).await;
                    it.put(discard("b", None)).await.expect("discarded");
                }
            });
        });
        let discarded = discarder.join();
        done.store(true, Ordering::Release);
        let ended = [discarded, reader.join(), writer.join()];
        assert!(ended.iter().all(Result::is_ok), "they all end well");
    });
    assert_eq!(it.slice(&branch).await, StreamSlice::default());
    assert_eq!(it.log().await, []);
    assert!(it.storage.head() >= 8 * u64::from(LENGTH));
}

/// Rows B5 and D2: what waits for an operator is decided with its edition.
pub async fn b5_letters_of_a_discarded_edition_are_resolved(it: &Subject) {
    let branch = in_edition("b", key(1));
    let order = in_edition("b", StreamKey::main("order", Uuid::from_u128(1)));
    let parked = |n: u128, stream: &StreamKey| {
        let mut letter = letter(n, &stream.domain, "p", "w");
        letter.letter.payload = Some(proto::angzarr_dead_letter::Payload::RejectedEvents(events_of(stream, 1)));
        letter
    };
    let retried = DeadLetter { resolution: Some(Resolution::Retried { at: 5 }), ..parked(1, &branch) };
    let letters = [
        retried,
        parked(2, &branch),
        parked(3, &order),
        parked(4, &key(1)),
        parked(5, &in_edition("c", key(1))),
        letter(6, "account", "p", "w"), // a command
    ];
    it.put(extras(|it| it.dead_letters = letters.to_vec())).await.expect("stored");
    it.put(discard("b", Some("account"))).await.expect("discarded");
    let resolution = |n: usize| {
        let id = letters[n].id;
        async move { it.storage.dead_letter(id).await.expect("a letter").expect("it is there").resolution }
    };
    let discarded = Some(Resolution::Discarded { at: 77, reason: "the edition `b` was discarded".to_owned() });
    assert_eq!(resolution(0).await, Some(Resolution::Retried { at: 5 }), "it was decided before");
    assert_eq!(resolution(1).await, discarded);
    for n in 2..6 {
        assert_eq!(resolution(n).await, None, "letter {}", n + 1);
    }
    assert_eq!(it.storage.parked_streams("p").await.expect("streams"), [key(1), letters_stream(&letters[4]), order]);
    it.put(discard("b", None)).await.expect("discarded");
    assert_eq!(resolution(2).await, discarded);
    assert_eq!(resolution(3).await, None);
}

fn letters_stream(letter: &DeadLetter) -> StreamKey {
    letter.event_place().expect("a letter with events").0
}

/// Which editions there are, and which streams they have.
pub async fn b_editions_and_their_streams_are_listed(it: &Subject) {
    assert_eq!(it.storage.editions().await.expect("editions"), []);
    let [main, account_b, order_b, account_c] = two_editions(it).await;
    it.store(with_key(append(&in_edition("keys-only", key(1)), 0, 0), "k")).await;
    let info = |name: &str, streams, events| EditionInfo { name: name.into(), streams, events };
    assert_eq!(it.storage.editions().await.expect("editions"), [info("b", 2, 5), info("c", 1, 1)]);
    let list = |domain: Option<&str>, edition: Option<&str>, after: Option<&StreamKey>, limit| {
        let (domain, edition) = (domain.map(str::to_owned), edition.map(str::to_owned));
        let filter = StreamFilter { domain, edition, ..StreamFilter::default() };
        let after = after.cloned();
        async move {
            let streams = it.storage.streams(&filter, after.as_ref(), limit).await.expect("streams");
            streams.into_iter().map(|it| (it.key, it.diverged_at)).collect::<Vec<_>>()
        }
    };
    let [main, account_b, order_b, account_c] =
        [(main, None), (account_b, Some(2)), (order_b, Some(0)), (account_c, Some(1))];
    let all = [main.clone(), account_b.clone(), account_c.clone(), order_b.clone()];
    assert_eq!(list(None, None, None, 10).await, all);
    assert_eq!(list(None, Some(""), None, 10).await, std::slice::from_ref(&main));
    assert_eq!(list(None, Some("b"), None, 10).await, [account_b.clone(), order_b.clone()]);
    assert_eq!(list(None, Some("b"), None, 1).await, std::slice::from_ref(&account_b));
    assert_eq!(list(None, Some("b"), Some(&account_b.0), 10).await, std::slice::from_ref(&order_b));
    assert_eq!(list(None, Some("b"), Some(&account_c.0), 10).await, [order_b], "after a key of another edition");
    assert_eq!(list(Some("account"), Some("b"), None, 10).await, [account_b]);
    assert_eq!(list(Some("account"), Some(""), None, 10).await, [main]);
    assert_eq!(list(Some("order"), Some("c"), None, 10).await, []);
    it.put(discard("b", None)).await.expect("discarded");
    assert_eq!(it.storage.editions().await.expect("editions"), [info("c", 1, 1)]);
}
