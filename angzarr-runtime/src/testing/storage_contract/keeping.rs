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
    let again = DeadLetter { occurred_at: 9, ..letter.clone() };
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
}

/// Rows D1 and D2: the same work fails again.
pub async fn d1_d2_a_letter_of_work_that_failed_again(it: &Subject) {
    let put = |letter: &DeadLetter| {
        let letter = letter.clone();
        async move { it.put(extras(|it| it.dead_letters.push(letter))).await.expect("stored") }
    };
    let stored = || async move { it.storage.dead_letter(Uuid::from_u128(1)).await.expect("a letter") };
    let first = letter(1, "account", "projector", "w");
    put(&first).await;
    // As often as before: nothing new. More often: the new facts.
    let mut again = first.clone();
    again.letter.rejection_reason = "another reason".to_owned();
    put(&again).await;
    assert_eq!(stored().await.as_ref(), Some(&first));
    again.attempts += 1;
    put(&again).await;
    assert_eq!(stored().await.as_ref(), Some(&again));
    // It was retried and went through, and the work failed anew: it is open again, whatever the count.
    assert!(it.storage.resolve_dead_letter(first.id, Resolution::Retried { at: 78 }).await.expect("resolved"));
    put(&first).await;
    assert_eq!(stored().await.as_ref(), Some(&first));
    // Somebody decided that it will not be done: that stays.
    let discarded = Resolution::Discarded { at: 79, reason: "a test".to_owned() };
    assert!(it.storage.resolve_dead_letter(first.id, discarded.clone()).await.expect("resolved"));
    put(&again).await;
    assert_eq!(stored().await, Some(DeadLetter { resolution: Some(discarded), ..first }));
}

/// Row J2: which streams of a component are parked, and which of their letters comes first.
pub async fn j2_parked_events_are_found_by_component_and_stream(it: &Subject) {
    let parked = |n: u128, component: &str, stream: &StreamKey, sequence: u32| {
        let mut letter = letter(n, &stream.domain, component, "");
        letter.letter.payload = Some(proto::angzarr_dead_letter::Payload::RejectedEvents(events_of(stream, sequence)));
        letter
    };
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    let letters = [
        parked(1, "p", &key(1), 4),
        parked(2, "p", &key(1), 3),
        parked(3, "p", &branch, 1),
        parked(4, "p", &key(2), 7),
        parked(5, "q", &key(3), 0),
        letter(6, "account", "p", ""), // no events in it
    ];
    for letter in &letters {
        it.put(extras(|it| it.dead_letters.push(letter.clone()))).await.expect("stored");
    }
    let streams = |component: &'static str| async move { it.storage.parked_streams(component).await.expect("streams") };
    let oldest = |component: &'static str, key: StreamKey| async move {
        it.storage.oldest_parked(component, &key).await.expect("a letter")
    };
    assert_eq!(streams("p").await, [key(1), key(2), branch.clone()]);
    assert_eq!(streams("q").await, [key(3)]);
    assert_eq!(streams("r").await, []);
    assert_eq!(oldest("p", key(1)).await.as_ref(), Some(&letters[1]), "by sequence, not by time");
    assert_eq!(oldest("p", branch).await.as_ref(), Some(&letters[2]));
    assert_eq!(oldest("p", key(3)).await, None);
    for n in [1, 3] {
        assert!(it.storage.resolve_dead_letter(letters[n].id, Resolution::Retried { at: 1 }).await.expect("resolved"));
    }
    assert_eq!(oldest("p", key(1)).await.as_ref(), Some(&letters[0]));
    assert_eq!(oldest("p", key(2)).await, None);
    assert_eq!(streams("p").await.len(), 2);
}

pub(super) fn events_of(stream: &StreamKey, sequence: u32) -> proto::EventBook {
    let mut cover = proto::Cover { domain: stream.domain.to_string(), ..proto::Cover::default() };
    cover.root = Some(proto::Uuid { value: stream.root.as_bytes().to_vec() });
    cover.edition = Some(proto::Edition { name: stream.edition.to_string(), divergences: Vec::new() });
    let header = proto::PageHeader {
        sequence_type: Some(proto::page_header::SequenceType::Sequence(sequence)),
        ..proto::PageHeader::default()
    };
    let page = proto::EventPage { header: Some(header), ..proto::EventPage::default() };
    proto::EventBook { cover: Some(cover), pages: vec![page], ..proto::EventBook::default() }
}

/// A read model of one store is never taken for that of another.
pub fn two_stores_have_two_ids(one: &Subject, other: &Subject) {
    assert_ne!(one.storage.id(), other.storage.id());
}

/// A store says who it is, whatever happens in it.
pub async fn a_store_keeps_its_id(it: &Subject) {
    let id = it.storage.id();
    assert!(!id.is_nil(), "an id of its own");
    it.store(append(&key(1), 0, 3)).await;
    assert_eq!(it.storage.id(), id);
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
