//! R5: several processes share a store and divide the work. Here they are several runtimes on one memory, so that each step
//! can be looked at; `tests/processes` does the same with processes that are killed.

use std::time::Duration;

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::reactions::balance_row;
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{assert_gapless, events_of};
use angzarr_tests::time::ManualClock;
use angzarr_tests::{Rig, account};

use crate::domain::*;

/// (shares of sagas and process managers, all shares) that a runtime works on, of components that are divided.
fn own(runtime: &Runtime) -> u32 {
    let divided = runtime.subscriptions().into_iter().filter(|it| it.name != "balances");
    divided.map(|it| it.own_shares).sum()
}

fn all(runtime: &Runtime) -> u32 {
    let divided = runtime.subscriptions().into_iter().filter(|it| it.name != "balances");
    divided.map(|it| it.shares).sum()
}

async fn join(store: &Memory, shop: &Shop) -> Runtime {
    shop.builder().storage(store.clone()).lease_time(Duration::from_secs(1)).build().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_the_work_is_divided_and_given_back() {
    let (store, shop) = (Memory::new().for_many_runtimes(), Shop::default());
    let one = join(&store, &shop).await;
    eventually("alone it has everything", async || own(&one) == all(&one)).await;
    let other = join(&store, &shop).await;
    eventually("both have about the half", async || {
        let (a, b) = (own(&one), own(&other));
        // Relay and intents are shares too.
        a + b == all(&one) && a.abs_diff(b) <= 3
    })
    .await;
    let before = (handled(&one), handled(&other));
    let orders: Vec<_> = (0..200).map(|_| Uuid::new_v4()).collect();
    for (index, order) in orders.iter().enumerate() {
        let by = if index % 2 == 0 { &one } else { &other };
        by.send::<Order>(*order, troubled("own shelf", place(0, 0, 50))).correlation(order.to_string()).await.unwrap();
    }
    one.settled().await;
    assert!(handled(&one) > before.0 && handled(&other) > before.1, "both work");
    for order in &orders {
        assert_eq!(one.state::<Payment>(*order).await.unwrap().times, 1);
        assert_eq!(other.process::<Checkout>(&order.to_string()).await.unwrap().story, ["started 50", "paid 50"]);
        assert_gapless(&events_of(other.storage(), &StreamKey::main("payment", *order)).await);
    }
    assert_eq!((shop.seen.of("placed"), shop.seen.of("taken")), (200, 200), "the projector has run once for each");
    // Who goes leaves its part at once.
    one.shutdown().await.unwrap();
    eventually("the other one has everything", async || own(&other) == all(&other)).await;
    let order = Uuid::new_v4();
    other.send::<Order>(order, place(0, 0, 50)).correlation("last").await.unwrap();
    other.settled().await;
    assert_eq!(other.state::<Payment>(order).await.unwrap().times, 1);
    assert!(other.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
    other.shutdown().await.unwrap();
}

fn handled(runtime: &Runtime) -> u64 {
    let divided = runtime.subscriptions().into_iter().filter(|it| it.shares > 1);
    divided.map(|it| it.handled).sum()
}

/// The process dies with everything in its hands; nobody gives anything back.
#[test]
fn r5_r1_what_the_dead_had_is_taken_over() {
    let (store, shop) = (Memory::new().for_many_runtimes(), Shop::default());
    let dying = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let orders: Vec<_> = (0..300).map(|_| Uuid::new_v4()).collect();
    dying.block_on(async {
        let first = join(&store, &shop).await;
        for order in &orders {
            let place = troubled("own shelf", place(0, 0, 50));
            first.send::<Order>(*order, place).correlation(order.to_string()).await.unwrap();
        }
        std::mem::forget(first);
    });
    dying.shutdown_background();
    let living = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    living.block_on(async {
        let second = join(&store, &shop).await;
        eventually("it has taken everything over", async || own(&second) == all(&second)).await;
        second.settled().await;
        for order in &orders {
            assert_eq!(second.state::<Payment>(*order).await.unwrap().times, 1);
            let story = second.process::<Checkout>(&order.to_string()).await.unwrap().into_state().story;
            assert_eq!(story, ["started 50", "paid 50"]);
        }
        second.shutdown().await.unwrap();
    });
}

/// Whoever runs the projector, the answer comes behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_s3_s9_simple_waits_for_a_projector_of_another_process() {
    let (store, shop) = (Memory::new().for_many_runtimes(), Shop::default());
    let (one, other) = (join(&store, &shop).await, join(&store, &shop).await);
    eventually("both are at work", async || own(&one) + own(&other) == all(&one) && own(&other) > 0).await;
    for round in 1..=20 {
        for (index, by) in [&one, &other].into_iter().enumerate() {
            let order = Uuid::new_v4();
            let receipt = by.send::<Order>(order, place(0, 0, 0)).sync(SyncMode::Simple).await.unwrap();
            assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            assert_eq!(shop.seen.of("placed"), (round - 1) * 2 + u32::try_from(index).unwrap() + 1);
        }
    }
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

/// What reactions in the other process cause is found by the workflow that it belongs to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_s4_a_cascade_goes_on_in_other_processes() {
    let (store, shop) = (Memory::new().for_many_runtimes(), Shop::default());
    let (one, other) = (join(&store, &shop).await, join(&store, &shop).await);
    eventually("both are at work", async || own(&one) + own(&other) == all(&one) && own(&other) > 0).await;
    for round in 0..12 {
        let order = Uuid::new_v4();
        one.send::<Stock>(order, Fill { quantity: 5 }).await.unwrap();
        let place = troubled("own shelf", place(1, 2, 50));
        let sent = one.send::<Order>(order, place).correlation(format!("w{round}")).sync(SyncMode::Cascade);
        let receipt = sent.await.unwrap();
        assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
        assert_eq!(one.state::<Stock>(order).await.unwrap().free, 3);
        let story = other.process::<Checkout>(&format!("w{round}")).await.unwrap().into_state().story;
        assert_eq!(story, ["started 50", "paid 50"]);
    }
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

/// The projector of the other process has passed the event, and yet not handled it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_s9_j2_what_another_process_has_parked_is_missing() {
    let (store, shop) = (Memory::new().for_many_runtimes(), Shop::default());
    let (one, other) = (join(&store, &shop).await, join(&store, &shop).await);
    eventually("both are at work", async || own(&one) + own(&other) == all(&one) && own(&other) > 0).await;
    for by in [&one, &other] {
        let sent = by.send::<Order>(Uuid::new_v4(), troubled("report fails", place(0, 0, 0))).sync(SyncMode::Simple);
        let receipt = sent.await.unwrap();
        let missing: Vec<_> = receipt.missing().iter().map(|it| it.component.as_str()).collect();
        assert_eq!(missing, ["report"]);
        assert!(receipt.missing()[0].reason.as_deref().unwrap_or_default().contains("on purpose"), "{receipt:?}");
    }
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_p5_a_timer_fires_once() {
    let (store, shop, clock) = (Memory::new().for_many_runtimes(), Shop::default(), ManualClock::at(1_000));
    let start = async || {
        let builder = shop.builder().clock(clock.clone()).storage(store.clone()).lease_time(Duration::from_secs(1));
        builder.build().await.unwrap()
    };
    let (one, other) = (start().await, start().await);
    let orders: Vec<_> = (0..50).map(|_| Uuid::new_v4()).collect();
    for order in &orders {
        one.send::<Order>(*order, place(0, 0, 13)).correlation(order.to_string()).await.unwrap();
    }
    one.settled().await;
    clock.set(2_000);
    for order in &orders {
        eventually("the timer fires", async || one.state::<Order>(*order).await.unwrap().story.len() > 1).await;
    }
    one.settled().await;
    for order in &orders {
        assert_eq!(other.state::<Order>(*order).await.unwrap().story, ["placed", "cancelled: late"]);
    }
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}

/// Two processes have the file of a read model open, and both bring it up to date: each event counts once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_j1_a_read_model_that_two_bring_up_to_date_counts_once() {
    let (store, rig) = (Memory::new().for_many_runtimes(), Rig::new());
    let shop = Shop::default();
    let start = async || {
        let builder =
            rig.builder().with(ReserveSaga { tries: shop.tries.clone() }).with(Report { seen: shop.seen.clone() });
        builder.storage(store.clone()).lease_time(Duration::from_secs(1)).build().await.unwrap()
    };
    let (one, other) = (start().await, start().await);
    let roots: Vec<_> = (0..20).map(|_| Uuid::new_v4()).collect();
    for root in &roots {
        one.send::<account::Account>(*root, angzarr_tests::messages::OpenAccount { owner: "Ada".into() })
            .await
            .unwrap();
    }
    for round in 0..25 {
        for root in &roots {
            let by = if round % 2 == 0 { &one } else { &other };
            by.send::<account::Account>(*root, angzarr_tests::messages::Deposit { amount: 1 }).await.unwrap();
        }
    }
    one.settled().await;
    other.settled().await;
    for root in &roots {
        let (balance, ..) = balance_row(&rig.model, *root).await.unwrap();
        assert_eq!(balance, 25);
    }
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
}
