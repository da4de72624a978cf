//! Checks of what is read: streams, the log, workflows, the past, editions, lists.

use super::*;

/// Row C2.
pub async fn c2_events_are_read_back_as_they_were_written(it: &Subject) {
    let any = prost_types::Any { type_url: "type.googleapis.com/bank.Ext".into(), value: vec![0, 1, 255] };
    let cases = [
        Headers::default(),
        Headers::new("workflow 1", None),
        Headers::new("", Some(any.clone())),
        Headers::new("Überweisung 7", Some(any)),
        Headers::new("", Some(prost_types::Any::default())),
        Headers::default().with_trace(TraceContext::new([1; 16], [2; 8], 1)),
        Headers::new("workflow 1", None).with_trace(TraceContext::new([1; 16], [3; 8], 0)),
    ];
    for (n, headers) in (0u32..).zip(cases) {
        let mut append = append(&key(1), n * 2, 2);
        append.headers = headers.clone();
        append.events[1].payload = Bytes::new();
        let events = append.events.clone();
        let written = it.store(append).await;
        assert_eq!((written.first_sequence, written.count), (n * 2, 2));
        let read = StreamRead { from: n * 2, ..StreamRead::all() };
        let slice = it.storage.read_stream(&key(1), read).await.expect("a stream can be read");
        for (place, (read, new)) in slice.events.iter().zip(&events).enumerate() {
            assert_eq!(read.position, written.last_position - 1 + place as u64);
            assert_eq!(read.sequence, n * 2 + place as u32);
            assert_eq!(read.created_at, 1_000 + i64::from(n * 2));
            assert_eq!((&read.type_name, read.schema_version, &read.payload), (&new.type_name, 1, &new.payload));
            assert_eq!(read.headers, headers);
            assert!(!read.isolated);
        }
        assert_eq!(slice.events.len(), 2);
        assert_eq!((slice.next_sequence, slice.last_created_at), (n * 2 + 2, 1_000 + i64::from(n * 2)));
    }
}

/// Row R4, promise 6: a reader that goes on behind what it saw misses nothing, whatever is written meanwhile.
pub async fn r4_positions_never_appear_late(it: &Subject) {
    const WRITERS: u128 = 4;
    const EACH: u32 = 60;
    let done = AtomicBool::new(false);
    let (seen, heads) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            block_on(async {
                let mut seen: Vec<LogEvent> = Vec::new();
                let mut heads = vec![0];
                loop {
                    let finished = done.load(Ordering::Acquire);
                    heads.push(it.storage.head());
                    let after = seen.last().map_or(0, |it| it.event.position);
                    let more = it.storage.read_log(after, 7, usize::MAX).await.expect("the log can be read");
                    if more.is_empty() && finished {
                        return (seen, heads);
                    }
                    seen.extend(more);
                }
            })
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    block_on(async {
                        for n in 0..EACH {
                            it.store(append(&key(writer), n * 2, 2)).await;
                            let head = it.storage.head();
                            assert!(head >= u64::from(n) * 2 + 2, "the head shows what was acknowledged");
                        }
                    });
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("a writer ends well");
        }
        done.store(true, Ordering::Release);
        reader.join().expect("the reader ends well")
    });
    assert!(heads.is_sorted(), "the head never goes back");
    assert!(seen.windows(2).all(|pair| pair[0].event.position < pair[1].event.position));
    let mut next = BTreeMap::new();
    for it in &seen {
        let next: &mut u32 = next.entry(it.stream.clone()).or_default();
        assert_eq!(it.event.sequence, *next, "the reader saw every event of {}", it.stream);
        *next += 1;
    }
    assert_eq!(next.values().sum::<u32>(), WRITERS as u32 * EACH * 2);
}

/// Row R4.
pub async fn r4_the_log_is_in_order_and_in_pieces(it: &Subject) {
    for n in 0..10 {
        it.store(append(&key(n % 3), (n / 3) as u32, 1)).await;
    }
    let all = it.log().await;
    assert_eq!(all.iter().map(|it| it.event.position).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(all[4].stream, key(1));
    let piece = it.storage.read_log(4, 3, usize::MAX).await.expect("the log can be read");
    assert_eq!(piece[..], all[4..7]);
    assert!(it.storage.read_log(10, 3, usize::MAX).await.expect("the log can be read").is_empty());
    assert!(it.storage.read_log(u64::MAX, 3, usize::MAX).await.expect("the log can be read").is_empty());
    assert!(it.storage.read_log(0, 0, usize::MAX).await.expect("the log can be read").is_empty());
    assert_eq!(it.storage.head(), 10);
}

/// Row R4: large events come in small pieces, and none is too large to come.
pub async fn r4_the_log_is_read_within_a_number_of_bytes(it: &Subject) {
    for n in 0..6 {
        let mut append = append(&key(1), n, 1);
        append.events[0].payload = Bytes::from(vec![7; 1_000]);
        it.store(append).await;
    }
    let piece = |after: u64, limit: usize, bytes: usize| async move {
        let events = it.storage.read_log(after, limit, bytes).await.expect("the log can be read");
        events.iter().map(|it| it.event.sequence).collect::<Vec<_>>()
    };
    let first = it.log().await[0].event.position;
    assert_eq!(piece(0, 100, 0).await, [0], "at least one");
    assert_eq!(piece(0, 100, 1).await, [0]);
    assert_eq!(piece(0, 100, 1_000).await, [0]);
    assert_eq!(piece(0, 100, 1_001).await, [0, 1]);
    assert_eq!(piece(first, 100, 2_500).await, [1, 2, 3]);
    assert_eq!(piece(0, 2, 1_000_000).await, [0, 1], "the other limit counts too");
    assert_eq!(piece(0, 0, 1_000_000).await, [0u32; 0]);
    assert_eq!(piece(0, 100, 6_000).await.len(), 6);
}

/// Row I4.
pub async fn i4_a_correlation_id_finds_every_stream(it: &Subject) {
    let order = StreamKey::main("order", Uuid::from_u128(9));
    let (one, two) = (Headers::new("one", None), Headers::new("two", None));
    it.store(Append { headers: one.clone(), ..append(&order, 0, 2) }).await;
    it.store(Append { headers: two, ..append(&key(1), 0, 1) }).await;
    it.store(append(&key(1), 1, 1)).await;
    it.store(Append { headers: one, ..append(&key(1), 2, 1) }).await;
    let found = it.storage.read_correlation("one").await.expect("a workflow");
    let places: Vec<_> = found.iter().map(|it| (it.stream.clone(), it.event.sequence)).collect();
    assert_eq!(places, [(order.clone(), 0), (order, 1), (key(1), 2)]);
    assert!(it.storage.read_correlation("three").await.expect("a workflow").is_empty());
    assert!(it.storage.read_correlation("").await.expect("a workflow").is_empty(), "none is no id");
}

/// Row S5.
pub async fn s5_isolated_flag_survives(it: &Subject) {
    let mut hidden = append(&key(1), 0, 2);
    hidden.events.iter_mut().for_each(|event| event.isolated = true);
    it.store(hidden).await;
    it.store(append(&key(1), 2, 1)).await;
    let flags: Vec<_> = it.log().await.iter().map(|it| it.event.isolated).collect();
    assert_eq!(flags, [true, true, false]);
    let slice = it.storage.read_stream(&key(1), StreamRead::all()).await.expect("a stream can be read");
    assert_eq!(slice.events.iter().map(|it| it.isolated).collect::<Vec<_>>(), [true, true, false]);
}

/// Row T1.
pub async fn t1_as_of_sequence_and_time(it: &Subject) {
    for (n, at) in [10, 20, 20, 20, 40].into_iter().enumerate() {
        it.store(Append { created_at: at, ..append(&key(1), n as u32, 1) }).await;
    }
    let until = |until: Nanos| StreamRead { until: Some(until), ..StreamRead::all() };
    for (at, wanted) in [(9, 0), (10, 1), (19, 1), (20, 4), (39, 4), (40, 5), (i64::MAX, 5), (i64::MIN, 0)] {
        assert_eq!(it.sequences(&key(1), until(at)).await, (0..wanted).collect::<Vec<u32>>(), "as of {at}");
    }
    let range = |from, to| StreamRead { from, to: Some(to), ..StreamRead::all() };
    assert_eq!(it.sequences(&key(1), range(0, 2)).await, [0, 1, 2]);
    assert_eq!(it.sequences(&key(1), range(1, 1)).await, [1]);
    assert_eq!(it.sequences(&key(1), range(3, u32::MAX)).await, [3, 4]);
    assert!(it.sequences(&key(1), range(3, 2)).await.is_empty());
    assert!(it.sequences(&key(1), range(5, 9)).await.is_empty());
    let both = StreamRead { from: 1, to: Some(3), until: Some(20), snapshot: None };
    assert_eq!(it.sequences(&key(1), both).await, [1, 2, 3]);
    let part = it.storage.read_stream(&key(1), range(0, 0)).await.expect("a stream can be read");
    assert_eq!((part.next_sequence, part.last_created_at), (5, 40), "of the whole stream");
}

/// Row B1.
pub async fn b1_a_stream_of_an_edition_starts_where_it_diverged(it: &Subject) {
    it.store(append(&key(1), 0, 5)).await;
    let branch = StreamKey { edition: "what-if".into(), ..key(1) };
    let first = Append { diverged_at: Some(3), ..append(&branch, 3, 2) };
    conflict_at(&it.put(Write::append(Append { expected: 0, ..first.clone() })).await, 3);
    assert_eq!(it.store(first).await.first_sequence, 3);
    it.store(append(&branch, 5, 1)).await;
    let slice = it.storage.read_stream(&branch, StreamRead::all()).await.expect("a stream can be read");
    assert_eq!((slice.diverged_at, slice.next_sequence), (Some(3), 6));
    assert_eq!(slice.events.iter().map(|it| it.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    let before = it.storage.read_stream(&branch, StreamRead { to: Some(0), ..StreamRead::all() }).await;
    let before = before.expect("a stream can be read");
    assert_eq!((before.diverged_at, before.events.len()), (Some(3), 0));
    // Only an event makes a branch leave: where only a key is stored, the place is still open.
    let other = StreamKey { edition: "other".into(), ..key(1) };
    it.store(Append { diverged_at: Some(2), ..with_key(append(&other, 2, 0), "k") }).await;
    let slice = it.storage.read_stream(&other, StreamRead::all()).await.expect("a stream can be read");
    assert_eq!((slice.diverged_at, slice.next_sequence), (None, 0));
    it.store(Append { diverged_at: Some(4), ..with_key(append(&other, 4, 0), "l") }).await;
    it.store(Append { diverged_at: Some(3), ..append(&other, 3, 1) }).await;
    let slice = it.storage.read_stream(&other, StreamRead::all()).await.expect("a stream can be read");
    assert_eq!((slice.diverged_at, slice.next_sequence), (Some(3), 4));
    // A stream of an edition that inherits nothing.
    let fresh = StreamKey { edition: "what-if".into(), ..key(2) };
    it.store(Append { diverged_at: Some(0), ..append(&fresh, 0, 1) }).await;
    let slice = it.storage.read_stream(&fresh, StreamRead::all()).await.expect("a stream can be read");
    assert_eq!((slice.diverged_at, slice.next_sequence), (Some(0), 1));
}

/// Row B3.
pub async fn b3_editions_do_not_show_on_main(it: &Subject) {
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    it.store(Append { diverged_at: Some(0), ..append(&branch, 0, 2) }).await;
    assert_eq!(it.next_sequence(&key(1)).await, 0);
    it.store(append(&key(1), 0, 1)).await;
    assert_eq!(it.next_sequence(&branch).await, 2);
    assert_eq!(it.payloads(&key(1), StreamRead::all()).await.len(), 1);
}

/// Row B7: the first append of an edition's stream decides where it diverges. One that was decided on another past is
/// too late, even if it expects the right sequence.
pub async fn b7_another_divergence_is_a_conflict(it: &Subject) {
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    it.store(Append { diverged_at: Some(2), ..append(&branch, 2, 1) }).await;
    conflict_at(&it.put(Write::append(Append { diverged_at: Some(3), ..append(&branch, 3, 1) })).await, 3);
    it.store(Append { diverged_at: Some(2), ..append(&branch, 3, 1) }).await;
}

/// Row U1.
pub async fn u1_types_and_versions_are_kept(it: &Subject) {
    let types = [("a.Event", 1), ("a.Event", 2), ("b.Event", 1), ("a.Event", 1), ("a.Event", 7)];
    for (n, (name, version)) in (0u32..).zip(types) {
        let mut append = append(&key(1), n, 1);
        append.events[0].type_name = name.into();
        append.events[0].schema_version = version;
        it.store(append).await;
    }
    let slice = it.storage.read_stream(&key(1), StreamRead::all()).await.expect("a stream can be read");
    let read: Vec<_> = slice.events.iter().map(|it| (it.type_name.as_str(), it.schema_version)).collect();
    assert_eq!(read, types);
}

/// Streams with events, page by page.
pub async fn streams_are_listed_in_order(it: &Subject) {
    let order = |n| StreamKey::main("order", Uuid::from_u128(n));
    let branch = StreamKey { edition: "b".into(), ..key(2) };
    for key in [order(2), key(3), key(1), key(2), order(1)] {
        it.store(append(&key, 0, 2)).await;
    }
    it.store(Append { diverged_at: Some(1), ..append(&branch, 1, 1) }).await;
    it.store(with_key(append(&key(9), 0, 0), "k")).await; // no events: not listed
    let list = |domain: Option<&'static str>, after: Option<StreamKey>, limit| async move {
        let filter = StreamFilter { domain: domain.map(str::to_owned), ..StreamFilter::default() };
        let streams = it.storage.streams(&filter, after.as_ref(), limit).await.expect("streams");
        streams.into_iter().map(|it| it.key).collect::<Vec<_>>()
    };
    let all = [key(1), key(2), key(3), branch.clone(), order(1), order(2)];
    assert_eq!(list(None, None, 100).await, all);
    assert_eq!(list(None, Some(key(2)), 3).await, all[2..5]);
    assert_eq!(list(Some("account"), None, 100).await, all[..4]);
    assert_eq!(list(Some("order"), None, 1).await, all[4..5]);
    assert_eq!(list(Some("order"), Some(order(1)), 100).await, all[5..]);
    assert_eq!(list(Some("order"), Some(key(1)), 100).await, all[4..], "after a key of an earlier domain");
    assert!(list(Some("account"), Some(order(1)), 100).await.is_empty());
    assert!(list(Some("nothing"), None, 100).await.is_empty());
    let infos = it.storage.streams(&StreamFilter::default(), Some(&key(3)), 2).await.expect("streams");
    assert_eq!((infos[0].next_sequence, infos[0].last_created_at), (2, 1_001));
    assert_eq!((infos[1].next_sequence, infos[1].last_created_at), (2, 1_000));
    let every = StreamFilter { without_events: true, ..StreamFilter::default() };
    let infos = it.storage.streams(&every, Some(&key(3)), 2).await.expect("streams");
    assert_eq!(infos[0].key, key(9), "it has a dedup key");
    assert_eq!((infos[0].next_sequence, infos[0].last_created_at, infos[0].diverged_at), (0, 0, None));
    assert_eq!(infos[1].key, branch);
    assert_eq!(it.storage.domains().await.expect("domains"), ["account", "order"]);
}

/// A question about what is not there is no error.
pub async fn an_absent_stream_is_empty(it: &Subject) {
    let slice = it.storage.read_stream(&key(1), from_snapshot(StreamRead::all())).await.expect("a stream can be read");
    assert_eq!(slice, crate::storage::StreamSlice::default());
    assert!(it.log().await.is_empty());
    assert_eq!(it.storage.head(), 0);
    assert!(it.snapshot_sequences(&key(1)).await.is_empty());
    assert!(it.storage.domains().await.expect("domains").is_empty());
    assert_eq!(it.storage.dead_letter(Uuid::nil()).await.expect("a letter"), None);
    assert!(!it.storage.describe().is_empty());
}
