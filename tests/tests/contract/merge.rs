//! M: merge strategies.

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::angzarr_dead_letter::{Payload, RejectionDetails};
use angzarr_runtime::proto::{self, AnyExt as _, CommandPageExt as _};
use angzarr_runtime::storage::{self, Extras, SnapshotWrite};
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::{Code, Retention};
use angzarr_tests::account::{Account, handler_runs};
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::notes::Diary;
use angzarr_tests::rig::{account, page, request, start};
use angzarr_tests::store::{decode, events_of, plant, stored};
use angzarr_tests::{Fault, Faults, Rig, on_every_store};
use prost::Message as _;

fn key(root: Uuid) -> StreamKey {
    StreamKey::main("account", root)
}

/// An account with three events, so that 1 is behind and 9 is ahead of its next sequence.
async fn three_events(runtime: &Runtime) -> Uuid {
    let id = Uuid::new_v4();
    for amount in [10, 20, 30] {
        runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
    }
    id
}

on_every_store! {
    async fn m1_m8_commutative_gives_the_fresh_book(store) {
        let runtime = start(&store).await;
        let id = three_events(&runtime).await;
        let runs = handler_runs(id);
        for expected in [0, 1, 2, 4, 9, u32::MAX] {
            let error = runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(expected).await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("SEQUENCE_MISMATCH", Code::FailedPrecondition));
            assert!(error.is_retryable());
            let book = error.event_book().unwrap();
            assert_eq!(book.next_sequence, 3);
            let sum: i64 = book.pages.iter().map(|page| {
                let Some(proto::event_page::Payload::Event(event)) = &page.payload else { panic!("no event") };
                Deposited::decode(event.value.as_slice()).unwrap().amount
            }).sum();
            assert_eq!(sum, 60, "the caller can rebuild the state from the answer alone");
            assert_eq!(book.cover, Some(account(id)));
            let facts = error.facts();
            assert!(facts.contains(&("expected_sequence", expected.to_string())));
            assert!(facts.contains(&("actual_sequence", "3".to_owned())));
            // The resend with what the answer said goes through.
        }
        assert_eq!(handler_runs(id), runs, "the handler was not run");
        assert_eq!(events_of(runtime.storage(), &key(id)).await.len(), 3);
        runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(3).await.unwrap();
        runtime.shutdown().await.unwrap();
    }

    /// With a snapshot in the store, the book starts from it.
    async fn m1_the_book_starts_from_the_snapshot(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for _ in 0..20 {
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        let error = runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(4).await.unwrap_err();
        let book = error.event_book().unwrap();
        let snapshot = book.snapshot.as_ref().unwrap();
        // As a client of any language does it: by the name that the type URL says.
        let state: Account = snapshot.state.as_ref().unwrap().unpack().unwrap();
        assert_eq!(snapshot.sequence, 15);
        assert_eq!(state.balance, 16);
        assert_eq!(book.pages.len(), 4);
        assert_eq!(book.next_sequence, 20);
        runtime.shutdown().await.unwrap();
    }

    async fn m2_m8_strict_refuses_for_good(store) {
        let runtime = start(&store).await;
        let id = three_events(&runtime).await;
        for expected in [0, 2, 4, 9] {
            let error = runtime.send::<Account>(id, Withdraw { amount: 1 }).expect_sequence(expected).await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("SEQUENCE_MISMATCH", Code::Aborted));
            assert!(!error.is_retryable());
            assert_eq!(error.event_book().unwrap().next_sequence, 3);
            assert_eq!(error.event_book().unwrap().pages.len(), 3);
        }
        assert_eq!(events_of(runtime.storage(), &key(id)).await.len(), 3);
        runtime.shutdown().await.unwrap();
    }

    /// A snapshot that the caller could not read is none: the book then has all events.
    async fn m1_n4_the_book_can_always_be_rebuilt(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for n in 0..7 {
            // A protobuf state without a name, and one that serde stores; both have a snapshot.
            runtime.send::<Ledger>(id, Book { amount: 1, ..Default::default() }).await.unwrap();
            runtime.send::<Diary>(id, Write { text: n.to_string() }).await.unwrap();
        }
        runtime.send::<Account>(id, DepositMany { count: 7 }).await.unwrap();
        runtime.snapshot::<Account>(id, Retention::Default).await.unwrap();
        for domain in ["ledger", "diary", "account"] {
            assert_eq!(runtime.storage().snapshots(&StreamKey::main(domain, id)).await.unwrap().len(), 1);
        }
        runtime.shutdown().await.unwrap();
        // The account's snapshot breaks.
        let storage = store.open().await;
        let mut broken = storage.snapshots(&key(id)).await.unwrap().remove(0);
        broken.state = vec![0xff; 9].into();
        let other = Uuid::new_v4();
        let copies = events_of(storage.as_ref(), &key(id)).await;
        let copies = copies.iter().map(|event| stored(&decode::<Deposited>(event), 1)).collect();
        plant(storage.as_ref(), &key(other), copies, broken.created_at).await;
        let write = SnapshotWrite { key: key(other), snapshot: broken };
        storage.commit(vec![storage::Write::extras(Extras { snapshots: vec![write], ..Extras::default() })]).await;
        storage.close().await.unwrap();
        drop(storage);
        let runtime = start(&store).await;
        let errors = [
            runtime.send::<Ledger>(id, Book::default()).expect_sequence(4).await.unwrap_err(),
            runtime.send::<Diary>(id, Write::default()).expect_sequence(4).await.unwrap_err(),
            runtime.send::<Account>(other, Deposit { amount: 1 }).expect_sequence(4).await.unwrap_err(),
        ];
        for error in errors {
            let book = error.event_book().unwrap();
            assert_eq!((&book.snapshot, book.pages.len(), book.next_sequence), (&None, 7, 7), "{error}");
        }
        // A branch's book has what it inherits, from a snapshot of main's where there is one.
        let branch = || Edition::named("what-if").diverge("account", 7);
        let error = runtime.send::<Account>(id, Deposit { amount: 1 }).edition(branch()).expect_sequence(4).await.unwrap_err();
        let book = error.event_book().unwrap();
        let snapshot = book.snapshot.as_ref().unwrap();
        assert_eq!((snapshot.sequence, book.pages.len(), book.next_sequence), (6, 0, 7));
        assert_eq!(snapshot.state.as_ref().unwrap().unpack::<Account>().unwrap().balance, 7);
        runtime.send::<Account>(id, Deposit { amount: 5 }).edition(branch()).await.unwrap();
        let earlier = Edition::named("earlier").diverge("account", 3);
        runtime.send::<Account>(id, Deposit { amount: 5 }).edition(earlier).await.unwrap();
        for (edition, snapshot, pages, next) in [("what-if", Some(6), 1, 8), ("earlier", None, 4, 4)] {
            let send = runtime.send::<Account>(id, Deposit { amount: 1 }).edition(edition).expect_sequence(99);
            let error = send.await.unwrap_err();
            let book = error.event_book().unwrap();
            let found = (book.snapshot.as_ref().map(|it| it.sequence), book.pages.len(), book.next_sequence);
            assert_eq!(found, (snapshot, pages, next), "{edition}");
        }
        runtime.shutdown().await.unwrap();
    }

    async fn m3_m8_aggregate_handles_decides_itself(store) {
        let runtime = start(&store).await;
        let id = three_events(&runtime).await;
        for (expected, tag, next) in [(0, "a", 3), (9, "b", 4), (5, "c", 5)] {
            let receipt = runtime.send::<Account>(id, AddTag { tag: tag.into() }).expect_sequence(expected).await.unwrap();
            let event = receipt.events_of::<TagAdded>().next().unwrap();
            assert_eq!((event.expected, event.next), (i64::from(expected), next), "the handler sees both sequences");
            assert_eq!(receipt.events()[0].sequence, next, "at the head");
        }
        // Its rejection stands just as well.
        let error = runtime.send::<Account>(id, AddTag { tag: "a".into() }).expect_sequence(0).await.unwrap_err();
        assert_eq!(error.rejection().unwrap().code(), "tag_exists");
        let receipt = runtime.send::<Account>(id, AddTag { tag: "d".into() }).await.unwrap();
        assert_eq!(receipt.events_of::<TagAdded>().next().unwrap().expected, -1);
        runtime.shutdown().await.unwrap();
    }

    async fn m4_m8_manual_goes_to_the_dead_letters(store) {
        let runtime = start(&store).await;
        let id = three_events(&runtime).await;
        for (n, expected) in [1, 9].into_iter().enumerate() {
            let error = runtime.send::<Account>(id, Freeze {}).expect_sequence(expected).correlation("wf").await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("DEAD_LETTERED", Code::Aborted));
            assert!(!error.is_retryable());
            let Error::DeadLettered { letter, .. } = error else { panic!("{error}") };
            let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
            assert_eq!(letters.len(), n + 1);
            let found = runtime.dead_letters().show(letter).await.unwrap().unwrap();
            let Some(RejectionDetails::SequenceMismatch(details)) = &found.letter.rejection_details else {
                panic!("{:?}", found.letter.rejection_details)
            };
            assert_eq!((details.expected_sequence, details.actual_sequence), (expected, 3));
            assert_eq!(details.merge_strategy, proto::MergeStrategy::MergeManual as i32);
            let Some(Payload::RejectedCommand(book)) = &found.letter.payload else { panic!("no command") };
            assert_eq!(book.pages[0].type_name(), Some("test.Freeze"));
            assert_eq!(book.cover.as_ref().unwrap().correlation_id, "wf");
        }
        assert!(!runtime.state::<Account>(id).await.unwrap().frozen);
        runtime.shutdown().await.unwrap();
    }

    async fn m5_the_next_sequence_runs_under_every_strategy(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        // A new aggregate expects 0.
        runtime.send::<Account>(id, Deposit { amount: 9 }).expect_sequence(0).await.unwrap();
        runtime.send::<Account>(id, Withdraw { amount: 1 }).expect_sequence(1).await.unwrap();
        runtime.send::<Account>(id, AddTag { tag: "x".into() }).expect_sequence(2).await.unwrap();
        runtime.send::<Account>(id, Freeze {}).expect_sequence(3).await.unwrap();
        runtime.send::<Account>(id, AddPoints { points: 1 }).expect_sequence(4).await.unwrap();
        // In a book, each page expects its own place.
        let fresh = Uuid::new_v4();
        let pages = [
            page(&DepositMany { count: 3 }).expecting(0),
            page(&Withdraw { amount: 1 }).expecting(3),
            page(&Freeze {}).expecting(4),
        ];
        runtime.handle_command(request(account(fresh), pages)).await.unwrap();
        let pages = [page(&Deposit { amount: 3 }).expecting(5), page(&Withdraw { amount: 1 }).expecting(5)];
        let error = runtime.handle_command(request(account(fresh), pages)).await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("SEQUENCE_MISMATCH", Code::Aborted));
        assert_eq!(events_of(runtime.storage(), &key(fresh)).await.len(), 5);
        runtime.shutdown().await.unwrap();
    }

    async fn m6_the_declaration_wins_over_the_command(store) {
        let runtime = start(&store).await;
        let id = three_events(&runtime).await;
        // Declared Strict: what the command says does not count.
        for other in [MergeStrategy::AggregateHandles, MergeStrategy::Commutative, MergeStrategy::Manual] {
            let error = runtime.send::<Account>(id, Withdraw { amount: 1 }).expect_sequence(0).merge(other).await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("SEQUENCE_MISMATCH", Code::Aborted));
        }
        // Declared by nobody: the command's value counts.
        let send = |merge| runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(0).merge(merge);
        assert_eq!(send(MergeStrategy::Strict).await.unwrap_err().status(), Code::Aborted);
        assert_eq!(send(MergeStrategy::Manual).await.unwrap_err().code(), "DEAD_LETTERED");
        assert_eq!(send(MergeStrategy::Commutative).await.unwrap_err().status(), Code::FailedPrecondition);
        assert_eq!(send(MergeStrategy::AggregateHandles).await.unwrap().next_sequence(), 4);
        // The same by the wire.
        let page = |merge| [page(&Deposit { amount: 1 }).expecting(0).with_merge(merge)];
        let error = runtime.handle_command(request(account(id), page(proto::MergeStrategy::MergeStrict))).await.unwrap_err();
        assert_eq!(error.status(), Code::Aborted);
        runtime.handle_command(request(account(id), page(proto::MergeStrategy::MergeAggregateHandles))).await.unwrap();
        runtime.shutdown().await.unwrap();
    }

    async fn m7_a_typed_client_retries_when_asked_to(store) {
        let runtime = start(&store).await;
        let id = three_events(&runtime).await;
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(0).retry().await.unwrap();
        assert_eq!(receipt.events()[0].sequence, 3);
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(99).retry().await.unwrap();
        assert_eq!(receipt.events()[0].sequence, 4);
        // Strict is not retried, whatever was asked for.
        let error = runtime.send::<Account>(id, Withdraw { amount: 1 }).expect_sequence(0).retry().await.unwrap_err();
        assert_eq!(error.code(), "SEQUENCE_MISMATCH");
        // Nor is a rejection, nor a command that did not ask.
        let error = runtime.send::<Account>(id, Deposit { amount: -1 }).expect_sequence(0).retry().await.unwrap_err();
        assert_eq!(error.code(), "REJECTED");
        runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(0).await.unwrap_err();
        runtime.shutdown().await.unwrap();
    }

    /// Callers that all expect the same place, and all retry: everybody gets through, one after the other.
    async fn m7_retrying_callers_all_get_through(store) {
        let faults = Faults::new();
        let builder = Rig::new().builder().command_attempts(64);
        let runtime = faults.describe(&store, builder).build().await.unwrap();
        let id = Uuid::new_v4();
        faults.next("account", [Fault::Conflict, Fault::Conflict]);
        let callers = (0..8).map(|_| {
            let runtime = runtime.clone();
            tokio::spawn(async move { runtime.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(0).retry().await.unwrap() })
        });
        let mut sequences: Vec<u32> =
            futures_util::future::join_all(callers).await.into_iter().map(|it| it.unwrap().events()[0].sequence).collect();
        sequences.sort_unstable();
        assert_eq!(sequences, (0..8).collect::<Vec<_>>());
        runtime.shutdown().await.unwrap();
    }
}
