//! S: sync modes.

use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandPageExt as _, PageHeaderExt as _};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::{Trouble, balance_row};
use angzarr_tests::rig::{account, eventually, page, request};
use angzarr_tests::store::events_of;
use angzarr_tests::{Rig, on_every_store};
use prost::Message as _;

const SIMPLE: i32 = proto::SyncMode::Simple as i32;
const ASYNC: i32 = proto::SyncMode::Async as i32;

/// A rig whose journal is stuck at the first event of `id`.
fn stuck_at(id: Uuid, sequence: u32) -> Rig {
    let rig = Rig::new();
    rig.journal.trouble(id, sequence, Trouble::Stuck);
    rig
}

/// Whoever does not wait for the test has handled what is stored.
async fn all_but_the_journal_have_come_to_the_end(runtime: &Runtime) {
    let others_are_done =
        async || runtime.subscriptions().iter().all(|status| status.name == "journal" || status.lag == 0);
    eventually("the others are done", others_are_done).await;
}

on_every_store! {
    async fn s1_s2_the_answer_does_not_wait(store) {
        let id = Uuid::new_v4();
        let rig = stuck_at(id, 0);
        let runtime = rig.start(&store).await;
        for mode in [SyncMode::Async, SyncMode::Decision] {
            let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).sync(mode).await.unwrap();
            assert!(receipt.projections().is_empty());
            assert!(receipt.missing().is_empty());
        }
        // Persisted before the answer; accept or reject is the answer.
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("account", id)).await.len(), 2);
        let refused = runtime.send::<Account>(id, Withdraw { amount: 9 }).sync(SyncMode::Decision).await.unwrap_err();
        assert_eq!(refused.code(), "REJECTED");
        assert!(rig.journal.seen().is_empty());
        rig.journal.no_more_trouble(id, 0);
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(id), [0, 1], "later, and all of them");
        runtime.shutdown().await.unwrap();
    }

    async fn s3_simple_reads_its_own_writes(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        let mut balance = 0;
        for amount in 1..=30 {
            let receipt = runtime.send::<Account>(id, Deposit { amount }).sync(SyncMode::Simple).await.unwrap();
            balance += amount;
            let sequence = receipt.events()[0].sequence;
            assert!(receipt.missing().is_empty());
            // The projections are in the answer …
            assert_eq!(receipt.projections_of::<BalanceView>("balances").next().unwrap().balance, balance);
            let seen = receipt.projections_of::<SeenView>("journal").next().unwrap();
            assert_eq!((seen.sequence, &*seen.event), (sequence, "test.Deposited"));
            assert!(receipt.projections().iter().all(|projection| projection.sequence == sequence));
            // … and the rows are where a query finds them.
            assert_eq!(balance_row(&rig.model, id).await, Some((balance, sequence + 1, sequence)));
        }
        // By the wire.
        let request = proto::CommandRequest { sync_mode: SIMPLE, ..request(account(id), [page(&Withdraw { amount: 65 })]) };
        let response = runtime.handle_command(request).await.unwrap();
        let found = response.projections.iter().find(|projection| projection.projector == "balances").unwrap();
        let view = BalanceView::decode(found.projection.as_ref().unwrap().value.as_slice()).unwrap();
        assert_eq!((view.balance, found.sequence), (balance - 65, 30));
        // An event that no projector wants is waited for by nobody.
        let receipt = runtime.send::<Account>(id, Note { text: "x".into() }).sync(SyncMode::Simple).await.unwrap();
        assert!(receipt.projections().is_empty() && receipt.missing().is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn s5_isolated_is_seen_by_nobody_ever(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (id, to) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 10 }).sync(SyncMode::Isolated).await.unwrap();
        let money = SendMoney { to: to.as_bytes().to_vec(), amount: 2, copies: 1, ..Default::default() };
        runtime.send::<Account>(id, money).sync(SyncMode::Isolated).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 100 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 109, "the state has them");
        assert_eq!(rig.journal.sequences(id), [0, 3]);
        assert_eq!(rig.everywhere.sequences(id), [0, 3]);
        assert!(events_of(runtime.storage(), &StreamKey::main("ledger", to)).await.is_empty());
        // Not even later: a new read model that begins at the start of the store.
        runtime.shutdown().await.unwrap();
        let fresh = Rig::new();
        let runtime = fresh.start(&store).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        runtime.settled().await;
        assert_eq!(balance_row(&fresh.model, id).await, Some((102, 3, 4)));
        assert!(events_of(runtime.storage(), &StreamKey::main("ledger", to)).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn s6_a_page_overrides_the_request(store) {
        let id = Uuid::new_v4();
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let deposit = || page(&Deposit { amount: 1 });
        let with = |mode| deposit().with_header(proto::PageHeader::default().with_sync_mode(mode));
        let send = async |sync_mode, page| {
            let request = proto::CommandRequest { sync_mode, ..request(account(id), [page]) };
            runtime.handle_command(request).await.unwrap()
        };
        assert!(!send(SIMPLE, deposit()).await.projections.is_empty(), "unset inherits");
        assert!(!send(ASYNC, with(proto::SyncMode::Simple)).await.projections.is_empty());
        assert!(send(ASYNC, deposit()).await.projections.is_empty());
        rig.journal.trouble(id, 3, Trouble::Stuck);
        // Does not wait, though the request says so.
        assert!(send(SIMPLE, with(proto::SyncMode::Async)).await.projections.is_empty());
        rig.journal.no_more_trouble(id, 3);
        runtime.settled().await;
        send(SIMPLE, with(proto::SyncMode::Isolated)).await;
        send(SIMPLE, deposit()).await;
        assert_eq!(rig.journal.sequences(id), [0, 1, 2, 3, 5]);
        runtime.shutdown().await.unwrap();
    }

    /// The mode of a page counts for that command only, not for its neighbours in the book.
    async fn s6_each_page_of_a_book_has_its_own_mode(store) {
        let id = Uuid::new_v4();
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let with = |mode| page(&Deposit { amount: 1 }).with_header(proto::PageHeader::default().with_sync_mode(mode));
        let pages = [with(proto::SyncMode::Async), with(proto::SyncMode::Isolated), with(proto::SyncMode::Simple)];
        let response = runtime.handle_command(request(account(id), pages)).await.unwrap();
        assert!(response.projections.iter().all(|projection| projection.sequence == 2), "{:?}", response.projections);
        assert!(!response.projections.is_empty());
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(id), [0, 2]);
        runtime.shutdown().await.unwrap();
    }

    /// A slow projector of other events, and a crowd of other writers, hold up nobody.
    async fn s9_simple_waits_for_these_events_and_no_others(store) {
        let (id, slow) = (Uuid::new_v4(), Uuid::new_v4());
        let rig = Rig::new();
        rig.tagger.trouble(slow, 0, Trouble::Stuck);
        let builder = rig.builder().sync_deadline(Duration::from_secs(600));
        let runtime = store.describe(builder).build().await.unwrap();
        runtime.send::<Account>(slow, AddTag { tag: "x".into() }).await.unwrap();
        let crowd: Vec<_> = (0..8)
            .map(|_| {
                let (runtime, other) = (runtime.clone(), Uuid::new_v4());
                tokio::spawn(async move {
                    for _ in 0..20 {
                        runtime.send::<Account>(other, Deposit { amount: 1 }).await.unwrap();
                    }
                })
            })
            .collect();
        for n in 1..=10i64 {
            let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
            assert!(receipt.missing().is_empty());
            assert_eq!(receipt.projections_of::<BalanceView>("balances").next().unwrap().balance, n);
        }
        for task in crowd {
            task.await.unwrap();
        }
        assert!(rig.tagger.seen().is_empty(), "it is still stuck");
        rig.tagger.no_more_trouble(slow, 0);
        runtime.shutdown().await.unwrap();
    }

    async fn s9_past_the_deadline_the_answer_says_who_is_missing(store) {
        let id = Uuid::new_v4();
        let rig = stuck_at(id, 0);
        let builder = rig.builder().sync_deadline(Duration::from_millis(300));
        let runtime = store.describe(builder).build().await.unwrap();
        let send = |external, mode| runtime.send::<Account>(id, Deposit { amount: 4 }).external_id(external).sync(mode);
        send("d-1", SyncMode::Async).await.unwrap();
        all_but_the_journal_have_come_to_the_end(&runtime).await;
        let receipt = send("d-1", SyncMode::Simple).await.unwrap();
        let missing: Vec<_> = receipt.missing().iter().map(|it| (it.component.as_str(), it.sequence, it.reason.clone())).collect();
        assert_eq!(missing, [("journal", 0, None)]);
        assert_eq!(receipt.done(), ["balances", "everywhere", "tally"], "who has them, says so");
        // The events are stored all the same, and are handled in the end.
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("account", id)).await.len(), 1);
        rig.journal.no_more_trouble(id, 0);
        send("d-2", SyncMode::Async).await.unwrap();
        runtime.settled().await;
        for external in ["d-1", "d-2"] {
            let receipt = send(external, SyncMode::Simple).await.unwrap();
            assert!(receipt.missing().is_empty());
        }
        assert_eq!(rig.journal.sequences(id), [0, 1]);
        runtime.shutdown().await.unwrap();
    }

    /// Who has the events is told apart from who is not concerned; the wire says who is missing.
    async fn s9_the_answer_says_who_has_the_events_on_the_wire_too(store) {
        let (id, parked) = (Uuid::new_v4(), Uuid::new_v4());
        let rig = stuck_at(id, 0);
        rig.balances.trouble(parked, 0, Trouble::Permanent);
        let builder = rig.builder().sync_deadline(Duration::from_millis(300));
        let runtime = store.describe(builder).build().await.unwrap();
        let send = |id, mode| runtime.send::<Account>(id, Deposit { amount: 4 }).external_id("d-1").sync(mode);
        send(id, SyncMode::Async).await.unwrap();
        all_but_the_journal_have_come_to_the_end(&runtime).await;
        let receipt = send(id, SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.done(), ["balances", "everywhere", "tally"], "tally answers no projection, tagger is not concerned");
        assert!(receipt.projections().iter().all(|it| it.projector != "tally"));
        let errors = receipt.into_response().cascade_errors;
        assert_eq!(errors.len(), 1);
        assert_eq!((errors[0].component_name.as_str(), errors[0].component_type.as_str()), ("journal", "projector"));
        assert_eq!(errors[0].source_domain, "account");
        assert!(errors[0].error_message.contains("#0") && errors[0].error_message.contains("deadline"), "{errors:?}");
        rig.journal.no_more_trouble(id, 0);
        send(parked, SyncMode::Async).await.unwrap();
        runtime.settled().await;
        let again = page(&Deposit { amount: 4 }).with_header(proto::PageHeader::external("d-1", ""));
        let request = proto::CommandRequest { sync_mode: SIMPLE, ..request(account(parked), [again]) };
        let errors = runtime.handle_command(request).await.unwrap().cascade_errors;
        assert_eq!((errors.len(), errors[0].component_name.as_str()), (1, "balances"));
        assert!(errors[0].error_message.contains("trouble for good"), "{errors:?}");
        runtime.shutdown().await.unwrap();
    }

    /// A command that comes again waits for the same events as the first time.
    async fn s3_c10_a_repeat_reads_its_writes(store) {
        let (id, parked) = (Uuid::new_v4(), Uuid::new_v4());
        let rig = stuck_at(id, 0);
        rig.balances.trouble(parked, 0, Trouble::Permanent);
        let builder = rig.builder().sync_deadline(Duration::from_secs(600));
        let runtime = store.describe(builder).build().await.unwrap();
        let send = |id, mode| runtime.send::<Account>(id, Deposit { amount: 4 }).external_id("d-1").sync(mode);
        send(id, SyncMode::Async).await.unwrap();
        let repeat = async {
            let receipt = send(id, SyncMode::Simple).await.unwrap();
            (receipt, rig.journal.sequences(id))
        };
        let release = async {
            eventually("it is stuck", async || rig.journal.tries(id, 0) > 0).await;
            rig.journal.no_more_trouble(id, 0);
        };
        let ((receipt, seen), ()) = tokio::join!(repeat, release);
        assert!(receipt.already_processed() && receipt.missing().is_empty());
        assert_eq!(seen, [0], "before the answer");
        assert_eq!(receipt.done(), ["balances", "everywhere", "journal", "tally"]);
        // Everybody has passed the event already: nobody is waited for.
        runtime.settled().await;
        let receipt = send(id, SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.done(), ["balances", "everywhere", "journal", "tally"]);
        // Passed, but not handled.
        send(parked, SyncMode::Async).await.unwrap();
        runtime.settled().await;
        let receipt = send(parked, SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.done(), ["everywhere", "journal", "tally"]);
        assert_eq!(receipt.missing()[0].component, "balances");
        assert!(receipt.missing()[0].reason.as_deref().unwrap().contains("trouble for good"));
        runtime.shutdown().await.unwrap();
    }

    /// The runtime stops while a command waits: it is answered, with who has not handled its events.
    async fn s9_r6_a_shutdown_ends_the_wait(store) {
        let id = Uuid::new_v4();
        let rig = stuck_at(id, 0);
        let builder = rig.builder().sync_deadline(Duration::from_secs(3_600)).drain_limit(Duration::from_millis(100));
        let runtime = store.describe(builder).build().await.unwrap();
        let answer = runtime.send::<Account>(id, Deposit { amount: 4 }).sync(SyncMode::Simple).into_future();
        let stop = async {
            eventually("it is stuck", async || rig.journal.tries(id, 0) > 0).await;
            runtime.clone().shutdown().await.unwrap();
        };
        let both = async { tokio::join!(answer, stop) };
        let (receipt, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("no waiting in vain");
        let receipt = receipt.unwrap();
        let missing = &receipt.missing()[0];
        assert_eq!((receipt.missing().len(), missing.component.as_str()), (1, "journal"));
        assert!(missing.reason.as_deref().unwrap().contains("stopped"), "{missing:?}");
    }

    /// A projector that gave up says so at once; nobody waits for the deadline.
    async fn s9_a_parked_event_is_missing_with_its_reason(store) {
        let id = Uuid::new_v4();
        let rig = Rig::new();
        rig.journal.trouble(id, 0, Trouble::Permanent);
        let builder = rig.builder().sync_deadline(Duration::from_secs(600));
        let runtime = store.describe(builder).build().await.unwrap();
        for sequence in 0..2 {
            let answer = runtime.send::<Account>(id, Deposit { amount: 4 }).sync(SyncMode::Simple).into_future();
            let receipt = tokio::time::timeout(Duration::from_secs(20), answer).await.expect("no waiting in vain").unwrap();
            let missing = &receipt.missing()[0];
            assert_eq!((missing.component.as_str(), missing.sequence), ("journal", sequence));
            assert!(missing.reason.as_deref().unwrap().contains("parked"), "{missing:?}");
            assert_eq!(receipt.missing().len(), 1);
            let balance = receipt.projections_of::<BalanceView>("balances").next().unwrap().balance;
            assert_eq!(balance, 4 * (i64::from(sequence) + 1), "who has them, says so");
        }
        runtime.shutdown().await.unwrap();
    }

    /// A caller that goes away while it waits leaves nothing behind that would hold up others.
    async fn s9_a_cancelled_wait_harms_nobody(store) {
        let id = Uuid::new_v4();
        let rig = stuck_at(id, 0);
        let builder = rig.builder().sync_deadline(Duration::from_secs(600));
        let runtime = store.describe(builder).build().await.unwrap();
        let answer = runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).into_future();
        let stuck = eventually("it is stuck", async || rig.journal.tries(id, 0) > 0);
        tokio::select! {
            _ = answer => panic!("it is stuck"),
            () = stuck => {}
        }
        rig.journal.no_more_trouble(id, 0);
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.events()[0].sequence, 1);
        assert!(receipt.missing().is_empty());
        runtime.shutdown().await.unwrap();
    }
}
