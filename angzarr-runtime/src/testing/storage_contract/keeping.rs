//! Checks of what is kept beside events: snapshots, dead letters, checkpoints.

use super::*;

/// Row T2.
pub async fn t2_a_snapshot_from_after_the_point_is_not_used(it: &Subject) {
    for n in 0..10 {
        it.store(append(&key(1), n, 1)).await; // created at 1,000 + n
    }
    it.store_snapshot(&key(1), snapshot(3, Retention::Persist)).await;
    it.store_snapshot(&key(1), snapshot(6, Retention::Persist)).await;
    let point = |to: Option<u32>, until: Option<Nanos>| from_snapshot(StreamRead { to, until, ..StreamRead::all() });
    for (read, snapshot, first, last) in [
        (point(None, None), Some(6), 7, 9),
        (point(Some(6), None), Some(6), 7, 6),
        (point(Some(5), None), Some(3), 4, 5),
        (point(Some(2), None), None, 0, 2),
        (point(None, Some(1_006)), Some(6), 7, 6),
        (point(None, Some(1_005)), Some(3), 4, 5),
        (point(None, Some(1_002)), None, 0, 2),
        (point(Some(8), Some(1_004)), Some(3), 4, 4),
        (StreamRead { from: 8, ..point(None, None) }, None, 8, 9),
        (StreamRead { from: 7, ..point(None, None) }, Some(6), 7, 9),
        (StreamRead { from: 2, ..point(None, None) }, Some(6), 7, 9),
    ] {
        let slice = it.storage.read_stream(&key(1), read.clone()).await.expect("a stream can be read");
        assert_eq!(slice.snapshot.map(|it| it.sequence), snapshot, "{read:?}");
        let wanted: Vec<u32> = (first..=last).collect();
        assert_eq!(slice.events.iter().map(|it| it.sequence).collect::<Vec<_>>(), wanted, "{read:?}");
    }
}

/// Rows N1 and N3.
pub async fn n1_n3_a_newer_snapshot_deletes_older_ones(it: &Subject) {
    it.store(append(&key(1), 0, 50)).await;
    it.store_snapshot(&key(1), snapshot(15, Retention::Default)).await;
    let stored = it.storage.snapshots(&key(1)).await.expect("snapshots can be read");
    assert_eq!(stored, [snapshot(15, Retention::Default)]);
    it.store_snapshot(&key(1), snapshot(31, Retention::Transient)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [31]);
    it.store_snapshot(&key(1), snapshot(47, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [47]);
}

/// Row N2.
pub async fn n2_a_persistent_snapshot_stays(it: &Subject) {
    it.store(append(&key(1), 0, 50)).await;
    for (sequence, retention) in
        [(10, Retention::Persist), (15, Retention::Default), (20, Retention::Persist), (31, Retention::Default)]
    {
        it.store_snapshot(&key(1), snapshot(sequence, retention)).await;
    }
    assert_eq!(it.snapshot_sequences(&key(1)).await, [10, 20, 31]);
    // Asked for where an ordinary one is: from now on it is kept.
    it.store_snapshot(&key(1), snapshot(31, Retention::Persist)).await;
    it.store_snapshot(&key(1), snapshot(31, Retention::Default)).await;
    it.store_snapshot(&key(1), snapshot(47, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [10, 20, 31, 47]);
    // And where a newer one is already.
    it.store_snapshot(&key(1), snapshot(40, Retention::Persist)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [10, 20, 31, 40, 47]);
}

/// Row N4.
pub async fn n4_a_snapshot_of_another_version_is_not_used(it: &Subject) {
    it.store(append(&key(1), 0, 10)).await;
    it.store_snapshot(&key(1), snapshot(3, Retention::Persist)).await;
    it.store_snapshot(&key(1), StoredSnapshot { state_version: 2, ..snapshot(5, Retention::Persist) }).await;
    it.store_snapshot(&key(1), StoredSnapshot { type_name: "other".into(), ..snapshot(7, Retention::Persist) }).await;
    it.store_snapshot(&key(1), StoredSnapshot { state_version: 2, ..snapshot(3, Retention::Persist) }).await;
    let used = |name: &str, version| {
        let read = StreamRead { snapshot: Some((Name::new(name), version)), ..StreamRead::all() };
        async move {
            let slice = it.storage.read_stream(&key(1), read).await.expect("a stream can be read");
            slice.snapshot.map(|it| (it.sequence, it.state))
        }
    };
    assert_eq!(used("bank.Account", 1).await, Some((3, Bytes::from("state 3"))));
    assert_eq!(used("bank.Account", 2).await.map(|it| it.0), Some(5));
    assert_eq!(used("other", 1).await.map(|it| it.0), Some(7));
    assert_eq!(used("bank.Account", 3).await, None);
}

/// Row N5: what arrives late neither deletes nor replaces what is newer.
pub async fn n5_newest_snapshot_is_never_deleted(it: &Subject) {
    it.store(append(&key(1), 0, 50)).await;
    it.store_snapshot(&key(1), snapshot(31, Retention::Transient)).await;
    it.store_snapshot(&key(1), snapshot(15, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [31]);
    let other = StoredSnapshot { state: Bytes::from("another"), ..snapshot(31, Retention::Default) };
    it.store_snapshot(&key(1), other).await;
    it.store_snapshot(&key(1), snapshot(20, Retention::Persist)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [20, 31]);
    let slice = it.storage.read_stream(&key(1), from_snapshot(StreamRead::all())).await.expect("a stream can be read");
    assert_eq!(slice.snapshot.map(|it| it.state), Some(Bytes::from("state 31")));
}

/// Row N6.
pub async fn n6_retention_ends_at_the_stream(it: &Subject) {
    it.store_snapshot(&key(1), snapshot(15, Retention::Default)).await;
    it.store_snapshot(&key(2), snapshot(31, Retention::Default)).await;
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    it.store_snapshot(&branch, snapshot(47, Retention::Default)).await;
    assert_eq!(it.snapshot_sequences(&key(1)).await, [15]);
    assert_eq!(it.snapshot_sequences(&key(2)).await, [31]);
    assert_eq!(it.snapshot_sequences(&branch).await, [47]);
}

/// Row D1.
pub async fn d1_a_dead_letter_is_stored_with_its_write(it: &Subject) {
    let letter = letter(1, "account", "saga", "w");
    let mut write = extras(|extras| {
        extras.dead_letters.push(letter.clone());
        extras.checkpoints.push(("saga".into(), 5));
    });
    write.append = Some(append(&key(1), 0, 1));
    it.put(write).await.expect("stored");
    assert_eq!(it.storage.dead_letter(letter.id).await.expect("a letter"), Some(letter.clone()));
    // The same failure again adds no second letter and changes nothing of the first.
    let again = DeadLetter { attempts: 9, ..letter.clone() };
    it.put(extras(|it| it.dead_letters.push(again))).await.expect("stored");
    let all = it.storage.dead_letters(&DeadLetterFilter::default()).await.expect("letters");
    assert_eq!(all, [letter]);
}

/// Row D2.
pub async fn d2_dead_letters_are_listed_filtered_and_resolved(it: &Subject) {
    let letters =
        [letter(1, "account", "saga", "w"), letter(2, "order", "saga", "w"), letter(3, "account", "projector", "")];
    for letter in &letters {
        it.put(extras(|it| it.dead_letters.push(letter.clone()))).await.expect("stored");
    }
    let ids = |filter: DeadLetterFilter| async move {
        let found = it.storage.dead_letters(&filter).await.expect("letters");
        found.iter().map(|it| it.id.as_u128()).collect::<Vec<_>>()
    };
    let all = DeadLetterFilter::default;
    let text = |it: &str| Some(it.to_owned());
    assert_eq!(ids(all()).await, [3, 2, 1], "oldest first");
    assert_eq!(ids(DeadLetterFilter { domain: text("account"), ..all() }).await, [3, 1]);
    assert_eq!(ids(DeadLetterFilter { component: text("saga"), ..all() }).await, [2, 1]);
    assert_eq!(ids(DeadLetterFilter { correlation_id: text("w"), ..all() }).await, [2, 1]);
    assert_eq!(
        ids(DeadLetterFilter { domain: text("order"), component: text("projector"), ..all() }).await,
        [0u128; 0]
    );
    assert_eq!(ids(DeadLetterFilter { limit: Some(2), ..all() }).await, [3, 2]);

    let discarded = Resolution::Discarded { at: 77, reason: "a test".to_owned() };
    assert!(it.storage.resolve_dead_letter(letters[1].id, discarded.clone()).await.expect("resolved"));
    assert!(!it.storage.resolve_dead_letter(letters[1].id, Resolution::Retried { at: 78 }).await.expect("resolved"));
    assert!(!it.storage.resolve_dead_letter(Uuid::from_u128(9), Resolution::Retried { at: 78 }).await.expect("none"));
    assert!(it.storage.resolve_dead_letter(letters[0].id, Resolution::Retried { at: 79 }).await.expect("resolved"));
    assert_eq!(ids(all()).await, [3]);
    assert_eq!(ids(DeadLetterFilter { include_resolved: true, ..all() }).await, [3, 2, 1]);
    let kept = it.storage.dead_letter(letters[1].id).await.expect("a letter");
    assert_eq!(kept, Some(DeadLetter { resolution: Some(discarded), ..letters[1].clone() }), "the reason is kept");
    let kept = it.storage.dead_letter(letters[0].id).await.expect("a letter").and_then(|it| it.resolution);
    assert_eq!(kept, Some(Resolution::Retried { at: 79 }));
    // It failed before and was resolved: the same id does not come back by itself.
    it.put(extras(|it| it.dead_letters.push(letters[1].clone()))).await.expect("stored");
    assert_eq!(ids(all()).await, [3]);
}

/// A subscriber that reports late must not be sent back.
pub async fn checkpoints_never_move_back(it: &Subject) {
    assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), None);
    for (position, wanted) in [(0, 0), (5, 5), (3, 5), (5, 5), (9, 9)] {
        it.put(extras(|it| it.checkpoints.push(("p".into(), position)))).await.expect("stored");
        assert_eq!(it.storage.checkpoint("p").await.expect("a checkpoint"), Some(wanted));
    }
    assert_eq!(it.storage.checkpoint("q").await.expect("a checkpoint"), None);
}
