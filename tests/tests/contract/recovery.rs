//! R: what a restart finds, and how a runtime stops. The kill -9 test is `tests/crash.rs`.

use std::time::Duration;

use angzarr_runtime::Checkpoint;
use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::{Trouble, balance_row};
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{assert_gapless, events_of, plant, stored};
use angzarr_tests::{Fault, Faults, Rig, on_every_store};

fn money(to: Uuid) -> SendMoney {
    SendMoney { to: to.as_bytes().to_vec(), amount: 5, copies: 1, ..Default::default() }
}

on_every_store! {
    /// Events that were stored by a process which died before any reaction ran.
    async fn r1_reactions_that_had_not_run_run_after_a_restart(store) {
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        let sent = MoneySent { to: to.as_bytes().to_vec(), amount: 5, copies: 2, ..Default::default() };
        store.plant(&StreamKey::main("account", from), vec![stored(&sent, 1), stored(&Deposited { amount: 9, ..Default::default() }, 1)]).await;
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 10);
        assert_eq!(rig.journal.sequences(from), [0, 1]);
        assert_eq!(balance_row(&rig.model, from).await, Some((4, 2, 1)));
        runtime.shutdown().await.unwrap();
    }

    /// The log cannot be read for a while: commands go on, reactions follow when it is back.
    async fn r1_reactions_catch_up_after_an_outage(store) {
        let faults = Faults::new();
        let rig = Rig::new();
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        faults.log_is_down(true);
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        for _ in 0..10 {
            runtime.send::<Account>(from, money(to)).await.unwrap();
        }
        assert!(rig.journal.seen().is_empty());
        faults.log_is_down(false);
        runtime.settled().await;
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 50);
        assert_eq!(rig.journal.sequences(from), (0..10).collect::<Vec<_>>());
        runtime.shutdown().await.unwrap();
    }

    /// The target's store refuses for a while: the saga's event is not given up, nothing is doubled.
    async fn r1_a_failing_store_delays_a_saga_and_loses_nothing(store) {
        let faults = Faults::new();
        let rig = Rig::new();
        let builder = rig.builder().reaction_attempts(1);
        let runtime = faults.describe(&store, builder).build().await.unwrap();
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        faults.next("ledger", [
            Fault::Fail(angzarr_runtime::storage::StorageErrorKind::Unavailable),
            Fault::FailAfter,
            Fault::Fail(angzarr_runtime::storage::StorageErrorKind::Unavailable),
            Fault::FailAfter,
        ]);
        for _ in 0..5 {
            runtime.send::<Account>(from, money(to)).await.unwrap();
        }
        eventually("every booking is there", async || runtime.state::<Ledger>(to).await.unwrap().total == 25).await;
        runtime.settled().await;
        let booked = events_of(runtime.storage(), &StreamKey::main("ledger", to)).await;
        assert_eq!(booked.len(), 5);
        assert_gapless(&booked);
        assert!(runtime.dead_letters().list(&Default::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// A disk that is full says nothing about a command.
    async fn r1_g3_a_broken_store_dead_letters_no_healthy_command(store) {
        let faults = Faults::new();
        let rig = Rig::new();
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        faults.next("ledger", [Fault::Fail(angzarr_runtime::storage::StorageErrorKind::Failed); 2]);
        runtime.send::<Account>(from, money(to)).await.unwrap();
        runtime.settled().await;
        assert_eq!(faults.struck(), 2);
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 5);
        assert!(runtime.dead_letters().list(&Default::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// A start that fails leaves nothing running and the store free.
    async fn r1_a_failed_start_leaves_nothing_running(store) {
        let id = Uuid::new_v4();
        store.plant(&StreamKey::main("account", id), vec![stored(&Deposited { amount: 1, ..Default::default() }, 1)]).await;
        let broken = Rig::new();
        let elsewhere = Checkpoint { store: Uuid::new_v4(), position: 1 };
        broken.tally.set_checkpoint("tally", elsewhere);
        let error = store.describe(broken.builder()).build().await.unwrap_err();
        assert_eq!(error.code(), "READ_MODEL");
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(rig.tally.count(id), 1);
        runtime.shutdown().await.unwrap();
        assert!(broken.journal.seen().is_empty(), "none of the others ran before");
    }

    /// Events that appear in the store without an announcement (another process, a lost wake-up) are found.
    async fn r1_a_lost_wake_up_costs_latency_only(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        plant(runtime.storage(), &StreamKey::main("account", id), vec![stored(&Deposited { amount: 2, ..Default::default() }, 1)], i64::MAX / 4).await;
        eventually("it is seen", async || rig.journal.sequences(id) == [0, 1]).await;
        // The stale cache costs a reload, not a wrong answer.
        let receipt = runtime.send::<Account>(id, Deposit { amount: 4 }).await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 3);
        runtime.shutdown().await.unwrap();
    }

    /// A transport that has gone wakes nobody: events are found by looking now and then, not by looking without a pause.
    async fn r1_a_transport_that_has_gone_costs_latency_only(store) {
        struct Gone;
        impl angzarr_runtime::transport::Transport for Gone {
            fn describe(&self) -> String {
                "gone".into()
            }
            fn announce(&self, _: u64) {}
            fn listen(&self) -> tokio::sync::watch::Receiver<u64> {
                tokio::sync::watch::Sender::new(0).subscribe()
            }
        }
        let (faults, rig, id) = (Faults::new(), Rig::new(), Uuid::new_v4());
        let runtime = faults.describe(&store, rig.builder().transport(Gone)).build().await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.settled().await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(id), [0, 1]);
        assert!(faults.looks() < 1_000, "{} looks for two events", faults.looks());
        runtime.shutdown().await.unwrap();
    }

    async fn r6_shutdown_drains(store) {
        let faults = Faults::new();
        let rig = Rig::new();
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        for _ in 0..10 {
            runtime.send::<Account>(from, money(to)).await.unwrap();
        }
        // A command that is under way when the shutdown begins is answered.
        faults.next("account", [Fault::Delay(Duration::from_millis(200))]);
        let other = runtime.clone();
        let id = Uuid::new_v4();
        let under_way = tokio::spawn(async move { other.send::<Account>(id, Deposit { amount: 7 }).await });
        eventually("the command is at the store", async || faults.struck() == 1).await;
        let handle = runtime.clone();
        runtime.shutdown().await.unwrap();
        assert_eq!(under_way.await.unwrap().unwrap().next_sequence(), 1);
        // No more work is taken; other handles say so.
        let error = handle.send::<Account>(id, Deposit { amount: 1 }).await.unwrap_err();
        assert_eq!(error.code(), "SHUTTING_DOWN");
        assert!(error.is_retryable());
        handle.clone().shutdown().await.unwrap();
        drop(handle);
        // Nothing is lost: neither the events nor what they cause.
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 7);
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 50);
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("ledger", to)).await.len(), 10);
        runtime.shutdown().await.unwrap();
    }

    /// What an operator does with a letter is finished before the store is closed, and nothing of it begins afterwards.
    async fn r6_d2_a_shutdown_waits_for_the_desk(store) {
        for discard in [false, true] {
            let rig = Rig::new();
            let id = Uuid::new_v4();
            rig.balances.trouble(id, 0, Trouble::Permanent);
            let runtime = store.describe(rig.builder().drain_limit(Duration::from_secs(600))).build().await.unwrap();
            for amount in [1, 10] {
                runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
            }
            runtime.settled().await;
            // The event that runs meanwhile: the letter's own, or the one behind it.
            let stuck = u32::from(discard);
            rig.balances.no_more_trouble(id, 0);
            rig.balances.trouble(id, stuck, Trouble::Stuck);
            let tries = rig.balances.tries(id, stuck);
            let desk = runtime.dead_letters();
            let letters = desk.list(&DeadLetterFilter::default()).await.unwrap();
            let (of_operator, letter) = (desk.clone(), letters[0].id);
            let under_way = tokio::spawn(async move {
                if discard { of_operator.discard(letter, "not worth it").await } else { of_operator.retry(letter).await }
            });
            eventually("it is stuck", async || rig.balances.tries(id, stuck) > tries).await;
            let mut ending = Box::pin(runtime.shutdown());
            assert!(futures_util::poll!(&mut ending).is_pending());
            // Half a second only bounds how long a shutdown that does not wait may take to show it.
            tokio::time::timeout(Duration::from_millis(500), &mut ending).await.expect_err("the desk is at work");
            assert_eq!(desk.retry(letters[1].id).await.unwrap_err().code(), "SHUTTING_DOWN");
            assert_eq!(desk.discard(letters[1].id, "too late").await.unwrap_err().code(), "SHUTTING_DOWN");
            rig.balances.no_more_trouble(id, stuck);
            under_way.await.unwrap().unwrap();
            ending.await.unwrap();
            assert_eq!(desk.retry(letter).await.unwrap_err().code(), "SHUTTING_DOWN");
            drop(desk);
            let runtime = rig.start(&store).await;
            runtime.settled().await;
            let wanted = if discard { (10, 1, 1) } else { (11, 2, 1) };
            assert_eq!(balance_row(&rig.model, id).await, Some(wanted));
            assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
            runtime.shutdown().await.unwrap();
        }
    }

    /// A second handle waits for the same end, and a caller that goes away does not stop it half-way.
    async fn r6_every_shutdown_has_the_same_end(store) {
        for cancelled in [false, true] {
            let (faults, rig, id) = (Faults::new(), Rig::new(), Uuid::new_v4());
            let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
            faults.next("account", [Fault::Delay(Duration::from_millis(200))]);
            let (sender, first, second) = (runtime.clone(), runtime.clone(), runtime);
            let under_way = tokio::spawn(async move { sender.send::<Account>(id, Deposit { amount: 7 }).await });
            eventually("the command is at the store", async || faults.struck() == 1).await;
            let mut first = Box::pin(first.shutdown());
            assert!(futures_util::poll!(&mut first).is_pending());
            let first = if cancelled { drop(first); None } else { Some(first) };
            second.shutdown().await.unwrap();
            // It ended after what ran was stored, and the store is free.
            let storage = store.open().await;
            assert_eq!(events_of(storage.as_ref(), &StreamKey::main("account", id)).await.len(), 1);
            storage.close().await.unwrap();
            if let Some(first) = first {
                first.await.unwrap();
            }
            assert_eq!(under_way.await.unwrap().unwrap().next_sequence(), 1);
        }
    }

    /// Whoever does not finish within the limit is left behind, and goes on after the restart.
    async fn r6_the_drain_has_a_limit(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        rig.journal.trouble(id, 1, Trouble::Stuck);
        let builder = rig.builder().drain_limit(Duration::from_millis(200));
        let runtime = store.describe(builder).build().await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        eventually("it is stuck", async || rig.journal.tries(id, 1) > 0).await;
        let handle = runtime.clone();
        tokio::time::timeout(Duration::from_secs(20), runtime.shutdown()).await.expect("it ends").unwrap();
        // Nobody handles the rest any more: there is nothing to wait for.
        tokio::time::timeout(Duration::from_secs(20), handle.settled()).await.expect("it ends");
        drop(handle);
        rig.journal.no_more_trouble(id, 1);
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert!(rig.journal.sequences(id).ends_with(&[1]));
        assert_eq!(balance_row(&rig.model, id).await, Some((2, 2, 1)));
        runtime.shutdown().await.unwrap();
    }

    /// Shutdown and restart, again and again, under load: every acknowledged event once.
    async fn r6_restarts_under_load_lose_and_double_nothing(store) {
        let rig = Rig::new();
        let ids: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
        let mut acknowledged = 0;
        for _ in 0..5 {
            let runtime = rig.start(&store).await;
            let writers: Vec<_> = ids
                .iter()
                .map(|&id| {
                    let runtime = runtime.clone();
                    tokio::spawn(async move {
                        let mut done = 0u32;
                        loop {
                            match runtime.send::<Account>(id, Deposit { amount: 1 }).await {
                                Ok(_) => done += 1,
                                Err(Error::ShuttingDown) => return done,
                                Err(error) => panic!("{error}"),
                            }
                            tokio::time::sleep(Duration::from_micros(200)).await;
                        }
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(60)).await;
            runtime.shutdown().await.unwrap();
            for writer in writers {
                acknowledged += writer.await.unwrap();
            }
        }
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        let mut stored = 0;
        for &id in &ids {
            let events = events_of(runtime.storage(), &StreamKey::main("account", id)).await;
            assert_gapless(&events);
            let count = events.len() as u32;
            stored += count;
            assert_eq!(balance_row(&rig.model, id).await, Some((i64::from(count), count, count - 1)));
            assert_eq!(rig.tally.count(id), i64::from(count));
        }
        assert_eq!(stored, acknowledged);
        runtime.shutdown().await.unwrap();
    }
}
