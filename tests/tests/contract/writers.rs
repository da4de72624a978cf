//! C: several writers, repeats, and callers that go away or look away.

use std::collections::BTreeSet;
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::CommandPageExt as _;
use angzarr_runtime::storage::StorageErrorKind;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::{Account, handler_runs};
use angzarr_tests::messages::*;
use angzarr_tests::rig::{account, eventually, page, request, start};
use angzarr_tests::store::{assert_gapless, decode, events_of};
use angzarr_tests::{Fault, Faults, Rig, Store, on_every_store};
use futures_util::future::join_all;

fn key(root: Uuid) -> StreamKey {
    StreamKey::main("account", root)
}

on_every_store! {
    /// Many writers, one root, conflicts thrown in: no hole, no double, and every handler saw exactly what was before.
    async fn c9_concurrent_writers_leave_no_hole_and_see_what_was_before(store) {
        let faults = Faults::new();
        let builder = Rig::new().builder().command_attempts(200);
        let runtime = faults.describe(&store, builder).build().await.unwrap();
        let id = Uuid::new_v4();
        let writers = (0..64i64).map(|n| {
            let (runtime, faults) = (runtime.clone(), faults.clone());
            tokio::spawn(async move {
                for i in 0..4 {
                    if (n + i) % 7 == 0 {
                        faults.next("account", [Fault::Conflict]);
                    }
                    let amount = n * 10 + i + 1;
                    let receipt = runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
                    assert_eq!(receipt.events_of::<Deposited>().next().unwrap().amount, amount);
                }
            })
        });
        for writer in join_all(writers).await {
            writer.unwrap();
        }
        let stored = events_of(runtime.storage(), &key(id)).await;
        assert_eq!(stored.len(), 256);
        assert_gapless(&stored);
        let mut balance = 0;
        let mut amounts = BTreeSet::new();
        for (index, event) in stored.iter().enumerate() {
            let event: Deposited = decode(event);
            assert_eq!((event.balance_before, event.events_before), (balance, index as u32));
            balance += event.amount;
            assert!(amounts.insert(event.amount), "{} was stored twice", event.amount);
        }
        assert!(faults.struck() > 0);
        runtime.shutdown().await.unwrap();
    }

    async fn c10_an_external_id_makes_a_command_idempotent(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let first = runtime.send::<Account>(id, Deposit { amount: 7 }).external_id("order-1").await.unwrap();
        assert!(!first.already_processed());
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        let runs = handler_runs(id);
        let again = runtime.send::<Account>(id, Deposit { amount: 7 }).external_id("order-1").await.unwrap();
        assert!(again.already_processed());
        assert_eq!(again.events(), first.events());
        assert_eq!(handler_runs(id), runs, "nothing runs");
        // Another stream, another id: nothing in common.
        let other = Uuid::new_v4();
        assert!(!runtime.send::<Account>(other, Deposit { amount: 7 }).external_id("order-1").await.unwrap().already_processed());
        assert!(!runtime.send::<Account>(id, Deposit { amount: 7 }).external_id("order-2").await.unwrap().already_processed());
        // A rejection is no answer that is kept: the caller may try again.
        runtime.send::<Account>(other, Withdraw { amount: 99 }).external_id("w").await.unwrap_err();
        runtime.send::<Account>(other, Deposit { amount: 92 }).await.unwrap();
        assert!(!runtime.send::<Account>(other, Withdraw { amount: 99 }).external_id("w").await.unwrap().already_processed());
        // A command that returns no event is remembered as well.
        runtime.send::<Account>(id, DoNothing {}).external_id("nothing").await.unwrap();
        assert!(runtime.send::<Account>(id, DoNothing {}).external_id("nothing").await.unwrap().already_processed());
        // The memory survives a restart.
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        let again = runtime.send::<Account>(id, Deposit { amount: 7 }).external_id("order-1").await.unwrap();
        assert!(again.already_processed());
        assert_eq!(again.events(), first.events());
        runtime.shutdown().await.unwrap();
    }

    async fn c10_a_race_of_equal_ids_runs_once(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        for round in 0..10 {
            let id = Uuid::new_v4();
            if round % 2 == 0 {
                faults.next("account", [Fault::Delay(Duration::from_millis(5))]);
            }
            let callers = (0..16).map(|_| {
                let runtime = runtime.clone();
                tokio::spawn(async move { runtime.send::<Account>(id, Deposit { amount: 5 }).external_id("once").await.unwrap() })
            });
            let receipts: Vec<_> = join_all(callers).await.into_iter().map(Result::unwrap).collect();
            assert_eq!(receipts.iter().filter(|receipt| !receipt.already_processed()).count(), 1);
            for receipt in &receipts {
                assert_eq!(receipt.events(), receipts[0].events());
            }
            assert_eq!(handler_runs(id), 1);
            assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 5);
        }
        runtime.shutdown().await.unwrap();
    }

    /// The first caller went away, and its command is stored between the second one's look-up and its load: what the
    /// second one then meets, a mismatch or a rejection, is its own first run.
    async fn c1_c10_a_repeat_after_a_cancel_is_no_mismatch(store) {
        let faults = Faults::new();
        let rig = Rig::new();
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        // Where two programs may share a store, the repeat comes by the other one, and looks before the first is stored.
        let shared = matches!(store, Store::Memory(_));
        let other = if shared {
            faults.describe(&store, Rig::new().builder()).build().await.unwrap()
        } else {
            runtime.clone()
        };
        for round in 0..2u64 {
            let id = Uuid::new_v4();
            let send = move |runtime: Runtime| async move {
                if round == 0 {
                    let deposit = runtime.send::<Account>(id, Deposit { amount: 5 });
                    deposit.expect_sequence(0).external_id("once").await
                } else {
                    // Its own repeat would be rejected: the account is open.
                    runtime.send::<Account>(id, OpenAccount { owner: "Ada".into() }).external_id("once").await
                }
            };
            faults.next("account", [Fault::Hold]);
            let (struck, lookups, head) = (faults.struck(), faults.lookups(), runtime.storage().head());
            let first = tokio::spawn(send(runtime.clone()));
            eventually("the first one is being stored", async || faults.struck() == struck + 1).await;
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
            faults.hold_lookups(shared);
            let second = tokio::spawn(send(other.clone()));
            if shared {
                eventually("the second one has looked", async || faults.lookups() == lookups + 2).await;
            }
            faults.release();
            eventually("the first one is stored", async || runtime.storage().head() == head + 1).await;
            faults.hold_lookups(false);
            let receipt = second.await.unwrap().unwrap();
            assert!(receipt.already_processed());
            assert_eq!((receipt.events()[0].sequence, receipt.next_sequence()), (0, 1));
            assert_eq!(events_of(runtime.storage(), &key(id)).await.len(), 1);
            // Subscribers get what nobody waited for.
            runtime.settled().await;
            assert_eq!(rig.journal.sequences(id), [0]);
        }
        runtime.shutdown().await.unwrap();
    }

    /// `select!` borrows a future, polls it, and goes on with something else: here with the same stream.
    async fn c9_a_command_that_is_kept_and_not_polled_holds_up_nobody(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        faults.next("account", [Fault::Hold]);
        let mut kept = std::pin::pin!(runtime.send::<Account>(id, Deposit { amount: 1 }).into_future());
        assert!(futures_util::poll!(&mut kept).is_pending());
        // These wait for their turn, and are not polled when it comes.
        let mut in_line = std::pin::pin!(runtime.send::<Account>(id, Deposit { amount: 2 }).into_future());
        assert!(futures_util::poll!(&mut in_line).is_pending());
        let entry = runtime.clone();
        let mut dynamic = std::pin::pin!(entry.handle_command(request(account(id), [page(&Deposit { amount: 3 })])));
        assert!(futures_util::poll!(&mut dynamic).is_pending());
        faults.release();
        let other = runtime.send::<Account>(id, Deposit { amount: 4 }).into_future();
        let other = tokio::time::timeout(Duration::from_secs(20), other).await.expect("nobody holds it up").unwrap();
        assert_eq!(other.next_sequence(), 4);
        assert_eq!(kept.await.unwrap().next_sequence(), 1);
        assert_eq!(in_line.await.unwrap().next_sequence(), 2);
        assert_eq!(dynamic.await.unwrap().events.unwrap().next_sequence, 3);
        runtime.shutdown().await.unwrap();
    }
}

/// Two runtimes on one store, as two processes would be: each one's cached state goes stale under the other's writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_c9_two_runtimes_on_one_store_race_safely() {
    let store = Store::memory();
    let (left, right) = (start(&store).await, start(&store).await);
    let id = Uuid::new_v4();
    let write = |runtime: Runtime, sign: i64| {
        tokio::spawn(async move {
            for n in 1..=200 {
                runtime.send::<Account>(id, Deposit { amount: 1_000 + sign * n }).await.unwrap();
                if n % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let (first, second) = tokio::join!(write(left.clone(), 1), write(right.clone(), -1));
    first.unwrap();
    second.unwrap();
    let stored = events_of(left.storage(), &key(id)).await;
    assert_eq!(stored.len(), 400);
    assert_gapless(&stored);
    let mut balance = 0;
    for event in &stored {
        let event: Deposited = decode(event);
        assert_eq!(event.balance_before, balance);
        balance += event.amount;
    }
    assert_eq!(left.state::<Account>(id).await.unwrap().balance, 400_000);
    assert_eq!(right.state::<Account>(id).await.unwrap().balance, 400_000);
    left.shutdown().await.unwrap();
    right.shutdown().await.unwrap();
}

/// A state that went stale under another writer costs a reload, never a wrong answer: refusals and empty answers included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_c6_a_stale_state_refuses_nobody() {
    let store = Store::memory();
    stale_state_refuses_nobody(start(&store).await, start(&store).await).await;
    // Again with a store that does not answer at once.
    let store = Store::memory();
    let slow = async || Faults::new().describe(&store, Rig::new().builder()).build().await.unwrap();
    stale_state_refuses_nobody(slow().await, slow().await).await;
}

async fn stale_state_refuses_nobody(left: Runtime, right: Runtime) {
    let id = Uuid::new_v4();
    left.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    right.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
    let receipt = left.send::<Account>(id, Withdraw { amount: 5 }).await.unwrap();
    assert_eq!(receipt.events_of::<Withdrawn>().next().unwrap().balance_before, 11);
    // By the wire as well.
    right.send::<Account>(id, Deposit { amount: 100 }).await.unwrap();
    left.handle_command(request(account(id), [page(&Withdraw { amount: 50 })])).await.unwrap();
    // So is what a book expects: every page of it was right, and only our state was stale.
    right.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    let book = [page(&Deposit { amount: 1 }).expecting(6), page(&Withdraw { amount: 1 }).expecting(7)];
    left.handle_command(request(account(id), book)).await.unwrap();
    right.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(8).await.unwrap();
    // One that nobody ever was right about is told what is true now.
    left.send::<Account>(id, Deposit { amount: 1 }).expect_sequence(9).await.unwrap();
    let book = [page(&Deposit { amount: 1 }).expecting(9), page(&Withdraw { amount: 1 }).expecting(10)];
    let error = right.handle_command(request(account(id), book)).await.unwrap_err();
    assert_eq!((error.code(), error.event_book().unwrap().next_sequence), ("SEQUENCE_MISMATCH", 10));
    // An answer without events is an answer, too: the right one does not know yet that it is frozen.
    right.send::<Account>(id, DoNothing {}).await.unwrap();
    left.send::<Account>(id, Freeze {}).await.unwrap();
    let receipt = right.send::<Account>(id, Freeze {}).await.unwrap();
    assert_eq!((receipt.events().len(), receipt.next_sequence()), (0, 11));
    left.shutdown().await.unwrap();
    right.shutdown().await.unwrap();
}

/// The same id through two runtimes at once: the store's own check decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_equal_ids_through_two_runtimes_store_once() {
    let store = Store::memory();
    let (left, right) = (start(&store).await, start(&store).await);
    for _ in 0..50 {
        let id = Uuid::new_v4();
        let (a, b) = tokio::join!(
            left.send::<Account>(id, Deposit { amount: 5 }).external_id("once").into_future(),
            right.send::<Account>(id, Deposit { amount: 5 }).external_id("once").into_future(),
        );
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.events(), b.events());
        assert!(a.already_processed() != b.already_processed());
        assert_eq!(events_of(left.storage(), &key(id)).await.len(), 1);
    }
    left.shutdown().await.unwrap();
    right.shutdown().await.unwrap();
}

/// One SQLite file has one owner: a second runtime is refused at its start, and the first goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c9_a_second_runtime_on_one_file_is_refused() {
    let store = Store::sqlite();
    let runtime = start(&store).await;
    let id = Uuid::new_v4();
    runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    let error = store.describe(Rig::new().builder()).build().await.unwrap_err();
    let Error::Storage(error) = &error else { panic!("{error}") };
    assert_eq!(error.kind, StorageErrorKind::Locked);
    runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    runtime.shutdown().await.unwrap();
    let runtime = start(&store).await;
    assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 2);
    runtime.shutdown().await.unwrap();
}
