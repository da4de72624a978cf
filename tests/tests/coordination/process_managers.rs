//! P: process managers.

use std::collections::HashSet;

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::{IntentFilter, StorageErrorKind};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{assert_gapless, events_of};
use angzarr_tests::time::ManualClock;
use angzarr_tests::{Fault, Faults, Store, on_every_store};

use crate::domain::*;

async fn start(store: &Store, shop: &Shop) -> Runtime {
    store.describe(shop.builder()).build().await.expect("the runtime starts")
}

async fn story(runtime: &Runtime, correlation: &str) -> Vec<String> {
    runtime.process::<Checkout>(correlation).await.unwrap().into_state().story
}

async fn order_story(runtime: &Runtime, order: Uuid) -> Vec<String> {
    runtime.state::<Order>(order).await.unwrap().into_state().story
}

fn process(correlation: &str) -> StreamKey {
    StreamKey::main("checkout", root("checkout", correlation))
}

async fn letters(runtime: &Runtime) -> Vec<angzarr_runtime::dead_letter::DeadLetter> {
    runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap()
}

fn status(runtime: &Runtime) -> angzarr_runtime::SubscriptionStatus {
    runtime.subscriptions().into_iter().find(|it| it.name == "checkout").expect("the process manager")
}

on_every_store! {
    /// What a process has decided is in the log like everything else: a feed may be of it alone.
    async fn r7_p1_a_feed_of_processes(store) {
        let runtime = start(&store, &Shop::default()).await;
        let mut feed = runtime.feed("it").domains(["checkout"]).await.unwrap();
        runtime.send::<Order>(Uuid::new_v4(), place(0, 0, 50)).correlation("w").await.unwrap();
        for expected in ["coordination.Started", "coordination.Paid"] {
            let next = tokio::time::timeout(std::time::Duration::from_secs(20), feed.next()).await;
            let event = next.expect("an event comes").expect("it can be read");
            assert_eq!((&event.stream, event.event.type_name.as_str()), (&process("w"), expected));
        }
        let error = runtime.feed("other").domains(["chekout"]).await.unwrap_err();
        assert_eq!(error.code(), "UNKNOWN_DOMAIN");
        assert!(error.to_string().contains("did you mean `checkout`"), "{error}");
        runtime.shutdown().await.unwrap();
    }

    async fn p1_i1_a_trigger_gives_own_events_and_commands(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(0, 0, 50)).correlation("w").await.unwrap();
        runtime.settled().await;
        assert_eq!(story(&runtime, "w").await, ["started 50", "paid 50"]);
        let events = events_of(runtime.storage(), &process("w")).await;
        assert_gapless(&events);
        assert!(events.iter().all(|event| event.headers.correlation_id() == "w"));
        let paid = events_of(runtime.storage(), &StreamKey::main("payment", order)).await;
        assert_eq!((paid.len(), paid[0].headers.correlation_id()), (1, "w"));
        assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty(), "nothing is left to do");
        runtime.shutdown().await.unwrap();
    }

    /// The write of the process goes through, what it sends does not, and the runtime ends: after a restart it is sent, once.
    async fn p1_r1_what_was_decided_is_sent_after_a_restart(store) {
        let shop = Shop::default();
        let faults = Faults::new();
        let order = Uuid::new_v4();
        let runtime = faults.describe(&store, shop.builder()).build().await.unwrap();
        faults.next("payment", std::iter::repeat_n(Fault::Fail(StorageErrorKind::Unavailable), 200));
        runtime.send::<Order>(order, place(0, 0, 50)).correlation("w").await.unwrap();
        eventually("the process has decided", async || story(&runtime, "w").await == ["started 50"]).await;
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().times, 0);
        runtime.shutdown().await.unwrap();
        let runtime = start(&store, &shop).await;
        runtime.settled().await;
        assert_eq!(story(&runtime, "w").await, ["started 50", "paid 50"]);
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().times, 1);
        runtime.shutdown().await.unwrap();
    }

    /// Nothing is sent before what decided it is stored.
    async fn p1_nothing_is_sent_if_the_write_fails(store) {
        let shop = Shop::default();
        let faults = Faults::new();
        let order = Uuid::new_v4();
        let runtime = faults.describe(&store, shop.builder()).build().await.unwrap();
        faults.next("checkout", [Fault::Fail(StorageErrorKind::Unavailable), Fault::FailAfter, Fault::Conflict]);
        runtime.send::<Order>(order, place(0, 0, 50)).correlation("w").await.unwrap();
        eventually("it went through in the end", async || story(&runtime, "w").await.len() == 2).await;
        runtime.settled().await;
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().times, 1, "sent once");
        assert_eq!(story(&runtime, "w").await, ["started 50", "paid 50"]);
        runtime.shutdown().await.unwrap();
    }

    async fn p2_i2_an_event_without_a_correlation_id_is_skipped_and_counted(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(0, 0, 50)).await.unwrap();
        runtime.settled().await;
        assert_eq!(status(&runtime).skipped, 1);
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().times, 0);
        assert!(events_of(runtime.storage(), &process("")).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// Checkpoints get lost, every event comes again, three times over.
    async fn p3_the_same_trigger_is_handled_once(store) {
        let faults = Faults::new();
        faults.forget_checkpoints(true);
        let shop = Shop::default();
        let order = Uuid::new_v4();
        for round in 0..3 {
            let runtime = faults.describe(&store, shop.builder()).build().await.unwrap();
            if round == 0 {
                runtime.send::<Order>(order, place(0, 0, 50)).correlation("w").await.unwrap();
            }
            runtime.settled().await;
            assert_eq!(story(&runtime, "w").await, ["started 50", "paid 50"], "round {round}");
            assert_eq!(runtime.state::<Payment>(order).await.unwrap().times, 1, "round {round}");
            runtime.shutdown().await.unwrap();
        }
    }

    /// Many orders of one workflow at once: none is lost, none is doubled.
    async fn p4_triggers_of_one_correlation_id_are_serialised(store) {
        let runtime = start(&store, &Shop::default()).await;
        let sends = (0..40).map(|n| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                runtime.send::<Order>(Uuid::new_v4(), place(0, 0, 100 + n)).correlation("all").await.unwrap();
            })
        });
        for sent in sends.collect::<Vec<_>>() {
            sent.await.unwrap();
        }
        runtime.settled().await;
        let story = story(&runtime, "all").await;
        let unique: HashSet<_> = story.iter().collect();
        assert_eq!((story.len(), unique.len()), (80, 80), "{story:?}");
        assert_gapless(&events_of(runtime.storage(), &process("all")).await);
        runtime.shutdown().await.unwrap();
    }

    /// It outlives a restart, fires after its time and not before, and once.
    async fn p5_a_timeout_is_durable_and_fires_once(store) {
        let (shop, clock) = (Shop::default(), ManualClock::at(1_000));
        let order = Uuid::new_v4();
        let runtime = store.describe(shop.builder().clock(clock.clone())).build().await.unwrap();
        runtime.send::<Order>(order, place(0, 0, 13)).correlation("w").await.unwrap();
        runtime.settled().await;
        runtime.shutdown().await.unwrap();
        clock.set(1_899);
        let runtime = store.describe(shop.builder().clock(clock.clone())).build().await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(order_story(&runtime, order).await, ["placed"], "too early");
        clock.set(1_901);
        eventually("it fires", async || order_story(&runtime, order).await == ["placed", "cancelled: late"]).await;
        runtime.settled().await;
        runtime.shutdown().await.unwrap();
        let runtime = store.describe(shop.builder().clock(clock.clone())).build().await.unwrap();
        runtime.settled().await;
        assert_eq!(order_story(&runtime, order).await, ["placed", "cancelled: late"], "once");
        assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// The write of a firing goes through and its answer is lost: it is not fired again.
    async fn p5_r1_a_firing_whose_answer_is_lost_is_not_repeated(store) {
        let (shop, clock, faults) = (Shop::default(), ManualClock::at(1_000), Faults::new());
        let order = Uuid::new_v4();
        let runtime = faults.describe(&store, shop.builder().clock(clock.clone())).build().await.unwrap();
        runtime.send::<Order>(order, troubled("reminders", place(0, 0, 13))).correlation("w").await.unwrap();
        runtime.settled().await;
        faults.next("checkout", [Fault::FailAfter]);
        clock.set(1_011);
        eventually("reminded", async || story(&runtime, "w").await.contains(&"reminded 1".to_owned())).await;
        runtime.settled().await;
        clock.set(1_022);
        eventually("again", async || story(&runtime, "w").await.contains(&"reminded 2".to_owned())).await;
        clock.set(1_033);
        eventually("and again", async || story(&runtime, "w").await.contains(&"reminded 3".to_owned())).await;
        clock.set(2_000);
        runtime.settled().await;
        assert_eq!(story(&runtime, "w").await, ["started 13", "reminded 1", "reminded 2", "reminded 3"]);
        runtime.shutdown().await.unwrap();
    }

    async fn p5_a_timeout_is_moved_and_taken_back(store) {
        let (shop, clock) = (Shop::default(), ManualClock::at(1_000));
        let runtime = store.describe(shop.builder().clock(clock.clone())).build().await.unwrap();
        let (moved, taken_back) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Order>(moved, troubled("patient", place(0, 0, 13))).correlation("moved").await.unwrap();
        runtime.send::<Order>(taken_back, place(0, 0, 50)).correlation("back").await.unwrap();
        runtime.settled().await;
        let waiting = runtime.storage().intents(&IntentFilter::default()).await.unwrap();
        assert_eq!(waiting.len(), 1, "one was taken back with the payment: {waiting:?}");
        clock.set(1_000 + 901);
        tokio::time::sleep(Duration::from_millis(60)).await;
        runtime.settled().await;
        assert_eq!(order_story(&runtime, moved).await, ["placed"], "it was moved");
        clock.set(1_000 + 1_801);
        eventually("at its new time", async || order_story(&runtime, moved).await.len() == 2).await;
        assert_eq!(order_story(&runtime, taken_back).await, ["placed"]);
        runtime.shutdown().await.unwrap();
    }

    /// Paid in the very moment in which the timeout fires, many times over: whatever comes first, nothing is done twice.
    async fn p5_p4_a_timeout_races_with_what_takes_it_back(store) {
        let (shop, clock) = (Shop::default(), ManualClock::at(1_000));
        let runtime = store.describe(shop.builder().clock(clock.clone())).build().await.unwrap();
        let orders: Vec<Uuid> = (0..30).map(|_| Uuid::new_v4()).collect();
        for (n, order) in orders.iter().enumerate() {
            runtime.send::<Order>(*order, place(0, 0, 13)).correlation(format!("w{n}")).await.unwrap();
        }
        runtime.settled().await;
        let pays = orders.iter().enumerate().map(|(n, order)| {
            let (runtime, order) = (runtime.clone(), *order);
            tokio::spawn(async move {
                runtime.send::<Payment>(order, TakePayment { amount: 20 }).correlation(format!("w{n}")).await.unwrap();
            })
        });
        let pays: Vec<_> = pays.collect();
        clock.set(1_901);
        for pay in pays {
            pay.await.unwrap();
        }
        runtime.settled().await;
        for (n, order) in orders.iter().enumerate() {
            let cancelled = order_story(&runtime, *order).await.len() - 1;
            assert!(cancelled <= 1, "fired twice");
            assert_eq!(story(&runtime, &format!("w{n}")).await, ["started 13", "paid 20"]);
        }
        assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty());
        assert!(letters(&runtime).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// With the state of the process; a reaction without an event of its own too, and two of them are two.
    async fn p6_a_rejected_command_comes_back_to_its_process(store) {
        let runtime = start(&store, &Shop::default()).await;
        let (odd, even) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Order>(odd, place(0, 0, 5_001)).correlation("odd").await.unwrap();
        runtime.send::<Order>(even, troubled("two payments", place(0, 0, 5_002))).correlation("even").await.unwrap();
        runtime.settled().await;
        assert_eq!(story(&runtime, "odd").await, ["started 5001", "gave up: too_much: 5001 is too much"]);
        assert_eq!(order_story(&runtime, odd).await, ["placed", "cancelled: too_much 5001 of 1"]);
        // 5002 leaves no event of its own, 5003 does; both send.
        assert_eq!(story(&runtime, "even").await, ["started 5002", "gave up: too_much: 5003 is too much"]);
        assert_eq!(order_story(&runtime, even).await, ["placed", "cancelled: too_much 5002 of 1", "cancelled: too_much 5003 of 1"]);
        assert!(letters(&runtime).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// Also behind snapshots, and after a restart.
    async fn p7_a_process_that_is_over_ignores_what_comes(store) {
        let shop = Shop::default();
        let runtime = start(&store, &shop).await;
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(0, 0, 7)).correlation("w").await.unwrap();
        runtime.settled().await;
        let at_its_end = story(&runtime, "w").await;
        assert_eq!(at_its_end, ["started 7", "paid 7"]);
        runtime.send::<Order>(Uuid::new_v4(), place(0, 0, 8)).correlation("w").await.unwrap();
        runtime.settled().await;
        assert_eq!((story(&runtime, "w").await, status(&runtime).ignored), (at_its_end.clone(), 1));
        runtime.shutdown().await.unwrap();
        let runtime = start(&store, &shop).await;
        let late = Uuid::new_v4();
        runtime.send::<Order>(late, place(0, 0, 9)).correlation("w").await.unwrap();
        runtime.settled().await;
        assert_eq!((story(&runtime, "w").await, status(&runtime).ignored), (at_its_end, 1));
        assert_eq!(runtime.state::<Payment>(late).await.unwrap().times, 0, "nothing is sent");
        runtime.shutdown().await.unwrap();
    }

    /// What it has sent may still be rejected, and its timeouts are gone.
    async fn p7_p6_p5_a_rejection_reaches_a_process_that_is_over(store) {
        let (shop, clock) = (Shop::default(), ManualClock::at(1_000));
        let runtime = store.describe(shop.builder().clock(clock.clone())).build().await.unwrap();
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, troubled("done at once", place(0, 0, 5_001))).correlation("w").await.unwrap();
        runtime.settled().await;
        assert_eq!(story(&runtime, "w").await, ["started 5001", "gave up: too_much: 5001 is too much"]);
        assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty(), "no timeout is left");
        runtime.shutdown().await.unwrap();
    }

    async fn p1_g6_a_reaction_that_cannot_be_leaves_nothing(store) {
        let runtime = start(&store, &Shop::default()).await;
        for (n, trouble) in ["process fails", "process panics", "unknown timeout"].into_iter().enumerate() {
            let (order, w) = (Uuid::new_v4(), format!("w{n}"));
            runtime.send::<Order>(order, troubled(trouble, place(0, 0, 50))).correlation(w.clone()).await.unwrap();
            runtime.settled().await;
            assert!(story(&runtime, &w).await.is_empty(), "{trouble}");
            assert_eq!(runtime.state::<Payment>(order).await.unwrap().times, 0, "{trouble}");
        }
        let letters = letters(&runtime).await;
        assert_eq!(letters.len(), 3);
        let reasons: Vec<_> = letters.iter().map(|it| it.letter.rejection_reason.as_str()).collect();
        assert!(reasons[0].contains("on purpose"), "{reasons:?}");
        assert!(reasons[1].contains("panicked"), "{reasons:?}");
        assert!(reasons[2].contains("did you mean `payment`"), "{reasons:?}");
        let tries: Vec<_> = letters.iter().map(|it| it.attempts).collect();
        assert_eq!(tries, [1, 5, 1], "permanent ones at once (row D4)");
        assert!(letters.iter().all(|it| it.letter.source_component_type == "process_manager"));
        runtime.shutdown().await.unwrap();
    }

    /// What waits in the dead letters can be tried again.
    async fn d2_d4_an_event_of_a_process_manager_is_retried(store) {
        let runtime = start(&store, &Shop::default()).await;
        runtime.send::<Order>(Uuid::new_v4(), troubled("process fails", place(0, 0, 50))).correlation("w").await.unwrap();
        runtime.settled().await;
        let letter = letters(&runtime).await.remove(0);
        let error = runtime.dead_letters().retry(letter.id).await.unwrap_err();
        assert!(error.to_string().contains("on purpose"), "{error}");
        assert_eq!(letters(&runtime).await[0].attempts, 2);
        runtime.dead_letters().discard(letter.id, "not worth it").await.unwrap();
        assert!(letters(&runtime).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn p1_b4_a_process_stays_in_its_edition(store) {
        let (shop, clock) = (Shop::default(), ManualClock::at(1_000));
        let runtime = store.describe(shop.builder().clock(clock.clone())).build().await.unwrap();
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(0, 0, 13)).correlation("w").edition("what-if").await.unwrap();
        runtime.settled().await;
        clock.set(1_901);
        let branch = async || runtime.state::<Order>(order).edition("what-if").await.unwrap().into_state().story;
        eventually("it fires in the branch", async || branch().await == ["placed", "cancelled: late"]).await;
        assert!(order_story(&runtime, order).await.is_empty());
        assert!(story(&runtime, "w").await.is_empty());
        runtime.shutdown().await.unwrap();
    }
}
