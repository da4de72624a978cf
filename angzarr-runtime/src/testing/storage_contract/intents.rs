//! Checks of intents: what still has to be done because of a write.

use super::*;

/// Work that a stream decided; the number makes the id.
fn intent(n: u128, due: Nanos) -> Intent {
    Intent {
        id: Uuid::from_u128(n),
        kind: IntentKind::Timeout,
        stream: key(1),
        due,
        attempts: 0,
        work: Bytes::from(format!("work {n}")),
    }
}

fn settle(intent: &Intent) -> Settle {
    Settle { id: intent.id, due: intent.due }
}

#[track_caller]
fn settled(outcome: &Result<Written, WriteError>, wanted: &Intent) {
    match outcome {
        Err(WriteError::Settled { intent }) => assert_eq!(*intent, wanted.id, "which intent is gone"),
        other => panic!("the intent was settled before: {other:?}"),
    }
}

impl Subject {
    async fn store_intents(&self, intents: &[Intent]) {
        let write = extras(|it| it.intents = intents.to_vec());
        self.put(write).await.expect("intents can be stored");
    }

    async fn intents(&self, filter: IntentFilter) -> Vec<Intent> {
        self.storage.intents(&filter).await.expect("intents can be listed")
    }

    async fn intent(&self, id: IntentId) -> Option<Intent> {
        self.storage.intent(id).await.expect("an intent can be read")
    }
}

/// Row P1: own events and what is to be sent are stored in one step, or neither.
pub async fn p1_an_intent_is_stored_with_its_write(it: &Subject) {
    let work = intent(1, 10);
    let mut write = extras(|extras| extras.intents.push(work.clone()));
    write.append = Some(append(&key(1), 1, 1));
    conflict_at(&it.put(write.clone()).await, 0);
    assert_eq!(it.intent(work.id).await, None);
    assert_eq!(it.intents(IntentFilter::default()).await, []);
    write.append = Some(append(&key(1), 0, 1));
    let written = it.put(write).await.expect("nothing is in the way");
    assert_eq!((written.first_sequence, written.count), (0, 1));
    assert_eq!(it.intent(work.id).await.as_ref(), Some(&work));
    // As it was written, whatever it is.
    let kinds = [
        IntentKind::Command,
        IntentKind::Fact,
        IntentKind::Notification,
        IntentKind::Compensation,
        IntentKind::Timeout,
    ];
    for (n, kind) in (2..).zip(kinds) {
        let stream = StreamKey { edition: "b".into(), ..key(n) };
        let work = Bytes::from(vec![0; n as usize - 2]);
        let it_is = Intent { kind, stream, due: -(n as i64), attempts: u32::MAX, work, ..intent(n, 0) };
        it.store_intents(std::slice::from_ref(&it_is)).await;
        assert_eq!(it.intent(it_is.id).await, Some(it_is));
    }
}

/// Row P5: what is due first comes first, and of those at one time what was stored first.
pub async fn p5_intents_come_in_order_of_their_due_time(it: &Subject) {
    let other = Intent { stream: key(2), ..intent(4, 10) };
    let command = Intent { kind: IntentKind::Command, ..intent(5, 15) };
    it.store_intents(&[intent(1, 20), intent(2, 10), intent(3, -5)]).await;
    it.store_intents(&[other, command]).await;
    let ids = |filter: IntentFilter| async move {
        it.intents(filter).await.iter().map(|it| it.id.as_u128()).collect::<Vec<_>>()
    };
    let all = IntentFilter::default;
    assert_eq!(ids(all()).await, [3, 2, 4, 5, 1]);
    assert_eq!(ids(IntentFilter { limit: Some(2), ..all() }).await, [3, 2]);
    assert_eq!(ids(IntentFilter { limit: Some(0), ..all() }).await, []);
    assert_eq!(ids(IntentFilter { due_until: Some(10), ..all() }).await, [3, 2, 4]);
    assert_eq!(ids(IntentFilter { due_until: Some(9), ..all() }).await, [3]);
    assert_eq!(ids(IntentFilter { due_until: Some(i64::MIN), ..all() }).await, []);
    assert_eq!(ids(IntentFilter { due_until: Some(i64::MAX), ..all() }).await.len(), 5);
    assert_eq!(ids(IntentFilter { stream: Some(key(1)), ..all() }).await, [3, 2, 5, 1]);
    assert_eq!(ids(IntentFilter { kind: Some(IntentKind::Command), ..all() }).await, [5]);
    let (stream, kind) = (Some(key(1)), Some(IntentKind::Timeout));
    assert_eq!(ids(IntentFilter { due_until: Some(15), stream, kind, limit: Some(1) }).await, [3]);
    let branch = StreamKey { edition: "b".into(), ..key(1) };
    assert_eq!(ids(IntentFilter { stream: Some(branch), ..all() }).await, []);
    // Nobody asks for all of them by mistake.
    let many: Vec<Intent> = (100..1_200).map(|n| intent(n, 5)).collect();
    it.store_intents(&many).await;
    assert_eq!(it.intents(all()).await.len(), 1_000);
    assert_eq!(it.intents(IntentFilter { limit: Some(5_000), ..all() }).await.len(), 1_105);
}

/// Row P5: a timer that moves, a delivery that is tried again later.
pub async fn p5_an_intent_that_is_put_again_is_replaced(it: &Subject) {
    it.store_intents(&[intent(1, 10), intent(2, 10), intent(3, 10)]).await;
    let moved = Intent { due: 20, attempts: 3, work: Bytes::from("again"), stream: key(7), ..intent(1, 0) };
    it.store_intents(std::slice::from_ref(&moved)).await;
    assert_eq!(it.intent(moved.id).await.as_ref(), Some(&moved));
    assert_eq!(it.intents(IntentFilter::default()).await, [intent(2, 10), intent(3, 10), moved]);
    // At the same time: it is behind those that were there.
    it.store_intents(&[intent(2, 10)]).await;
    let due = it.intents(IntentFilter { due_until: Some(10), ..IntentFilter::default() }).await;
    assert_eq!(due, [intent(3, 10), intent(2, 10)]);
    // Twice in one write: the last one is it.
    it.store_intents(&[intent(9, 1), intent(9, 2)]).await;
    assert_eq!(it.intent(intent(9, 2).id).await, Some(intent(9, 2)));
    assert_eq!(it.intents(IntentFilter::default()).await.len(), 4);
}

/// Promise 8, row P5: its handler runs once.
pub async fn p5_an_intent_is_settled_once(it: &Subject) {
    let (work, other) = (intent(1, 10), intent(2, 10));
    it.store_intents(&[work.clone(), other.clone()]).await;
    let settles = |n: u128, settle: Settle| {
        let mut write = extras(|extras| {
            extras.settles.push(settle);
            extras.appends.push(append(&key(n + 100), 0, 1));
            extras.snapshots.push(SnapshotWrite { key: key(n), snapshot: snapshot(0, Retention::Default) });
            extras.checkpoints.push((Name::from(format!("p{n}")), 7));
            extras.dead_letters.push(letter(n, "account", "saga", "w"));
            extras.intents.push(intent(n + 100, 10));
            extras.withdraws.push(other.id);
        });
        write.append = Some(with_key(append(&key(n), 0, 1), "k"));
        write
    };
    let nothing_of = |n: u128| async move {
        assert_eq!(it.next_sequence(&key(n)).await + it.next_sequence(&key(n + 100)).await, 0);
        assert!(it.snapshot_sequences(&key(n)).await.is_empty());
        assert_eq!(it.storage.checkpoint(&format!("p{n}")).await.expect("a checkpoint"), None);
        assert_eq!(it.storage.dead_letter(Uuid::from_u128(n)).await.expect("a letter"), None);
        assert_eq!(it.storage.find_duplicate(&key(n), &dedup("k")).await.expect("a key"), None);
        assert_eq!(it.intent(Uuid::from_u128(n + 100)).await, None);
    };
    // Its work was begun for another time than it has now.
    settled(&it.put(settles(3, Settle { due: 9, ..settle(&work) })).await, &work);
    nothing_of(3).await;
    assert!(it.intent(work.id).await.is_some() && it.intent(other.id).await.is_some(), "they are still there");
    // Who comes first carries it out; the neighbour in the same batch does not.
    let outcomes = it.batch(vec![settles(4, settle(&work)), settles(5, settle(&work))]).await;
    assert_eq!(outcomes[0].as_ref().map(|it| it.count).ok(), Some(1));
    settled(&outcomes[1], &work);
    nothing_of(5).await;
    assert_eq!(it.intent(work.id).await, None);
    assert_eq!(it.intents(IntentFilter::default()).await, [intent(104, 10)]);
    settled(&it.put(settles(6, settle(&work))).await, &work);
    nothing_of(6).await;
    // One of several is enough.
    let (here, gone) = (intent(104, 10), work);
    let both = extras(|it| it.settles = vec![settle(&here), settle(&gone)]);
    settled(&it.put(both).await, &gone);
    assert!(it.intent(here.id).await.is_some());
}

/// Row C10: the repeat of work that was done finds its first answer, not that it was done.
pub async fn c10_a_known_key_comes_before_a_settled_intent(it: &Subject) {
    let work = intent(1, 10);
    it.store_intents(std::slice::from_ref(&work)).await;
    let mut write = extras(|it| it.settles.push(settle(&work)));
    write.append = Some(with_key(append(&key(1), 0, 2), "k"));
    let first = it.put(write.clone()).await.expect("nothing is in the way");
    duplicate_of(&it.put(write).await, first);
    // Also where it is not the first append, and where the stream has moved.
    it.store(append(&key(1), 2, 1)).await;
    let mut write = extras(|extras| {
        extras.settles.push(settle(&work));
        extras.appends.push(with_key(append(&key(1), 0, 2), "k"));
    });
    write.append = Some(append(&key(2), 0, 1));
    duplicate_of(&it.put(write).await, first);
    // Without the key it is told that the work is done, before it is told that the stream has moved.
    let mut write = extras(|it| it.settles.push(settle(&work)));
    write.append = Some(append(&key(1), 0, 2));
    settled(&it.put(write).await, &work);
    assert_eq!(it.log().await.len(), 3);
}

/// Row P5: a timer that is cancelled, whether it is there or not.
pub async fn p5_an_intent_that_is_taken_back_is_gone(it: &Subject) {
    let (work, other) = (intent(1, 10), intent(2, 10));
    it.store_intents(&[work.clone(), other.clone()]).await;
    let back = extras(|it| it.withdraws = vec![work.id, Uuid::from_u128(99)]);
    it.put(back.clone()).await.expect("taken back");
    it.put(back).await.expect("and again");
    assert_eq!(it.intents(IntentFilter::default()).await, std::slice::from_ref(&other));
    settled(&it.put(extras(|it| it.settles.push(settle(&work)))).await, &work);
    // The timer fires and is set again, in one step: what is put comes last.
    let again = Intent { due: 30, ..other.clone() };
    let write = extras(|it| {
        it.settles.push(settle(&other));
        it.withdraws.push(other.id);
        it.intents.push(again.clone());
    });
    it.put(write.clone()).await.expect("it is there");
    assert_eq!(it.intents(IntentFilter::default()).await, [again]);
    settled(&it.put(write).await, &other);
}

/// Promise 8, with threads that really run at the same time.
pub async fn p5_of_racing_settlers_one_wins(it: &Subject) {
    const ROUNDS: u128 = 30;
    let works: Vec<Intent> = (0..ROUNDS).map(|n| intent(n, 10)).collect();
    it.store_intents(&works).await;
    let won = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..3u128)
            .map(|racer| {
                let works = &works;
                scope.spawn(move || {
                    block_on(async {
                        let (mut won, mut at) = (0, 0);
                        for work in works {
                            let mut write = extras(|it| it.settles.push(settle(work)));
                            write.append = Some(append(&key(racer), at, 1));
                            match it.put(write).await {
                                Ok(_) => (won, at) = (won + 1, at + 1),
                                Err(WriteError::Settled { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                        won
                    })
                })
            })
            .collect();
        racers.into_iter().map(|it| it.join().expect("a racer ends well")).sum::<u128>()
    });
    assert_eq!(won, ROUNDS, "each was carried out once");
    assert_eq!(it.log().await.len() as u128, ROUNDS);
    assert_eq!(it.intents(IntentFilter::default()).await, []);
}
