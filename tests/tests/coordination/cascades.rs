//! S4, S8, S9 and E: cascades.

use angzarr_runtime::dead_letter::{DeadLetter, DeadLetterFilter};
use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::{CascadeFailed, Receipt};
use angzarr_tests::faults::{Fault, Faults};
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{decode, events_of};
use angzarr_tests::{Store, on_every_store};

use crate::domain::*;

async fn start(store: &Store, shop: &Shop) -> Runtime {
    let runtime = store.describe(shop.builder()).build().await.unwrap();
    runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
    runtime
}

async fn cascade(
    runtime: &Runtime,
    order: Uuid,
    place: Place,
    mode: CascadeErrorMode,
) -> angzarr_runtime::Result<Receipt> {
    let send = runtime.send::<Order>(order, place).sync(SyncMode::Cascade).cascade_error_mode(mode);
    send.correlation(order.to_string()).await
}

fn failed(answer: angzarr_runtime::Result<Receipt>) -> Box<CascadeFailed> {
    match answer {
        Err(Error::Cascade(failed)) => failed,
        other => panic!("no failed cascade: {other:?}"),
    }
}

async fn letters(runtime: &Runtime) -> Vec<DeadLetter> {
    runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap()
}

async fn story(runtime: &Runtime, order: Uuid) -> Vec<String> {
    runtime.state::<Order>(order).await.unwrap().into_state().story
}

const BACKORDERED: &str = "backordered: out_of_stock: 10 are left";

on_every_store! {
    /// Saga and process manager, two levels of sagas, facts and projectors: everything is there with the answer.
    async fn s4_i1_everything_has_happened_when_the_answer_comes(store) {
        let shop = Shop::default();
        let runtime = start(&store, &shop).await;
        for round in 1..=10 {
            let order = Uuid::new_v4();
            let packed = troubled("pack", place(1, 1, 50));
            let receipt = cascade(&runtime, order, packed, CascadeErrorMode::FailFast).await.unwrap();
            assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            assert_eq!(receipt.done(), ["checkout", "report", "reserve"]);
            assert_eq!(runtime.state::<Stock>(shelf()).await.unwrap().free, 10 - round);
            assert_eq!(runtime.state::<Payment>(order).await.unwrap().taken, 50);
            let process = runtime.process::<Checkout>(&order.to_string()).await.unwrap();
            assert_eq!(process.story, ["started 50", "paid 50"]);
            assert_eq!((shop.seen.of("placed"), shop.seen.of("taken")), (round, round), "the report has them");
            assert_eq!(runtime.state::<Parcel>(root("parcel", "one")).await.unwrap().at, "weigher");
        }
        runtime.shutdown().await.unwrap();
    }

    /// A page says so for itself.
    async fn s6_s4_a_page_may_be_a_cascade_of_its_own(store) {
        use angzarr_runtime::proto::{self, CommandBookExt as _, CommandPageExt as _, CoverExt as _};
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        let mut page = proto::CommandPage::of(proto::pack(&place(1, 1, 50)));
        page.header.get_or_insert_default().sync_mode = Some(proto::SyncMode::Cascade as i32);
        let cover = proto::Cover::of("order", order.into_bytes());
        let command = Some(proto::CommandBook::of(cover, [page]));
        runtime.handle_command(proto::CommandRequest { command, ..Default::default() }).await.unwrap();
        assert_eq!(runtime.state::<Stock>(shelf()).await.unwrap().free, 9);
        runtime.shutdown().await.unwrap();
    }

    /// The same command again waits for the same events.
    async fn s4_c10_a_repeated_cascade_runs_nothing_again(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        for round in 0..3 {
            let send = runtime.send::<Order>(order, place(1, 1, 50)).sync(SyncMode::Cascade).external_id("once");
            let receipt = send.correlation("w").await.unwrap();
            assert_eq!(receipt.already_processed(), round > 0);
            assert!(receipt.missing().is_empty());
            assert_eq!(runtime.state::<Stock>(shelf()).await.unwrap().free, 9);
        }
        runtime.shutdown().await.unwrap();
    }

    async fn e1_e5_fail_fast_fails_with_the_reason(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        let failed = failed(cascade(&runtime, order, place(1, 50, 50), CascadeErrorMode::FailFast).await);
        assert_eq!(failed.failures[0].code, "REJECTED");
        assert_eq!(failed.failures[0].component, "reserve");
        assert!(failed.failures[0].message.contains("out_of_stock"), "{failed}");
        assert_eq!((failed.events.len(), failed.compensated), (1, 0));
        let error = Error::Cascade(failed);
        assert_eq!((error.code(), error.status(), error.is_retryable()), ("CASCADE_FAILED", angzarr_runtime::Code::FailedPrecondition, false));
        runtime.settled().await;
        assert_eq!(story(&runtime, order).await, ["placed", BACKORDERED], "its source is told all the same");
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().taken, 50, "what ran keeps its effects");
        runtime.shutdown().await.unwrap();
    }

    async fn e2_e5_continue_lists_each_failure(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        let receipt = cascade(&runtime, order, place(2, 50, 5_001), CascadeErrorMode::Continue).await.unwrap();
        let mut failures: Vec<_> = receipt.cascade_errors().iter().map(|it| (it.component.as_str(), it.code)).collect();
        failures.sort_unstable();
        // Two commands that differ in their index alone are two.
        assert_eq!(failures, [("checkout", "REJECTED"), ("reserve", "REJECTED"), ("reserve", "REJECTED")]);
        let mut told = story(&runtime, order).await;
        told.sort();
        assert_eq!(told, [BACKORDERED, BACKORDERED, "cancelled: too_much 5001 of 1", "placed"], "compensations are part of it");
        let response = receipt.into_response();
        assert_eq!(response.cascade_errors.len(), 3);
        assert!(response.cascade_errors.iter().all(|error| error.source_domain == "order"));
        runtime.shutdown().await.unwrap();
    }

    async fn e2_d4_a_handler_that_fails_is_a_failure(store) {
        let shop = Shop::default();
        let runtime = start(&store, &shop).await;
        let order = Uuid::new_v4();
        let fails = troubled("saga fails", place(1, 1, 50));
        let receipt = cascade(&runtime, order, fails, CascadeErrorMode::Continue).await.unwrap();
        assert_eq!(receipt.cascade_errors().len(), 1);
        assert_eq!((receipt.cascade_errors()[0].component.as_str(), receipt.cascade_errors()[0].code), ("reserve", "REACTION_FAILED"));
        assert_eq!(receipt.done(), ["checkout", "report"], "who failed is not done");
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().taken, 50, "the rest ran");
        assert_eq!(letters(&runtime).await.len(), 1, "nothing is lost");
        let twice = troubled("saga fails twice", place(1, 1, 50));
        let receipt = cascade(&runtime, Uuid::new_v4(), twice, CascadeErrorMode::FailFast).await.unwrap();
        assert!(receipt.cascade_errors().is_empty(), "what a retry mends is no failure");
        runtime.shutdown().await.unwrap();
    }

    /// Two lines are reserved and paid for before the third is refused: three compensations, each once, the last first.
    async fn e3_what_had_succeeded_is_compensated_once(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        let failed = failed(cascade(&runtime, order, place(3, 4, 50), CascadeErrorMode::Compensate).await);
        assert_eq!(failed.failures.len(), 1, "{failed}");
        assert_eq!(failed.compensated, 3, "two reservations and a payment: {failed}");
        runtime.settled().await;
        let stock = events_of(runtime.storage(), &StreamKey::main("stock", shelf())).await;
        let releases: Vec<_> = stock.iter().filter(|it| it.type_name.ends_with("Released")).map(|it| decode::<Released>(it).sequences).collect();
        assert_eq!(releases, [vec![2], vec![1]]);
        let payment = events_of(runtime.storage(), &StreamKey::main("payment", order)).await;
        assert_eq!(payment.len(), 2);
        assert_eq!(decode::<PaymentReturned>(&payment[1]).sequences, [0]);
        assert!(letters(&runtime).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// A target without `#[compensate]`: the compensation waits for a person.
    async fn e3_d1_what_cannot_be_compensated_is_a_dead_letter(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        let packed = troubled("pack", place(1, 1, 5_001));
        let failed = failed(cascade(&runtime, order, packed, CascadeErrorMode::Compensate).await);
        assert!(failed.compensated >= 2, "{failed}");
        runtime.settled().await;
        let letters = letters(&runtime).await;
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert_eq!(letters[0].domain(), "parcel");
        assert!(letters[0].letter.rejection_reason.contains("no `#[compensate]`"));
        // Tried again, it is the compensation that is tried.
        runtime.dead_letters().retry(letters[0].id).await.unwrap();
        runtime.settled().await;
        let again = self::letters(&runtime).await;
        assert_eq!((again.len(), again[0].id), (1, letters[0].id));
        runtime.shutdown().await.unwrap();
    }

    async fn e4_the_failure_is_dead_lettered_and_the_rest_runs(store) {
        let runtime = start(&store, &Shop::default()).await;
        let order = Uuid::new_v4();
        let receipt = cascade(&runtime, order, place(1, 50, 50), CascadeErrorMode::DeadLetter).await.unwrap();
        assert!(receipt.cascade_errors().is_empty());
        let letters = letters(&runtime).await;
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].domain(), letters[0].letter.source_component.as_str()), ("stock", "reserve"));
        assert_eq!(story(&runtime, order).await, ["placed", BACKORDERED], "row E5");
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().taken, 50);
        runtime.shutdown().await.unwrap();
    }

    async fn k4_e2_an_abort_goes_to_the_caller_in_every_mode(store) {
        let runtime = start(&store, &Shop::default()).await;
        for mode in [CascadeErrorMode::Continue, CascadeErrorMode::DeadLetter] {
            let aborts = troubled("abort", place(1, 50, 50));
            let failed = failed(cascade(&runtime, Uuid::new_v4(), aborts, mode).await);
            assert!(failed.failures.iter().any(|it| it.message.contains("stop everything")), "{failed}");
        }
        runtime.shutdown().await.unwrap();
    }

    /// Two levels down.
    async fn e1_a_failure_further_down_is_one_too(store) {
        let runtime = start(&store, &Shop::default()).await;
        let fails = troubled("pack fails", place(1, 1, 50));
        let failed = failed(cascade(&runtime, Uuid::new_v4(), fails, CascadeErrorMode::FailFast).await);
        assert_eq!((failed.failures[0].component.as_str(), failed.failures[0].source.domain.as_str()), ("pack", "stock"));
        runtime.shutdown().await.unwrap();
    }

    async fn s8_a_cascade_without_an_end_is_stopped(store) {
        let builder = Shop::default().builder().cascade_depth(5);
        let runtime = store.describe(builder).build().await.unwrap();
        let id = Uuid::new_v4();
        let endless = Ping { left: u32::MAX };
        let error = runtime.send::<Loop>(id, endless).sync(SyncMode::Cascade).await.unwrap_err();
        assert_eq!(error.code(), "CASCADE_TOO_DEEP");
        let text = error.to_string();
        assert_eq!(text.matches("echo at loop/").count(), 6, "the chain: {text}");
        runtime.settled().await;
        let rounds = runtime.state::<Loop>(id).await.unwrap().rounds;
        assert_eq!(rounds, 6, "it does not go on in the background");
        assert_eq!(letters(&runtime).await.len(), 1);
        let ends = runtime.send::<Loop>(Uuid::new_v4(), Ping { left: 4 }).sync(SyncMode::Cascade).await;
        assert!(ends.is_ok(), "one that ends in time is none of it");
        runtime.shutdown().await.unwrap();
    }

    async fn s9_who_is_late_is_named(store) {
        let shop = Shop::default();
        // Time enough for everybody else.
        let builder = shop.builder().sync_deadline(Duration::from_secs(3));
        let runtime = store.describe(builder).build().await.unwrap();
        let slow = troubled("report waits", place(0, 0, 50));
        let receipt = cascade(&runtime, Uuid::new_v4(), slow, CascadeErrorMode::FailFast).await.unwrap();
        let late: Vec<_> = receipt.missing().iter().map(|it| (it.component.as_str(), it.kind.as_str(), it.sequence)).collect();
        assert!(late.contains(&("report", "projector", 0)), "{late:?}");
        assert_eq!(receipt.done(), ["checkout", "reserve"]);
        shop.seen.count("go");
        runtime.shutdown().await.unwrap();
    }

    /// The first event was handled long ago, and what follows from it was not: a repeat waits for that as well.
    async fn s4_c10_a_repeat_waits_as_long_as_the_first(store) {
        let (shop, faults) = (Shop::default(), Faults::new());
        let builder = shop.builder().sync_deadline(Duration::from_secs(60));
        let runtime = faults.describe(&store, builder).build().await.unwrap();
        runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
        faults.next("parcel", [Fault::Hold]);
        let order = Uuid::new_v4();
        let send = || {
            let pack = runtime.send::<Order>(order, troubled("pack", place(1, 1, 50))).sync(SyncMode::Cascade);
            pack.external_id("once").into_future()
        };
        let mut first = Box::pin(send());
        tokio::select! {
            answer = &mut first => panic!("too early: {answer:?}"),
            () = eventually("it is about to be packed", async || faults.struck() == 1) => {}
        }
        let mut second = Box::pin(send());
        let early = tokio::time::timeout(Duration::from_millis(500), &mut second).await;
        assert!(early.is_err(), "it is not packed: {early:?}");
        faults.release();
        let (first, second) = tokio::join!(first, second);
        assert_eq!(runtime.state::<Parcel>(root("parcel", "one")).await.unwrap().at, "weigher");
        for (receipt, again) in [(first.unwrap(), false), (second.unwrap(), true)] {
            assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            assert_eq!((receipt.done(), receipt.already_processed()), (&["checkout", "report", "reserve"][..], again));
        }
        runtime.shutdown().await.unwrap();
    }

    /// A repeat that compensates undoes what had succeeded before it came as well, although the first one does not (row E3).
    async fn s4_c10_e3_a_repeat_undoes_what_had_succeeded_before(store) {
        let shop = Shop::default();
        let builder = shop.builder().sync_deadline(Duration::from_secs(60));
        let runtime = store.describe(builder).build().await.unwrap();
        runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
        let order = Uuid::new_v4();
        let send = |mode| {
            // Reserved, and too dear.
            let place = runtime.send::<Order>(order, troubled("report waits", place(1, 1, 5_001))).sync(SyncMode::Cascade);
            place.correlation("w").external_id("once").cascade_error_mode(mode).into_future()
        };
        let mut first = Box::pin(send(CascadeErrorMode::Continue));
        tokio::select! {
            answer = &mut first => panic!("too early: {answer:?}"),
            () = eventually("it is reserved, and the payment was refused", async || {
                runtime.state::<Stock>(shelf()).await.unwrap().free == 9 && story(&runtime, order).await.len() == 2
            }) => {}
        }
        let mut second = Box::pin(send(CascadeErrorMode::Compensate));
        let early = tokio::time::timeout(Duration::from_millis(500), &mut second).await;
        assert!(early.is_err(), "there is no report: {early:?}");
        shop.seen.count("go");
        let (first, second) = tokio::join!(first, second);
        assert_eq!(first.unwrap().cascade_errors().len(), 1);
        let failed = failed(second);
        assert_eq!((failed.failures.len(), &failed.not_undone), (1, &None), "{failed}");
        runtime.settled().await;
        assert_eq!(runtime.state::<Stock>(shelf()).await.unwrap().releases, 1, "{failed}");
        runtime.shutdown().await.unwrap();
    }

    /// Whoever sends the command again while its reactions are at work learns of the same failures, at once and after the first
    /// one has gone.
    async fn s4_c10_e2_whoever_repeats_a_cascade_learns_what_fails(store) {
        let shop = Shop::default();
        let builder = shop.builder().reaction_attempts(1_000).sync_deadline(Duration::from_secs(30));
        let runtime = store.describe(builder).build().await.unwrap();
        runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
        for is_gone in [false, true] {
            let order = Uuid::new_v4();
            let send = || {
                let waits = runtime.send::<Order>(order, troubled("saga waits", place(1, 50, 50)));
                let waits = waits.sync(SyncMode::Cascade).cascade_error_mode(CascadeErrorMode::Continue);
                waits.external_id("once").into_future()
            };
            let tries = shop.tries.of("reserve");
            let mut first = Box::pin(send());
            tokio::select! {
                answer = &mut first => panic!("too early: {answer:?}"),
                () = eventually("it is tried", async || shop.tries.of("reserve") > tries) => {}
            }
            if is_gone {
                first = Box::pin(send());
            }
            let go = async {
                // By then everybody has asked.
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                shop.tries.count("go");
            };
            let (first, second, third, ()) = tokio::join!(first, send(), send(), go);
            for receipt in [first.unwrap(), second.unwrap(), third.unwrap()] {
                let codes: Vec<_> = receipt.cascade_errors().iter().map(|it| (it.component.as_str(), it.code)).collect();
                assert_eq!(codes, [("reserve", "REJECTED")]);
                assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            }
            assert_eq!(story(&runtime, order).await, ["placed", BACKORDERED], "it was refused once");
            shop.tries.forget("go");
        }
        runtime.shutdown().await.unwrap();
    }
}
