//! C: the command pipeline.

use std::collections::BTreeSet;
use std::time::Duration;

use angzarr_runtime::Code;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CoverExt as _};
use angzarr_runtime::storage::StorageErrorKind;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::{Account, handler_runs};
use angzarr_tests::brittle::{Brittle, Bury, Strike, Struck};
use angzarr_tests::messages::*;
use angzarr_tests::rig::{account, eventually, page, request, start};
use angzarr_tests::store::{assert_gapless, decode, events_of, stored};
use angzarr_tests::time::{CountedIds, ManualClock, at_second};
use angzarr_tests::{Fault, Faults, Rig, on_every_store};
use prost::Message as _;

fn key(root: Uuid) -> StreamKey {
    StreamKey::main("account", root)
}

on_every_store! {
    /// The stages come in order: what an earlier one refuses, a later one never sees.
    async fn c1_stages_run_in_order(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        // Validation comes before the handler.
        let refused = runtime.send::<Account>(id, Deposit { amount: 1 }).correlation("a\u{7}b").await.unwrap_err();
        assert_eq!(refused.code(), "INVALID_ARGUMENT");
        assert_eq!(handler_runs(id), 0);
        // The duplicate check comes before the sequence check …
        runtime.send::<Account>(id, Deposit { amount: 1 }).external_id("first").expect_sequence(0).await.unwrap();
        let again = runtime.send::<Account>(id, Deposit { amount: 1 }).external_id("first").expect_sequence(0).await.unwrap();
        assert!(again.already_processed());
        assert_eq!(again.events()[0].sequence, 0);
        // … and the sequence check before the handler, which would have rejected.
        let refused = runtime.send::<Account>(id, Withdraw { amount: 99 }).expect_sequence(0).await.unwrap_err();
        assert_eq!(refused.code(), "SEQUENCE_MISMATCH");
        // The answer comes after the append.
        let receipt = runtime.send::<Account>(id, Deposit { amount: 2 }).await.unwrap();
        let stored = events_of(runtime.storage(), &key(id)).await;
        assert_eq!(stored.last(), receipt.events().last());
        assert_eq!(handler_runs(id), 2);
        runtime.shutdown().await.unwrap();
    }

    async fn c2_events_are_consecutive_and_carry_what_the_command_had(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let ext = prost_types::Any { type_url: "type.googleapis.com/test.Hint".into(), value: vec![1, 2, 3] };
        let receipt = runtime
            .send::<Account>(id, DepositMany { count: 5 })
            .correlation("wf-1")
            .ext(ext.clone())
            .await
            .unwrap();
        runtime.send::<Account>(id, DepositMany { count: 2 }).await.unwrap();
        let stored = events_of(runtime.storage(), &key(id)).await;
        assert_gapless(&stored);
        assert_eq!(stored.len(), 7);
        assert_eq!(receipt.next_sequence(), 5);
        assert_eq!(receipt.events(), &stored[..5], "the receipt tells what is stored, positions included");
        for event in &stored[..5] {
            assert_eq!(event.headers.correlation_id(), "wf-1");
            assert_eq!(event.headers.ext(), Some(&ext));
        }
        for event in &stored[5..] {
            assert_eq!(event.headers.correlation_id(), "");
            assert_eq!(event.headers.ext(), None);
        }
        runtime.shutdown().await.unwrap();
    }

    async fn c2_time_never_goes_back_in_a_stream(store) {
        let clock = ManualClock::at(1_000);
        let builder = store.describe(Rig::new().builder().clock(clock.clone()));
        let runtime = builder.build().await.unwrap();
        let id = Uuid::new_v4();
        let mut times = Vec::new();
        for second in [1_000, 2_000, 500, 1_500, 2_500, 10] {
            clock.set(second);
            times.push(runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap().created_at().unwrap());
        }
        // A time from outside cannot break the order either.
        let early = runtime.send::<Account>(id, Deposit { amount: 1 }).at(at_second(3)).await.unwrap();
        times.push(early.created_at().unwrap());
        assert!(times.is_sorted(), "{times:?}");
        // Not even after a restart, when nothing is cached.
        runtime.shutdown().await.unwrap();
        clock.set(7);
        let runtime = store.describe(Rig::new().builder().clock(clock.clone())).build().await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_gapless(&events_of(runtime.storage(), &key(id)).await);
        runtime.shutdown().await.unwrap();
    }

    async fn c2_a_failing_append_stores_nothing(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        for kind in [StorageErrorKind::Failed, StorageErrorKind::Unavailable, StorageErrorKind::Corrupt] {
            faults.next("account", [Fault::Fail(kind)]);
            let error = runtime.send::<Account>(id, DepositMany { count: 9 }).await.unwrap_err();
            assert_eq!(error.code(), "STORAGE");
            assert_eq!(error.is_retryable(), kind == StorageErrorKind::Unavailable);
            assert_eq!(events_of(runtime.storage(), &key(id)).await.len(), 1);
            assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 5);
        }
        // The next handler sees the state that is stored, not the one that was not.
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 5);
        assert_eq!(receipt.events()[0].sequence, 1);
        runtime.shutdown().await.unwrap();
    }

    /// Stored, but the answer was lost: the next command must see the events.
    async fn c2_an_unclear_append_is_read_again(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        faults.next("account", [Fault::FailAfter]);
        runtime.send::<Account>(id, Deposit { amount: 7 }).external_id("unclear").await.unwrap_err();
        // The caller asks again with the same id, and learns that it was done.
        let again = runtime.send::<Account>(id, Deposit { amount: 7 }).external_id("unclear").await.unwrap();
        assert!(again.already_processed());
        assert_eq!(again.events_of::<Deposited>().next().unwrap().amount, 7);
        let next = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(next.events_of::<Deposited>().next().unwrap().balance_before, 12);
        let stored = events_of(runtime.storage(), &key(id)).await;
        assert_eq!(stored.len(), 3);
        assert_gapless(&stored);
        runtime.shutdown().await.unwrap();
    }

    async fn c2_a_panicking_store_fails_the_caller_and_nobody_else(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        faults.next("account", [Fault::Panic]);
        // In a task of its own: how the caller learns of it is the task's panic or an error; both are fine.
        let other = runtime.clone();
        let failed = tokio::spawn(async move { other.send::<Account>(id, Deposit { amount: 7 }).await }).await;
        assert!(!matches!(failed, Ok(Ok(_))), "{failed:?}");
        let next = tokio::time::timeout(
            Duration::from_secs(10),
            runtime.send::<Account>(id, Deposit { amount: 1 }).into_future(),
        );
        let next = next.await.expect("the stream is not blocked").unwrap();
        assert_eq!(next.events_of::<Deposited>().next().unwrap().balance_before, 5);
        runtime.shutdown().await.unwrap();
    }

    async fn c3_no_event_is_a_success_that_stores_nothing(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        let head = runtime.storage().head();
        let receipt = runtime.send::<Account>(id, DoNothing {}).expect_sequence(1).await.unwrap();
        assert!(receipt.events().is_empty());
        assert_eq!(receipt.next_sequence(), 1);
        assert_eq!(receipt.created_at(), None);
        // The same for an Option that is None, and on a stream that does not exist.
        runtime.send::<Account>(id, Freeze {}).await.unwrap();
        let receipt = runtime.send::<Account>(id, Freeze {}).await.unwrap();
        assert!(receipt.events().is_empty());
        let fresh = Uuid::new_v4();
        let receipt = runtime.send::<Account>(fresh, DoNothing {}).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.next_sequence(), 0);
        assert_eq!(runtime.storage().head(), head + 1);
        assert!(events_of(runtime.storage(), &key(fresh)).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn c4_a_rejection_stores_nothing_and_tells_why(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let kinds = [
            ("", Code::FailedPrecondition, "not_now", "ask again tomorrow"),
            ("invalid", Code::InvalidArgument, "bad_word", "no such word"),
            ("not_found", Code::NotFound, "no_such_thing", "it never was here"),
        ];
        for (how, status, code, reason) in kinds {
            let error = runtime.send::<Account>(id, Refuse { how: how.into() }).await.unwrap_err();
            assert_eq!(error.code(), "REJECTED");
            assert_eq!(error.status(), status);
            assert!(!error.is_retryable());
            let rejection = error.rejection().unwrap();
            assert_eq!((rejection.code(), rejection.reason()), (code, reason));
            let detail = &rejection.details()[0];
            assert_eq!(detail.type_url, "type.googleapis.com/test.RefusalDetail");
            assert_eq!(RefusalDetail::decode(detail.value.as_slice()).unwrap().text, "the fine print");
        }
        assert_eq!(runtime.storage().head(), 0);
        assert!(runtime.state::<Account>(id).await.unwrap().is_new());
        runtime.shutdown().await.unwrap();
    }

    async fn c5_a_panicking_handler_harms_nobody(store) {
        let runtime = start(&store).await;
        let (id, other) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(id, Deposit { amount: 3 }).await.unwrap();
        let bystanders = async {
            for _ in 0..20 {
                runtime.send::<Account>(other, Deposit { amount: 1 }).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let panics = async {
            let mut references = BTreeSet::new();
            for _ in 0..5 {
                let error = runtime.send::<Account>(id, Explode {}).await.unwrap_err();
                assert_eq!((error.code(), error.status()), ("HANDLER_PANICKED", Code::Internal));
                assert!(!error.is_retryable());
                let facts = error.facts();
                let reference = &facts.iter().find(|(name, _)| *name == "reference").unwrap().1;
                assert!(error.to_string().contains(reference.as_str()), "{error}");
                assert!(!error.to_string().contains("boom"), "the panic's text is for the log, not for callers");
                references.insert(reference.clone());
            }
            assert_eq!(references.len(), 5, "each panic has a reference of its own");
        };
        tokio::join!(bystanders, panics);
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events()[0].sequence, 1);
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 3);
        assert_eq!(runtime.state::<Account>(other).await.unwrap().balance, 20);
        runtime.shutdown().await.unwrap();
    }

    /// A panic in the middle of a book leaves no half-moved state behind.
    async fn c5_a_panic_in_a_book_undoes_the_book(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 3 }).await.unwrap();
        let book = request(account(id), [page(&Deposit { amount: 4 }), page(&Explode {}), page(&Deposit { amount: 5 })]);
        let error = runtime.handle_command(book).await.unwrap_err();
        assert_eq!(error.code(), "HANDLER_PANICKED");
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 3);
        assert_eq!(receipt.next_sequence(), 2);
        runtime.shutdown().await.unwrap();
    }

    /// An event that its own aggregate cannot take is not stored: a stream that nobody can read would be lost for good.
    async fn c5_a_panicking_apply_stores_nothing(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let strike = |how: &str| Strike { how: how.into() };
        let brittle = || proto::Cover::of("brittle", id.into_bytes());
        runtime.send::<Brittle>(id, strike("well")).await.unwrap();
        for round in 0..3u32 {
            let errors = [
                runtime.send::<Brittle>(id, strike("apply")).await.unwrap_err(),
                runtime.handle_command(request(brittle(), [page(&strike("apply"))])).await.unwrap_err(),
                runtime
                    .handle_command(request(brittle(), [page(&strike("well")), page(&strike("apply"))]))
                    .await
                    .unwrap_err(),
                runtime.preview::<Brittle>(id, strike("apply")).await.unwrap_err(),
            ];
            for error in errors {
                assert_eq!((error.code(), error.status()), ("HANDLER_PANICKED", Code::Internal), "{error}");
                assert!(error.to_string().contains("Brittle::struck"), "{error}");
                assert!(error.facts().iter().any(|(name, _)| *name == "reference"));
            }
            // The same for an event that cannot even be decoded.
            let error = runtime.send::<Brittle>(id, Bury { depth: 5_000 }).await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("UNREADABLE_RETURN", Code::Internal), "{error}");
            assert!(error.to_string().contains("Brittle::bury"), "{error}");
            // The stream goes on, and what was touched is forgotten.
            let receipt = runtime.send::<Brittle>(id, strike("well")).await.unwrap();
            assert_eq!(receipt.events_of::<Struck>().next().unwrap().before, round + 1);
            assert_eq!(receipt.events()[0].sequence, round + 1);
        }
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("brittle", id)).await.len(), 4);
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        assert_eq!(runtime.state::<Brittle>(id).await.unwrap().strikes, 4);
        runtime.shutdown().await.unwrap();
    }

    async fn c6_a_race_is_retried_inside(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        faults.next("account", [Fault::Conflict, Fault::Conflict, Fault::Conflict]);
        let receipt = runtime.send::<Account>(id, Deposit { amount: 2 }).await.unwrap();
        assert_eq!(receipt.events()[0].sequence, 1);
        assert_eq!(faults.struck(), 3);
        assert_eq!(handler_runs(id), 5, "one run for each try, on fresh state");
        assert_eq!(events_of(runtime.storage(), &key(id)).await.len(), 2);
        runtime.shutdown().await.unwrap();
    }

    async fn c6_the_retries_are_bounded(store) {
        let faults = Faults::new();
        let builder = Rig::new().builder().command_attempts(3);
        let runtime = faults.describe(&store, builder).build().await.unwrap();
        let id = Uuid::new_v4();
        faults.next("account", [Fault::Conflict; 50]);
        let error = runtime.send::<Account>(id, Deposit { amount: 2 }).await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("CONTENTION", Code::Aborted));
        assert!(error.is_retryable());
        assert_eq!(faults.struck(), 3);
        faults.clear();
        assert_eq!(runtime.storage().head(), 0);
        assert_eq!(runtime.send::<Account>(id, Deposit { amount: 2 }).await.unwrap().next_sequence(), 1);
        runtime.shutdown().await.unwrap();
    }

    async fn c8_the_pages_of_a_book_run_in_order_and_are_stored_together(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let pages = [
            page(&OpenAccount { owner: "Ada".into() }),
            page(&Deposit { amount: 10 }),
            page(&Withdraw { amount: 4 }),
            page(&DepositMany { count: 3 }),
            page(&DoNothing {}),
            page(&Withdraw { amount: 9 }),
        ];
        let response = runtime.handle_command(request(account(id), pages)).await.unwrap();
        let book = response.events.unwrap();
        assert_eq!(book.next_sequence, 7);
        assert_eq!(book.pages.len(), 7);
        let stored = events_of(runtime.storage(), &key(id)).await;
        assert_gapless(&stored);
        assert_eq!(decode::<Withdrawn>(&stored[2]).balance_before, 10, "each page sees the one before it");
        assert_eq!(decode::<Withdrawn>(&stored[6]).balance_before, 9);
        assert!(stored.windows(2).all(|pair| pair[0].position + 1 == pair[1].position));
        let state = runtime.state::<Account>(id).await.unwrap();
        assert_eq!((state.balance, state.events), (0, 7));
        // The cached state went along.
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        let event = receipt.events_of::<Deposited>().next().unwrap();
        assert_eq!((event.balance_before, event.events_before), (0, 7));
        runtime.shutdown().await.unwrap();
    }

    async fn c8_one_rejection_rejects_the_book(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 3 }).await.unwrap();
        let pages = [page(&Deposit { amount: 10 }), page(&Withdraw { amount: 99 }), page(&Deposit { amount: 1 })];
        let error = runtime.handle_command(request(account(id), pages)).await.unwrap_err();
        assert_eq!(error.rejection().unwrap().code(), "insufficient_funds");
        assert_eq!(events_of(runtime.storage(), &key(id)).await.len(), 1);
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 3);
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 3, "the evolving state is forgotten");
        runtime.shutdown().await.unwrap();
    }

    /// The caller goes away while its book is being stored, and then it is not stored: nobody may see its events.
    async fn c8_a_cancelled_book_that_fails_leaves_no_trace(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        faults.next("account", [Fault::HoldThenFail]);
        let book = request(account(id), [page(&Deposit { amount: 10 }), page(&Deposit { amount: 20 })]);
        let other = runtime.clone();
        let cancelled = tokio::spawn(async move { other.handle_command(book).await });
        eventually("it is being stored", async || faults.struck() == 1).await;
        cancelled.abort();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        faults.release();
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 5);
        assert_eq!(receipt.events()[0].sequence, 1);
        runtime.shutdown().await.unwrap();
    }

    /// The same where the book is stored after all: the next command sees it.
    async fn c8_a_cancelled_book_that_is_stored_is_seen(store) {
        let faults = Faults::new();
        let rig = Rig::new();
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        faults.next("account", [Fault::Hold]);
        let book = request(account(id), [page(&Deposit { amount: 10 }), page(&Deposit { amount: 20 })]);
        let other = runtime.clone();
        let cancelled = tokio::spawn(async move { other.handle_command(book).await });
        eventually("it is being stored", async || faults.struck() == 1).await;
        cancelled.abort();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        faults.release();
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 35);
        assert_eq!(receipt.events()[0].sequence, 3);
        // Subscribers get what nobody waited for.
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(id), [0, 1, 2, 3]);
        runtime.shutdown().await.unwrap();
    }

    async fn c8_a_book_at_a_panicking_store_leaves_no_trace(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
        faults.next("account", [Fault::Panic]);
        let other = runtime.clone();
        let book = request(account(id), [page(&Deposit { amount: 10 }), page(&Deposit { amount: 20 })]);
        let failed = tokio::spawn(async move { other.handle_command(book).await }).await;
        assert!(!matches!(failed, Ok(Ok(_))), "{failed:?}");
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 5);
        runtime.shutdown().await.unwrap();
    }

    /// The memory for states is bounded whatever the commands come to, and what is over it is really let go.
    async fn c6_large_states_that_only_refuse_leave_the_cache(store) {
        const BOUND: u64 = 64 << 10;
        const STREAMS: u32 = 100;
        let tag = "x".repeat(4 << 10);
        let ids: Vec<Uuid> = (0..STREAMS).map(|_| Uuid::new_v4()).collect();
        for id in &ids {
            let event = TagAdded { tag: tag.clone(), expected: -1, next: 0 };
            store.plant(&key(*id), vec![stored(&event, 1)]).await;
        }
        let faults = Faults::new();
        let builder = faults.describe(&store, Rig::new().builder()).state_cache_bytes(BOUND);
        let runtime = builder.build().await.unwrap();
        for round in 0..2 {
            let before = faults.events_read();
            for id in &ids {
                let error = runtime.send::<Account>(*id, AddTag { tag: tag.clone() }).await.unwrap_err();
                assert_eq!(error.rejection().unwrap().code(), "tag_exists");
                let bytes = runtime.statistics().state_cache_bytes;
                assert!(bytes < BOUND + (16 << 10), "{bytes} bytes");
            }
            let read = faults.events_read() - before;
            assert!(read > STREAMS - 16, "round {round}: only {read} of {STREAMS} were read again");
        }
        // One that is small enough stays: nothing is read again.
        let small = Uuid::new_v4();
        runtime.send::<Account>(small, AddTag { tag: "y".into() }).await.unwrap();
        let before = faults.events_read();
        runtime.send::<Account>(small, AddTag { tag: "y".into() }).await.unwrap_err();
        assert_eq!(faults.events_read(), before);
        // States that grow under accepted commands are weighed again.
        for id in &ids[..20] {
            for n in 0..4 {
                runtime.send::<Account>(*id, AddTag { tag: format!("{n}{tag}") }).await.unwrap();
                let bytes = runtime.statistics().state_cache_bytes;
                assert!(bytes < BOUND + (64 << 10), "{bytes} bytes");
            }
        }
        let before = faults.events_read();
        for id in &ids[..20] {
            runtime.send::<Account>(*id, AddTag { tag: tag.clone() }).await.unwrap_err();
        }
        let read = faults.events_read() - before;
        assert!(read > 5 * 15, "only {read} events were read again");
        runtime.shutdown().await.unwrap();
    }

    async fn c11_time_and_ids_are_injectable(store) {
        let clock = ManualClock::at(1_234);
        let builder = Rig::new().builder().clock(clock).ids(CountedIds::default());
        let runtime = store.describe(builder).build().await.unwrap();
        let id = Uuid::from_u128(77);
        let receipt = runtime.send::<Account>(id, Stamp {}).await.unwrap();
        let first = receipt.events_of::<Stamped>().next().unwrap();
        assert_eq!(first.now / 1_000_000_000, 1_234);
        assert_eq!(first.now, receipt.events()[0].created_at, "what the handler sees is what is stored");
        assert_eq!(first.id, Uuid::from_u128(1).as_bytes());
        let second = runtime.send::<Account>(id, Stamp {}).await.unwrap().events_of::<Stamped>().next().unwrap();
        assert_eq!(second.id, Uuid::from_u128(2).as_bytes());
        // Time that the sender gives is what the handler sees.
        let third = runtime.send::<Account>(id, Stamp {}).at(at_second(9_999)).await.unwrap();
        assert_eq!(third.events_of::<Stamped>().next().unwrap().now, 9_999 * 1_000_000_000);
        runtime.shutdown().await.unwrap();
    }
}
