//! Checks of what is written: atomicity, conflicts, dedup keys, cancellation.

use super::*;

/// Promise 1.
pub async fn p1_a_write_is_all_or_nothing(it: &Subject) {
    it.store(append(&key(3), 0, 1)).await;
    let letter = letter(1, "account", "saga", "w");
    let mut write = extras(|extras| {
        extras.appends = vec![append(&key(2), 0, 1), append(&key(3), 0, 1)]; // the last one conflicts
        extras.snapshots.push(SnapshotWrite { key: key(1), snapshot: snapshot(0, Retention::Default) });
        extras.checkpoints.push(("p".into(), 7));
        extras.dead_letters.push(letter.clone());
    });
    write.append = Some(with_key(append(&key(1), 0, 2), "once"));
    conflict_at(&it.put(write.clone()).await, 1);
    assert_eq!(it.log().await.len(), 1);
    assert_eq!(it.storage.head(), 1);
    assert_eq!(it.next_sequence(&key(1)).await, 0);
    assert!(it.snapshot_sequences(&key(1)).await.is_empty());
    assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), None);
    assert_eq!(it.storage.dead_letter(letter.id).await.expect("a letter"), None);
    assert_eq!(it.storage.find_duplicate(&key(1), &dedup("once")).await.expect("a key"), None);

    if let Some(extras) = &mut write.extras {
        extras.appends[1].expected = 1;
    }
    let written = it.put(write).await.expect("nothing is in the way now");
    assert_eq!(written, Written { first_sequence: 0, count: 2, last_position: 3 });
    assert_eq!(it.log().await.len(), 5);
    assert_eq!(it.snapshot_sequences(&key(1)).await, [0]);
    assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), Some(7));
    assert!(it.storage.dead_letter(letter.id).await.expect("a letter").is_some());
}

/// Promise 1: two appends to one stream in one write prove nothing about each other, so they are refused.
pub async fn p1_a_write_with_two_appends_to_one_stream_is_refused(it: &Subject) {
    let mut write = extras(|extras| extras.appends = vec![append(&key(1), 1, 1)]);
    write.append = Some(append(&key(1), 0, 1));
    assert!(matches!(it.put(write).await, Err(WriteError::Storage(_))));
    assert_eq!(it.log().await.len(), 0);
}

/// Promise 3.
pub async fn p3_a_conflict_amid_a_batch_leaves_its_neighbours_alone(it: &Subject) {
    it.store(with_key(append(&key(0), 0, 1), "k")).await;
    let batch = vec![
        Write::append(append(&key(1), 0, 2)),
        Write::append(append(&key(1), 1, 1)), // conflict with the write before it
        Write::append(append(&key(1), 2, 1)),
        Write::append(with_key(append(&key(0), 1, 1), "k")), // duplicate
        Write::append(with_key(append(&key(2), 0, 1), "new")),
        Write::append(with_key(append(&key(2), 1, 1), "new")), // duplicate of the write before it
        Write::default(),
        Write::append(append(&key(0), 1, 1)),
    ];
    let outcomes = it.batch(batch).await;
    assert_eq!(outcomes[0].as_ref().ok(), Some(&Written { first_sequence: 0, count: 2, last_position: 3 }));
    conflict_at(&outcomes[1], 2);
    assert_eq!(outcomes[2].as_ref().ok(), Some(&Written { first_sequence: 2, count: 1, last_position: 4 }));
    duplicate_of(&outcomes[3], Written { first_sequence: 0, count: 1, last_position: 1 });
    duplicate_of(&outcomes[5], Written { first_sequence: 0, count: 1, last_position: 5 });
    assert!(outcomes[4].is_ok() && outcomes[6].is_ok() && outcomes[7].is_ok());
    assert_eq!(it.sequences(&key(1), StreamRead::all()).await, [0, 1, 2]);
    assert_eq!(it.sequences(&key(0), StreamRead::all()).await, [0, 1]);
    assert_eq!(it.log().await.len(), 6);
    assert_eq!(it.storage.head(), 6);
}

/// Promise 4.
pub async fn p4_conflict_stores_nothing(it: &Subject) {
    conflict_at(&it.put(Write::append(append(&key(1), 1, 1))).await, 0);
    it.store(append(&key(1), 0, 3)).await;
    conflict_at(&it.put(Write::append(append(&key(1), 0, 1))).await, 3);
    conflict_at(&it.put(Write::append(append(&key(1), 4, 1))).await, 3);
    conflict_at(&it.put(Write::append(with_key(append(&key(1), 9, 1), "k"))).await, 3);
    assert_eq!(it.log().await.len(), 3);
    assert_eq!(it.storage.find_duplicate(&key(1), &dedup("k")).await.expect("a key"), None);
    it.store(append(&key(1), 3, 1)).await;
}

/// Row C9, with threads that really run at the same time.
pub async fn c9_racing_writers_leave_no_gap(it: &Subject) {
    const EACH: usize = 40;
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                block_on(async {
                    for n in 0..EACH {
                        loop {
                            let at = it.next_sequence(&key(1)).await;
                            let mut append = append(&key(1), at, 1);
                            append.events[0] = event(&format!("{writer}/{n}"));
                            match it.put(Write::append(append)).await {
                                Ok(written) => {
                                    assert_eq!(written.first_sequence, at);
                                    break;
                                }
                                Err(WriteError::Conflict { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                    }
                });
            });
        }
    });
    let payloads = it.payloads(&key(1), StreamRead::all()).await;
    assert_eq!(payloads.iter().collect::<BTreeSet<_>>().len(), 4 * EACH, "nothing lost, nothing twice");
    assert_eq!(it.sequences(&key(1), StreamRead::all()).await, (0..4 * EACH as u32).collect::<Vec<_>>());
}

/// Row C10, promise 5.
pub async fn c10_dedup_key_once_per_stream(it: &Subject) {
    let first = it.store(with_key(append(&key(1), 0, 3), "ext-1")).await;
    let second = it.store(with_key(append(&key(1), 3, 1), "ext-2")).await;
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 4, 1), "ext-1"))).await, first);
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 4, 1), "ext-2"))).await, second);
    assert_eq!(it.log().await.len(), 4);
    let found = it.storage.find_duplicate(&key(1), &dedup("ext-1")).await.expect("a key");
    assert_eq!(found, Some(first));
    assert_eq!(it.storage.find_duplicate(&key(1), &dedup("ext-3")).await.expect("a key"), None);
    // Also where the duplicate is only a part of a write.
    let mut write = extras(|extras| extras.appends = vec![with_key(append(&key(1), 4, 1), "ext-1")]);
    write.append = Some(append(&key(2), 0, 1));
    duplicate_of(&it.put(write).await, first);
    assert_eq!(it.log().await.len(), 4);
}

/// Row C10: whoever repeats a command expects what was true when it was sent.
pub async fn c10_a_known_key_comes_before_a_conflict(it: &Subject) {
    let first = it.store(with_key(append(&key(1), 0, 1), "k")).await;
    it.store(append(&key(1), 1, 5)).await;
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 0, 1), "k"))).await, first);
}

/// Row F2.
pub async fn f2_a_key_without_events_is_remembered(it: &Subject) {
    let nothing = it.store(with_key(append(&key(1), 0, 0), "k")).await;
    assert_eq!(nothing, Written { first_sequence: 0, count: 0, last_position: 0 });
    assert_eq!(it.next_sequence(&key(1)).await, 0);
    duplicate_of(&it.put(Write::append(with_key(append(&key(1), 0, 1), "k"))).await, nothing);
    it.store(append(&key(1), 0, 1)).await;
    let again = it.store(with_key(append(&key(1), 1, 0), "l")).await;
    assert_eq!(again.first_sequence, 1);
    assert_eq!(it.log().await.len(), 1);
}

/// Row G2.
pub async fn g2_a_key_is_known_to_its_own_stream_only(it: &Subject) {
    it.store(with_key(append(&key(1), 0, 1), "k")).await;
    it.store(with_key(append(&key(2), 0, 1), "k")).await;
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    assert_eq!(it.storage.find_duplicate(&branch, &dedup("k")).await.expect("a key"), None);
}

/// Row R1 in small: whoever stops waiting leaves a write behind that is stored as a whole or not at all.
pub async fn a_cancelled_commit_is_whole_or_absent(it: &Subject) {
    let mut expected = 0;
    for n in 0..50u32 {
        let mut write = extras(|extras| extras.appends = vec![append(&key(2), expected, 1)]);
        write.append = Some(append(&key(1), expected, 1));
        let commit = it.storage.commit(vec![write]);
        if n % 3 == 0 {
            drop(commit); // never polled
        } else {
            // Polled once or not much longer.
            let _ = tokio::time::timeout(std::time::Duration::from_micros(u64::from(n) * 10), commit).await;
        }
        // What comes after it is in order, whatever became of it.
        it.put(Write::default()).await.expect("an empty write is stored");
        let (one, two) = (it.next_sequence(&key(1)).await, it.next_sequence(&key(2)).await);
        assert_eq!(one, two, "both appends of a write or none");
        assert!(one == expected || one == expected + 1);
        expected = one;
    }
    assert_eq!(it.log().await.len() as u32, expected * 2);
}

/// A thousand writes in one batch, one in ten of them a conflict, and payloads up to the limit of the contract.
pub async fn big_batches_and_big_payloads(it: &Subject) {
    let batch =
        (0..1_000u32).map(|n| Write::append(append(&key(u128::from(n % 300)), if n % 10 == 9 { 77 } else { 0 }, 1)));
    let outcomes = it.batch(batch.collect()).await;
    let stored = outcomes.iter().filter(|it| it.is_ok()).count();
    assert_eq!(it.log().await.len(), stored);
    assert_eq!(stored, 270, "the first of each stream, but for those that expect nonsense");
    let mut last = 0;
    for outcome in &outcomes {
        match outcome {
            Ok(written) => {
                assert_eq!(written.last_position, last + 1, "positions in the order of the batch");
                last = written.last_position;
            }
            Err(WriteError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let mut large = append(&key(5_000), 0, 2);
    large.events[0].payload = Bytes::from(vec![7; 4 << 20]);
    it.store(large.clone()).await;
    let slice = it.storage.read_stream(&key(5_000), StreamRead::all()).await.expect("a stream can be read");
    assert_eq!(slice.events[0].payload, large.events[0].payload);
    it.store(append(&key(6_000), 0, 5_000)).await;
    assert_eq!(it.sequences(&key(6_000), StreamRead::all()).await, (0..5_000).collect::<Vec<_>>());
}
