//! S3, S4, S8, S9, E, K4 with R5: what SIMPLE and CASCADE answer where other processes run the reactions is what they answer where
//! this one does.
//!
//! In most of these tests the process that takes the command runs nothing: everything happens elsewhere.

use std::collections::BTreeSet;
use std::time::Duration;

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::{Answer, StorageErrorKind};
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::{Builder, Receipt};
use angzarr_tests::account::Account;
use angzarr_tests::faults::{Asked, Fate, Fault, Faults};
use angzarr_tests::messages::{BalanceView, Deposit, OpenAccount, SeenView};
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::{Rig, eventually};
use angzarr_tests::store::{assert_gapless, decode, events_of};
use angzarr_tests::{Store, on_every_shared_store};

use crate::domain::*;

/// Several processes on one store: one that takes commands and runs no component that is divided, and one that runs all of them.
struct Two {
    asker: Runtime,
    owner: Runtime,
    of_asker: Faults,
    of_owner: Faults,
}

impl Two {
    async fn start(store: &Store, shop: &Shop) -> Self {
        Self::start_with(store, shop, |builder| builder).await
    }

    async fn start_with(store: &Store, shop: &Shop, more: impl Fn(Builder) -> Builder) -> Self {
        Self::start_of(store, |_| more(shop.builder())).await
    }

    /// The builder for one of them; whether that is the one that takes commands.
    async fn start_of(store: &Store, builder: impl Fn(bool) -> Builder) -> Self {
        let (of_asker, of_owner) = (Faults::new().shares(), Faults::new().shares());
        of_asker.keep_out(true);
        let start = async |faults: &Faults, is_asker| {
            let builder = builder(is_asker).lease_time(Duration::from_secs(1));
            faults.describe(store, builder).build().await.unwrap()
        };
        let owner = start(&of_owner, false).await;
        let asker = start(&of_asker, true).await;
        eventually("one of them has everything", async || share_of(&owner) == (true, true)).await;
        assert_eq!(share_of(&asker), (false, false));
        Self { asker, owner, of_asker, of_owner }
    }

    /// Nothing of it may be left.
    async fn stop(self) {
        nothing_left(&self.asker).await;
        self.asker.shutdown().await.unwrap();
        self.owner.shutdown().await.unwrap();
    }
}

/// Behind the sync deadlines of these tests, and what clocks may differ: longer than that nothing is kept that was told.
const LONGEST_TOLD: Duration = Duration::from_secs(180);

/// A time from now, as the store has it.
fn in_nanos(time: Duration) -> i64 {
    i64::try_from((std::time::UNIX_EPOCH.elapsed().unwrap() + time).as_nanos()).unwrap()
}

/// Whether a runtime works on all of the components that are divided, and whether it does on any.
fn share_of(runtime: &Runtime) -> (bool, bool) {
    let divided = || runtime.subscriptions().into_iter().filter(|it| it.name != "balances");
    (divided().all(|it| it.own_shares == it.shares), divided().any(|it| it.own_shares > 0))
}

/// Every wait that an event says it belongs to.
async fn waits(runtime: &Runtime) -> Vec<Uuid> {
    let log = runtime.storage().read_log(0, usize::MAX, usize::MAX).await.unwrap();
    let waits: BTreeSet<Uuid> = log.iter().filter_map(|item| Some(item.event.headers.wait()?.wait())).collect();
    waits.into_iter().collect()
}

/// Whoever has read an answer removes it.
async fn nothing_left(runtime: &Runtime) {
    let waits = waits(runtime).await;
    let answers = runtime.storage().answers().unwrap();
    eventually("no answer is left", async || answers.read(&waits).await.unwrap().is_empty()).await;
}

/// What is told when nobody waits any more goes by its age, which is not high.
async fn forget_late(runtime: &Runtime) {
    let longest = in_nanos(LONGEST_TOLD);
    let answers = runtime.storage().answers().unwrap();
    let left = answers.read(&waits(runtime).await).await.unwrap();
    assert!(left.iter().all(|it| it.until < longest), "{left:?}");
    answers.forget(&[], longest).await.unwrap();
}

fn cascade(
    runtime: &Runtime,
    order: Uuid,
    place: Place,
    mode: CascadeErrorMode,
) -> impl Future<Output = angzarr_runtime::Result<Receipt>> {
    let send = runtime.send::<Order>(order, place).sync(SyncMode::Cascade).cascade_error_mode(mode);
    send.correlation(order.to_string()).into_future()
}

async fn fill(runtime: &Runtime) {
    runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
}

async fn letters(runtime: &Runtime) -> Vec<(String, String)> {
    let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
    let mut letters: Vec<_> =
        letters.iter().map(|it| (it.domain().to_owned(), it.letter.source_component.clone())).collect();
    letters.sort();
    letters
}

/// What an answer says, and what became of everything, but for ids and the order of what happens at once.
#[derive(Debug, PartialEq)]
struct Told {
    answer: Result<Vec<String>, (&'static str, String, usize)>,
    failures: Vec<(String, &'static str, Option<u32>, &'static str, String)>,
    missing: Vec<String>,
    story: Vec<String>,
    stock: (u32, u32),
    payment: (i64, u32),
    releases: Vec<Vec<u32>>,
    letters: Vec<(String, String)>,
}

async fn told(runtime: &Runtime, order: Uuid, answer: angzarr_runtime::Result<Receipt>) -> Told {
    runtime.settled().await;
    let (answer, failures, missing) = match answer {
        Ok(receipt) => {
            let missing = receipt.missing().iter().map(|it| format!("{} {:?}", it.component, it.reason)).collect();
            let done = receipt.done().iter().map(|it| (*it).to_owned()).collect();
            (Ok(done), receipt.cascade_errors().to_vec(), missing)
        }
        Err(Error::Cascade(failed)) => {
            let error = (failed.events.len(), failed.compensated, failed.failures.clone());
            let error_of = Error::Cascade(failed);
            assert_eq!(error.0, 1, "the command's own events");
            (Err((error_of.code(), format!("{:?}", error_of.status()), error.1)), error.2, Vec::new())
        }
        Err(other) => panic!("no answer of a cascade: {other}"),
    };
    let mut failures: Vec<_> = failures
        .iter()
        .map(|it| (it.component.clone(), it.kind.as_str(), it.command_index, it.code, it.message.clone()))
        .collect();
    failures.sort();
    let mut story = runtime.state::<Order>(order).await.unwrap().into_state().story;
    story.sort();
    let stock = runtime.state::<Stock>(shelf()).await.unwrap().into_state();
    let payment = runtime.state::<Payment>(order).await.unwrap().into_state();
    let events = events_of(runtime.storage(), &StreamKey::main("stock", shelf())).await;
    assert_gapless(&events);
    let releases =
        events.iter().filter(|it| it.type_name.ends_with("Released")).map(|it| decode::<Released>(it).sequences);
    Told {
        answer,
        failures,
        missing,
        story,
        stock: (stock.free, stock.releases),
        payment: (payment.taken, payment.times),
        releases: releases.collect(),
        letters: letters(runtime).await,
    }
}

/// What goes wrong: the trouble, and lines, quantity and price of the order.
const TROUBLES: [(&str, u32, u32, i64); 10] = [
    ("pack", 1, 1, 50),
    ("", 1, 50, 50),
    ("", 3, 4, 50),
    ("", 2, 50, 5_001),
    ("pack", 1, 1, 5_001),
    ("pack fails", 1, 1, 50),
    ("saga fails", 1, 1, 50),
    ("abort", 1, 50, 50),
    ("process fails", 1, 1, 50),
    ("report fails", 1, 1, 50),
];

on_every_shared_store! {
    /// One projector runs elsewhere, the read model of another one is each process's own: the answer has what both made of it.
    async fn r5_s3_projections_are_in_the_answer_whoever_made_them(store) {
        let two = Two::start(&store, &Shop::default()).await;
        let alone = Shop::default().builder().build().await.unwrap();
        for round in 0..20 {
            let root = Uuid::new_v4();
            for by in [&two.asker, &alone] {
                by.send::<Account>(root, OpenAccount { owner: "Ada".into() }).await.unwrap();
            }
            let deposit = async |by: &Runtime| by.send::<Account>(root, Deposit { amount: round + 1 }).sync(SyncMode::Simple).await.unwrap();
            let (there, here) = (deposit(&two.asker).await, deposit(&alone).await);
            assert!(there.missing().is_empty(), "{:?}", there.missing());
            assert_eq!((there.projections(), there.done()), (here.projections(), here.done()));
            let seen: Vec<SeenView> = there.projections_of("journal").collect();
            assert_eq!(seen.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1]);
        }
        alone.shutdown().await.unwrap();
        two.stop().await;
    }

    /// The same from both sides at once, where both run a part.
    async fn r5_s3_projections_cross_each_other(store) {
        let shop = Shop::default();
        let start = async || {
            let builder = shop.builder().lease_time(Duration::from_secs(1));
            store.describe(builder).build().await.unwrap()
        };
        let (one, other) = (start().await, start().await);
        let send = async |by: &Runtime| {
            for _ in 0..40 {
                let opened = by.send::<Account>(Uuid::new_v4(), OpenAccount { owner: "Ada".into() }).sync(SyncMode::Simple).await.unwrap();
                assert!(opened.missing().is_empty(), "{:?}", opened.missing());
                let by: Vec<_> = opened.projections().iter().map(|it| it.projector.as_str()).collect();
                assert!(by.contains(&"journal"), "{by:?}");
            }
        };
        tokio::join!(send(&one), send(&other), send(&one), send(&other));
        nothing_left(&one).await;
        one.shutdown().await.unwrap();
        other.shutdown().await.unwrap();
    }

    /// Saga, saga, saga with facts: nobody gave a correlation id by which to find them.
    async fn r5_s4_three_hops_without_a_correlation_id(store) {
        let shop = Shop::default();
        let two = Two::start(&store, &shop).await;
        fill(&two.asker).await;
        for round in 1..=10 {
            let (order, packed) = (Uuid::new_v4(), troubled("pack", place(1, 1, 50)));
            let receipt = two.asker.send::<Order>(order, packed).sync(SyncMode::Cascade).await.unwrap();
            assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            assert_eq!(receipt.done(), ["checkout", "report", "reserve"]);
            assert_eq!(two.asker.state::<Stock>(shelf()).await.unwrap().free, 10 - round);
            let parcel = events_of(two.asker.storage(), &StreamKey::main("parcel", root("parcel", "one"))).await;
            // The weight is known from the first time on; the delivery is another one each time.
            assert_eq!(parcel.iter().filter(|it| it.type_name.ends_with("Packed")).count(), round as usize);
            assert_eq!(parcel.iter().filter(|it| it.type_name.ends_with("Arrived")).count(), round as usize);
            assert_eq!(shop.seen.of("placed"), round);
        }
        two.stop().await;
    }

    /// Hops here and there, in turn.
    async fn r5_s4_a_cascade_goes_back_and_forth(store) {
        let shop = Shop::default();
        let start = async || {
            let builder = shop.builder().lease_time(Duration::from_secs(1));
            store.describe(builder).build().await.unwrap()
        };
        let (one, other) = (start().await, start().await);
        eventually("both are at work", async || share_of(&one).1 && share_of(&other).1 && !share_of(&one).0).await;
        for round in 0..30 {
            let order = Uuid::new_v4();
            // Shelves of their own: their streams are everybody's.
            one.send::<Stock>(order, Fill { quantity: 5 }).await.unwrap();
            let by = if round % 2 == 0 { &one } else { &other };
            let receipt = by.send::<Order>(order, troubled("own shelf", place(2, 2, 50))).sync(SyncMode::Cascade).await.unwrap();
            assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            assert_eq!(one.state::<Stock>(order).await.unwrap().free, 1);
            let refused = by.send::<Order>(order, troubled("own shelf", place(2, 2, 50))).sync(SyncMode::Cascade);
            let refused = refused.cascade_error_mode(CascadeErrorMode::Continue).await.unwrap();
            assert_eq!(refused.cascade_errors().len(), 2, "{:?}", refused.cascade_errors());
            let undone = by.send::<Order>(order, troubled("own shelf", place(3, 1, 50))).sync(SyncMode::Cascade);
            let failed = failed(undone.cascade_error_mode(CascadeErrorMode::Compensate).await);
            assert_eq!((failed.failures.len(), failed.compensated), (2, 1), "{failed}");
            one.settled().await;
            assert_eq!(one.state::<Stock>(order).await.unwrap().releases, 1);
        }
        nothing_left(&one).await;
        one.shutdown().await.unwrap();
        other.shutdown().await.unwrap();
    }

    /// Each error mode with each trouble: the answer, and what became of everything, as in one process.
    async fn r5_e1_e2_e3_e4_k4_every_mode_answers_as_within_one_process(store) {
        for mode in [CascadeErrorMode::FailFast, CascadeErrorMode::Continue, CascadeErrorMode::Compensate, CascadeErrorMode::DeadLetter] {
            let (store, shop) = (store.another_to_share(), Shop::default());
            let two = Two::start(&store, &shop).await;
            let alone = Shop::default().builder().build().await.unwrap();
            for (trouble, lines, quantity, price) in TROUBLES {
                for by in [&alone, &two.asker] {
                    let quantity = 10 - by.state::<Stock>(shelf()).await.unwrap().free;
                    by.send::<Stock>(shelf(), Fill { quantity }).await.unwrap();
                }
                let order = Uuid::new_v4();
                let place = || troubled(trouble, place(lines, quantity, price));
                let answer = cascade(&alone, order, place(), mode).await;
                let here = self::told(&alone, order, answer).await;
                let answer = cascade(&two.asker, order, place(), mode).await;
                let mut there = self::told(&two.asker, order, answer).await;
                if mode == CascadeErrorMode::FailFast && !here.failures.is_empty() {
                    // It fails with the first one; which one that is where several fail at once, and how many there are by then, is
                    // up to chance.
                    assert!(!there.failures.is_empty());
                    assert!(price > 1_000 || there.failures.iter().chain(&here.failures).all(|it| it.0 == here.failures[0].0));
                    there.failures.clone_from(&here.failures);
                    if trouble == "abort" {
                        there.answer.clone_from(&here.answer);
                    }
                }
                if mode == CascadeErrorMode::Compensate && trouble == "abort" {
                    // It ends at once. A payment that has succeeded by then is undone and counted; one that succeeds behind that may
                    // not belong to it any more.
                    there.answer.clone_from(&here.answer);
                    there.payment.0 = here.payment.0;
                }
                assert_eq!(there, here, "{mode:?}, {trouble}, {lines} × {quantity} for {price}");
            }
            alone.shutdown().await.unwrap();
            forget_late(&two.asker).await;
            two.stop().await;
        }
    }

    /// Each hop counts, wherever it is, and the error shows them all.
    async fn r5_s8_depth_counts_every_hop(store) {
        let two = Two::start_with(&store, &Shop::default(), |builder| builder.cascade_depth(5)).await;
        let id = Uuid::new_v4();
        let error = two.asker.send::<Loop>(id, Ping { left: u32::MAX }).sync(SyncMode::Cascade).await.unwrap_err();
        assert_eq!(error.code(), "CASCADE_TOO_DEEP");
        let text = error.to_string();
        for sequence in 0..6 {
            assert!(text.contains(&format!("echo at loop/{id} #{sequence}")), "the chain: {text}");
        }
        assert_eq!(text.matches("echo at loop/").count(), 6, "the chain: {text}");
        two.owner.settled().await;
        assert_eq!(two.asker.state::<Loop>(id).await.unwrap().rounds, 6, "it does not go on in the background");
        assert_eq!(letters(&two.asker).await.len(), 1);
        let ends = two.asker.send::<Loop>(Uuid::new_v4(), Ping { left: 4 }).sync(SyncMode::Cascade).await;
        assert!(ends.is_ok(), "one that ends in time is none of it");
        two.stop().await;
    }

    /// Of three kinds of reactions the third one is too much.
    async fn r5_s8_the_chain_leads_over_streams(store) {
        let two = Two::start_with(&store, &Shop::default(), |builder| builder.cascade_depth(2)).await;
        fill(&two.asker).await;
        let order = Uuid::new_v4();
        let error = two.asker.send::<Order>(order, troubled("pack", place(1, 1, 50))).sync(SyncMode::Cascade).await.unwrap_err();
        assert_eq!(error.code(), "CASCADE_TOO_DEEP");
        let chain = format!("reserve at order/{order} #0 → pack at stock/{} #1 → weigh at parcel/{} #0", shelf(), root("parcel", "one"));
        assert!(error.to_string().contains(&chain), "{error}");
        two.stop().await;
    }

    /// Past the deadline the answer says who has the event and who has not, and nobody waits longer.
    async fn r5_s9_who_is_late_elsewhere_is_named(store) {
        let shop = Shop::default();
        // Time enough for everybody else.
        let two = Two::start_with(&store, &shop, |builder| builder.sync_deadline(Duration::from_secs(3))).await;
        for mode in [SyncMode::Simple, SyncMode::Cascade] {
            let slow = troubled("report waits", place(0, 0, 50));
            let began = std::time::Instant::now();
            let receipt = two.asker.send::<Order>(Uuid::new_v4(), slow).sync(mode).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(20));
            let late: Vec<_> = receipt.missing().iter().map(|it| (it.component.as_str(), it.kind.as_str(), it.sequence)).collect();
            assert_eq!(late, [("report", "projector", 0)]);
            let done = if mode == SyncMode::Cascade { &["checkout", "reserve"][..] } else { &[] };
            assert_eq!(receipt.done(), done);
            // When what was told by then is forgotten.
            tokio::time::sleep(Duration::from_millis(500)).await;
            shop.seen.count("go");
            two.owner.settled().await;
            shop.seen.forget("go");
        }
        // What comes when nobody waits any more goes by its age, and not before.
        let (answers, waits) = (two.asker.storage().answers().unwrap(), waits(&two.asker).await);
        let late = async || answers.read(&waits).await.unwrap();
        eventually("the report tells late", async || late().await.len() == 2).await;
        let now = in_nanos(Duration::ZERO);
        assert!(late().await.iter().all(|it| it.until > now && it.until < in_nanos(LONGEST_TOLD)));
        answers.forget(&[], now).await.unwrap();
        assert_eq!(late().await.len(), 2);
        answers.forget(&[], in_nanos(LONGEST_TOLD)).await.unwrap();
        two.stop().await;
    }

    /// Nobody came for it: it is removed when its time is over, however much there is to tell at that time.
    async fn r5_s9_what_nobody_came_for_is_removed(store) {
        let two = Two::start(&store, &Shop::default()).await;
        let answers = two.asker.storage().answers().unwrap();
        let (old, young) = (Uuid::new_v4(), Uuid::new_v4());
        let told = |wait, until| Answer { wait, key: "k".into(), until, answer: "x".into() };
        let minute = i64::try_from(Duration::from_secs(60).as_nanos()).unwrap();
        let now = in_nanos(Duration::ZERO);
        answers.tell(&[told(old, now - minute), told(young, now + minute)]).await.unwrap();
        let busy = async {
            loop {
                let opened = two.asker.send::<Account>(Uuid::new_v4(), OpenAccount { owner: "Ada".into() });
                opened.sync(SyncMode::Simple).await.unwrap();
            }
        };
        let left = async || answers.read(&[old, young]).await.unwrap().iter().map(|it| it.wait).collect::<Vec<_>>();
        tokio::select! {
            () = busy => {}
            () = eventually("it is gone", async || !left().await.contains(&old)) => {}
        }
        assert_eq!(left().await, [young]);
        answers.forget(&[young], 0).await.unwrap();
        two.stop().await;
    }

    /// Telling takes for ever: who has nothing to do with it goes on.
    async fn r5_s9_nobody_waits_for_what_others_tell(store) {
        let two = Two::start_with(&store, &Shop::default(), |builder| builder.sync_deadline(Duration::from_secs(1))).await;
        fill(&two.asker).await;
        two.of_owner.answers(Fate::Stuck);
        let opened = two.asker.send::<Account>(Uuid::new_v4(), OpenAccount { owner: "Ada".into() }).sync(SyncMode::Simple);
        let receipt = opened.await.unwrap();
        assert!(two.of_owner.told() > 0 && receipt.missing().iter().any(|it| it.component == "journal"), "{receipt:?}");
        two.asker.send::<Order>(Uuid::new_v4(), place(1, 1, 50)).await.unwrap();
        eventually("it is reserved", async || two.asker.state::<Stock>(shelf()).await.unwrap().free == 9).await;
        two.asker.shutdown().await.unwrap();
    }

    /// Each process has a read model of its own: what parks in one of them says nothing of another one.
    async fn r5_s9_j2_a_read_model_that_parks_elsewhere_is_its_own_affair(store) {
        let (shop, here, there) = (Shop::default(), Rig::new(), Rig::new());
        let two = Two::start_of(&store, |is_asker| shop.beside(if is_asker { &here } else { &there })).await;
        let root = Uuid::new_v4();
        two.asker.send::<Account>(root, OpenAccount { owner: "Ada".into() }).sync(SyncMode::Simple).await.unwrap();
        here.balances.trouble(root, 1, Trouble::Stuck);
        there.balances.trouble(root, 1, Trouble::Permanent);
        let deposited = two.asker.send::<Account>(root, Deposit { amount: 5 }).sync(SyncMode::Simple).into_future();
        let parked = async {
            eventually("it is parked there", async || !letters(&two.owner).await.is_empty()).await;
            // Whatever that process tells, it tells before this.
            two.owner.settled().await;
            here.balances.no_more_trouble(root, 1);
        };
        let (receipt, ()) = tokio::join!(deposited, parked);
        let receipt = receipt.unwrap();
        assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
        assert_eq!(receipt.projections_of::<BalanceView>("balances").map(|it| it.balance).collect::<Vec<_>>(), [5]);
        two.stop().await;
    }

    /// The projector elsewhere cannot handle the event: the answer says why.
    async fn r5_s9_j2_what_is_parked_elsewhere_is_missing_with_its_reason(store) {
        let two = Two::start(&store, &Shop::default()).await;
        let sent = two.asker.send::<Order>(Uuid::new_v4(), troubled("report fails", place(0, 0, 0))).sync(SyncMode::Simple);
        let receipt = sent.await.unwrap();
        let missing: Vec<_> = receipt.missing().iter().map(|it| (it.component.as_str(), it.reason.as_deref())).collect();
        assert_eq!(missing, [("report", Some("parked: on purpose"))]);
        two.stop().await;
    }

    /// Every answer is lost: positions and letters say what they can, and nobody waits for ever.
    async fn r5_s9_lost_answers_are_made_up_for_by_the_store(store) {
        let shop = Shop::default();
        let two = Two::start(&store, &shop).await;
        two.of_owner.answers(Fate::Lost);
        let opened = two.asker.send::<Account>(Uuid::new_v4(), OpenAccount { owner: "Ada".into() }).sync(SyncMode::Simple).await.unwrap();
        assert!(opened.missing().is_empty() && opened.done().contains(&"journal"), "{opened:?}");
        assert_eq!(opened.projections_of::<SeenView>("journal").count(), 0);
        fill(&two.asker).await;
        let order = Uuid::new_v4();
        let receipt = cascade(&two.asker, order, troubled("pack", place(1, 1, 50)), CascadeErrorMode::FailFast).await.unwrap();
        assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
        assert_eq!(receipt.done(), ["checkout", "report", "reserve"]);
        assert_eq!(two.asker.state::<Payment>(order).await.unwrap().taken, 50);
        // What a handler cannot handle is in the dead letters, wherever in the cascade.
        for trouble in ["saga fails", "report fails"] {
            let failed = failed(cascade(&two.asker, Uuid::new_v4(), troubled(trouble, place(1, 1, 50)), CascadeErrorMode::FailFast).await);
            assert!(failed.failures[0].message.contains("on purpose"), "{failed}");
        }
        assert!(two.of_owner.told() > 0, "it was tried");
        two.stop().await;
    }

    async fn r5_s9_doubled_answers_count_once(store) {
        let two = Two::start(&store, &Shop::default()).await;
        two.of_owner.answers(Fate::Doubled);
        two.of_asker.answers(Fate::Doubled);
        fill(&two.asker).await;
        let opened = two.asker.send::<Account>(Uuid::new_v4(), OpenAccount { owner: "Ada".into() }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(opened.projections_of::<SeenView>("journal").count(), 1);
        let receipt = cascade(&two.asker, Uuid::new_v4(), place(2, 50, 5_001), CascadeErrorMode::Continue).await.unwrap();
        assert_eq!(receipt.cascade_errors().len(), 3, "{:?}", receipt.cascade_errors());
        let failed = failed(cascade(&two.asker, Uuid::new_v4(), place(3, 4, 50), CascadeErrorMode::Compensate).await);
        assert_eq!((failed.failures.len(), failed.compensated), (1, 3), "{failed}");
        two.owner.settled().await;
        assert_eq!(two.asker.state::<Stock>(shelf()).await.unwrap().releases, 2);
        two.stop().await;
    }

    /// A repeat on another process waits for the same events.
    async fn r5_s4_c10_a_repeat_runs_nothing_again(store) {
        let two = Two::start(&store, &Shop::default()).await;
        fill(&two.asker).await;
        let order = Uuid::new_v4();
        for (round, by) in [&two.asker, &two.asker, &two.owner, &two.asker].into_iter().enumerate() {
            let send = by.send::<Order>(order, place(1, 1, 50)).sync(SyncMode::Cascade).external_id("once");
            let receipt = send.await.unwrap();
            assert_eq!(receipt.already_processed(), round > 0);
            assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            assert_eq!(by.state::<Stock>(shelf()).await.unwrap().free, 9);
        }
        forget_late(&two.asker).await;
        two.stop().await;
    }

    /// Whoever sends the command again, wherever, learns what fails: while the first one waits, and after it has gone; whether that
    /// runs the reactions itself or not.
    async fn r5_s4_c10_e2_whoever_repeats_a_cascade_learns_what_fails_elsewhere(store) {
        for (is_gone, is_owner) in [(false, false), (true, false), (false, true), (true, true)] {
            let (store, shop) = (store.another_to_share(), Shop::default());
            let time = Duration::from_secs(if is_gone { 4 } else { 30 });
            let patient = |builder: Builder| builder.reaction_attempts(1_000).sync_deadline(time);
            let two = Two::start_with(&store, &shop, patient).await;
            let third = Faults::new().shares();
            third.keep_out(true);
            let builder = shop.builder().lease_time(Duration::from_secs(1)).sync_deadline(Duration::from_secs(30));
            let third = third.describe(&store, builder).build().await.unwrap();
            fill(&two.asker).await;
            let order = Uuid::new_v4();
            let send = async |by: &Runtime| {
                let waits = by.send::<Order>(order, troubled("saga waits", place(1, 50, 50)));
                let waits = waits.sync(SyncMode::Cascade).cascade_error_mode(CascadeErrorMode::Continue);
                waits.external_id("once").await
            };
            let mut answers = Vec::new();
            let mut first = Box::pin(send(if is_owner { &two.owner } else { &two.asker }));
            tokio::select! {
                answer = &mut first => panic!("too early: {answer:?}"),
                () = eventually("it is tried", async || shop.tries.of("reserve") > 0) => {}
            }
            if is_gone {
                let receipt = first.await.unwrap();
                let missing: Vec<_> = receipt.missing().iter().map(|it| it.component.as_str()).collect();
                assert_eq!(missing, ["reserve"]);
            } else {
                answers.push(first);
            }
            for by in [&two.owner, &third, &two.asker] {
                answers.push(Box::pin(send(by)));
            }
            let go = async {
                // By then everybody has asked.
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                shop.tries.count("go");
            };
            let (answers, ()) = tokio::join!(futures_util::future::join_all(answers), go);
            for (place, receipt) in answers.into_iter().enumerate() {
                let receipt = receipt.unwrap();
                let codes: Vec<_> = receipt.cascade_errors().iter().map(|it| (it.component.as_str(), it.code)).collect();
                assert_eq!(codes, [("reserve", "REJECTED")], "gone {is_gone}, owner {is_owner}, answer {place}");
                assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
            }
            third.shutdown().await.unwrap();
            forget_late(&two.asker).await;
            two.stop().await;
        }
    }

    /// The command is stored. What cannot be found out of what follows is missing, for as long as it cannot.
    async fn r5_s4_s9_what_cannot_be_looked_up_is_missing(store) {
        let two = Two::start_with(&store, &Shop::default(), |builder| builder.sync_deadline(Duration::from_secs(3))).await;
        fill(&two.asker).await;
        let send = || two.asker.send::<Order>(Uuid::new_v4(), place(1, 1, 50)).sync(SyncMode::Cascade).into_future();
        let missing = |receipt: &Receipt| -> Vec<(String, String)> {
            receipt.missing().iter().map(|it| (it.component.clone(), it.reason.clone().unwrap_or_default())).collect()
        };
        two.of_asker.asked_for_waits(Asked::Refused);
        let receipt = send().await.unwrap();
        let found = missing(&receipt);
        assert!(found.iter().all(|(_, why)| why.contains("what follows from that is not known")), "{found:?}");
        assert_eq!(found.iter().map(|it| it.0.as_str()).collect::<BTreeSet<_>>(), BTreeSet::from(["checkout", "reserve"]));
        assert_eq!(receipt.done(), ["report"]);
        two.of_asker.asked_for_waits(Asked::Stuck);
        let found = missing(&send().await.unwrap());
        assert!(found.iter().all(|(_, why)| why.contains("did not answer in time")) && found.len() == 2, "{found:?}");
        two.of_asker.asked_for_waits(Asked::Answered);
        two.of_asker.asked_for_answers(Asked::Refused);
        let found = missing(&send().await.unwrap());
        assert!(found.iter().any(|(_, why)| why.contains("not known")), "{found:?}");
        // For a moment only: nobody notices.
        let mends = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            two.of_asker.asked_for_answers(Asked::Answered);
        };
        two.of_asker.asked_for_waits(Asked::Refused);
        let waits_mend = async {
            tokio::time::sleep(Duration::from_millis(800)).await;
            two.of_asker.asked_for_waits(Asked::Answered);
        };
        let (receipt, (), ()) = tokio::join!(send(), mends, waits_mend);
        let receipt = receipt.unwrap();
        assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
        assert_eq!(receipt.done(), ["checkout", "report", "reserve"]);
        forget_late(&two.asker).await;
        two.stop().await;
    }

    /// What is to be undone is looked up as long as there is hope; otherwise the error says so (row E3).
    async fn r5_e3_what_cannot_be_undone_is_said(store) {
        let two = Two::start_with(&store, &Shop::default(), |builder| builder.sync_deadline(Duration::from_secs(4))).await;
        fill(&two.asker).await;
        let order = Uuid::new_v4();
        two.of_asker.asked_for_waits(Asked::Refused);
        let error = cascade(&two.asker, order, place(1, 50, 50), CascadeErrorMode::Compensate).await.unwrap_err();
        assert!(error.to_string().contains("has to be undone by hand: "), "{error}");
        assert!(error.facts().iter().any(|(name, why)| *name == "not_undone" && why.contains("failed on purpose")), "{error:?}");
        assert!(!error.is_retryable(), "its events are stored");
        let failed = failed(Err(error));
        assert_eq!((failed.compensated, failed.failures.len(), failed.events.len()), (0, 1, 1));
        assert_eq!(two.asker.state::<Payment>(order).await.unwrap().taken, 50);
        // It mends after the deadline.
        let mends = async {
            tokio::time::sleep(Duration::from_secs(6)).await;
            two.of_asker.asked_for_waits(Asked::Answered);
        };
        let order = Uuid::new_v4();
        let (answer, ()) = tokio::join!(cascade(&two.asker, order, place(1, 50, 50), CascadeErrorMode::Compensate), mends);
        let failed = self::failed(answer);
        assert_eq!((failed.compensated, &failed.not_undone), (1, &None), "the payment: {failed}");
        assert_eq!(two.asker.state::<Payment>(order).await.unwrap().taken, 0);
        // There is never an answer: nobody waits for it for ever.
        two.of_asker.asked_for_waits(Asked::Stuck);
        let began = std::time::Instant::now();
        let answer = cascade(&two.asker, Uuid::new_v4(), place(1, 50, 50), CascadeErrorMode::Compensate).await;
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let failed = self::failed(answer);
        assert_eq!(failed.not_undone.as_deref(), Some("the store did not answer in time"), "{failed}");
        two.of_asker.asked_for_waits(Asked::Answered);
        forget_late(&two.asker).await;
        two.stop().await;
    }

    /// The command that begins the cascade was itself sent by a reaction, somewhere else: it stays (row E3).
    async fn r5_e3_the_first_command_is_not_undone(store) {
        use angzarr_runtime::proto::{self, page_header::SequenceType};
        let two = Two::start(&store, &Shop::default()).await;
        fill(&two.asker).await;
        let order = Uuid::new_v4();
        let deferred = proto::AngzarrDeferredSequence {
            source: Some(proto::Cover { domain: "elsewhere".into(), root: Some(proto::Uuid { value: order.as_bytes().to_vec() }), ..Default::default() }),
            source_seq: 3,
            source_component: "somebody".into(),
            command_index: 0,
        };
        let header = proto::PageHeader { sequence_type: Some(SequenceType::AngzarrDeferred(deferred)), sync_mode: None };
        let page = proto::CommandPage {
            header: Some(header),
            merge_strategy: 0,
            payload: Some(proto::command_page::Payload::Command(proto::pack_as("coordination.Place", &place(1, 50, 50)))),
        };
        let cover = proto::Cover {
            domain: "order".into(),
            root: Some(proto::Uuid { value: order.as_bytes().to_vec() }),
            ..Default::default()
        };
        let request = proto::CommandRequest {
            command: Some(proto::CommandBook { cover: Some(cover), pages: vec![page] }),
            sync_mode: proto::SyncMode::Cascade.into(),
            cascade_error_mode: proto::CascadeErrorMode::CascadeErrorCompensate.into(),
        };
        let failed = failed(two.asker.handle_command(request).await.map(|_| panic!("one line is out of stock")));
        assert_eq!(failed.compensated, 0, "{failed}");
        two.owner.settled().await;
        let story = two.asker.state::<Order>(order).await.unwrap().into_state().story;
        assert_eq!(story, ["placed", "backordered: out_of_stock: 10 are left"]);
        forget_late(&two.asker).await;
        two.stop().await;
    }

    /// One that grows faster than anybody looks: nobody follows it for long behind the deadline.
    async fn r5_s4_s9_a_cascade_that_grows_ends_at_its_deadline(store) {
        let more = |builder: Builder| builder.cascade_depth(100_000).sync_deadline(Duration::from_millis(700));
        let two = Two::start_with(&store, &Shop::default(), more).await;
        // However fast the machine is, it grows for some seconds.
        two.of_owner.slow_reads(Duration::from_millis(20));
        let began = std::time::Instant::now();
        let receipt = two.asker.send::<Loop>(Uuid::new_v4(), Ping { left: 400 }).sync(SyncMode::Cascade).await.unwrap();
        let took = began.elapsed();
        two.owner.settled().await;
        let whole = began.elapsed();
        let missing: Vec<_> = receipt.missing().iter().map(|it| it.component.as_str()).collect();
        assert!(missing.contains(&"echo"), "{took:?} {missing:?}");
        assert!(took < Duration::from_millis(700) + (whole - Duration::from_millis(700)) / 2, "{took:?} of {whole:?}");
        forget_late(&two.asker).await;
        two.stop().await;
    }

    /// The cascade fails at the deadline; a reaction elsewhere succeeds afterwards: whoever runs it undoes it (row E3).
    async fn r5_e3_what_succeeds_late_elsewhere_is_undone_too(store) {
        let shop = Shop::default();
        let patient = |builder: Builder| builder.reaction_attempts(1_000).sync_deadline(Duration::from_secs(5));
        let two = Two::start_with(&store, &shop, patient).await;
        fill(&two.asker).await;
        let late = troubled("saga waits", place(1, 1, 5_001));
        let failed = failed(cascade(&two.asker, Uuid::new_v4(), late, CascadeErrorMode::Compensate).await);
        assert_eq!((failed.failures.len(), failed.compensated), (1, 1), "the order was cancelled: {failed}");
        assert_eq!(two.asker.state::<Stock>(shelf()).await.unwrap().free, 10);
        shop.tries.count("go");
        eventually("it is undone", async || two.asker.state::<Stock>(shelf()).await.unwrap().releases == 1).await;
        two.owner.settled().await;
        let stock = events_of(two.asker.storage(), &StreamKey::main("stock", shelf())).await;
        let names: Vec<_> = stock.iter().filter_map(|it| it.type_name.rsplit('.').next()).collect();
        assert_eq!(names, ["Filled", "Reserved", "Released"]);
        forget_late(&two.asker).await;
        two.stop().await;
    }

    /// While one process goes and another one comes, every cascade has its whole answer.
    async fn r5_s4_s9_shares_change_hands_in_the_middle(store) {
        let shop = Shop::default();
        let start = async || {
            let builder = shop.builder().lease_time(Duration::from_secs(1)).sync_deadline(Duration::from_secs(20));
            store.describe(builder).build().await.unwrap()
        };
        let one = start().await;
        let orders = async |from: u32| {
            for round in from..from + 25 {
                let order = Uuid::new_v4();
                one.send::<Stock>(order, Fill { quantity: 1 }).await.unwrap();
                let send = one.send::<Order>(order, troubled("own shelf", place(2, 1, 50))).sync(SyncMode::Cascade);
                let send = send.correlation(format!("w{round}")).cascade_error_mode(CascadeErrorMode::Continue);
                let receipt = send.await.unwrap();
                assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
                let codes: Vec<_> = receipt.cascade_errors().iter().map(|it| (it.component.as_str(), it.code)).collect();
                assert_eq!(codes, [("reserve", "REJECTED")], "one of two lines");
                assert_eq!(one.state::<Payment>(order).await.unwrap().taken, 50);
                let opened = one.send::<Account>(Uuid::new_v4(), OpenAccount { owner: "Ada".into() }).sync(SyncMode::Simple).await.unwrap();
                assert!(opened.missing().is_empty() && opened.done().contains(&"journal"), "{opened:?}");
            }
        };
        let others = async {
            for _ in 0..3 {
                let other = start().await;
                tokio::time::sleep(Duration::from_millis(700)).await;
                other.shutdown().await.unwrap();
            }
        };
        tokio::join!(orders(0), orders(100), others);
        one.settled().await;
        // Whoever takes over handles some events again, and may tell it again when nobody waits any more: that goes by its age.
        forget_late(&one).await;
        nothing_left(&one).await;
        one.shutdown().await.unwrap();
    }
}

fn failed(answer: angzarr_runtime::Result<Receipt>) -> Box<angzarr_runtime::CascadeFailed> {
    match answer {
        Err(Error::Cascade(failed)) => failed,
        other => panic!("no failed cascade: {other:?}"),
    }
}

/// A process that dies with everything in its hands, and says nothing.
struct Dying(Option<tokio::runtime::Runtime>);

impl Dying {
    fn start(store: &Store, shop: &Shop, faults: &Faults) -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let builder = faults.describe(store, shop.builder().lease_time(Duration::from_secs(1)));
        tokio.block_on(async {
            let runtime = builder.build().await.unwrap();
            eventually("it has everything", async || share_of(&runtime) == (true, true)).await;
            std::mem::forget(runtime);
        });
        Self(Some(tokio))
    }

    fn die(&mut self) {
        if let Some(tokio) = self.0.take() {
            tokio.shutdown_background();
        }
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        self.die();
    }
}

/// A process dies in the middle of what the other one waits for; `then` says how.
fn with_a_death(store: &Store, shop: &Shop, then: impl AsyncFnOnce(&Runtime, &Faults, &mut dyn FnMut())) {
    within_with_a_death(store, shop, Duration::from_secs(30), then);
}

/// The same; the other one does not wait for longer than that.
fn within_with_a_death(
    store: &Store,
    shop: &Shop,
    deadline: Duration,
    then: impl AsyncFnOnce(&Runtime, &Faults, &mut dyn FnMut()),
) {
    let (of_asker, of_dying) = (Faults::new().shares(), Faults::new().shares());
    let mut dying = Dying::start(store, shop, &of_dying);
    of_asker.keep_out(true);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let builder = shop.builder().lease_time(Duration::from_secs(1)).sync_deadline(deadline);
        let asker = of_asker.describe(store, builder).build().await.unwrap();
        fill(&asker).await;
        let mut kill = || {
            dying.die();
            of_asker.keep_out(false);
        };
        then(&asker, &of_dying, &mut kill).await;
        asker.settled().await;
        nothing_left(&asker).await;
        asker.shutdown().await.unwrap();
    });
}

/// It has handled the event, and dies before it could tell: whoever takes over handles it again, and that is the answer.
fn an_owner_dies_before_it_tells(store: &Store) {
    let shop = Shop::default();
    with_a_death(store, &shop, async |asker, of_dying, kill| {
        of_dying.answers(Fate::Stuck);
        let simple = asker.send::<Account>(Uuid::new_v4(), OpenAccount { owner: "Ada".into() }).sync(SyncMode::Simple);
        let placed = asker.send::<Order>(Uuid::new_v4(), place(1, 1, 50)).sync(SyncMode::Cascade);
        let die = async {
            eventually("it has something to tell", async || of_dying.told() > 0 && shop.seen.of("placed") > 0).await;
            kill();
        };
        let (opened, placed, ()) = tokio::join!(simple.into_future(), placed.into_future(), die);
        let (opened, placed) = (opened.unwrap(), placed.unwrap());
        assert!(opened.missing().is_empty() && placed.missing().is_empty(), "{opened:?} {placed:?}");
        assert_eq!(opened.projections_of::<SeenView>("journal").count(), 1);
        assert_eq!(placed.done(), ["checkout", "report", "reserve"]);
        assert_eq!(asker.state::<Stock>(shelf()).await.unwrap().free, 9, "reserved once");
    });
}

/// Two of three commands have succeeded when it dies, and nobody has been told: the third one is refused in another process, and
/// all that had succeeded is undone once.
fn e3_an_owner_dies_between_its_commands(store: &Store) {
    let shop = Shop::default();
    with_a_death(store, &shop, async |asker, of_dying, kill| {
        of_dying.next("stock", [Fault::Pass, Fault::Pass, Fault::Hold]);
        let order = Uuid::new_v4();
        let sent = cascade(asker, order, place(4, 3, 50), CascadeErrorMode::Compensate);
        let die = async {
            eventually("two are reserved, the third one is on its way", async || of_dying.struck() == 3).await;
            kill();
        };
        let (answer, ()) = tokio::join!(sent, die);
        let failed = failed(answer);
        // The third one fits as well, the fourth one does not.
        assert_eq!((failed.failures.len(), failed.compensated), (1, 4), "three reservations and a payment: {failed}");
        asker.settled().await;
        let stock = events_of(asker.storage(), &StreamKey::main("stock", shelf())).await;
        let mut released: Vec<_> = stock
            .iter()
            .filter(|it| it.type_name.ends_with("Released"))
            .map(|it| decode::<Released>(it).sequences)
            .collect();
        released.sort();
        assert_eq!(released, [vec![1], vec![2], vec![3]]);
        let payment = events_of(asker.storage(), &StreamKey::main("payment", order)).await;
        assert_eq!(payment.len(), 2, "paid and returned, each once");
    });
}

/// The rejection is recorded and told in one step: it counts, although whoever ran the command is dead.
fn e1_an_owner_dies_behind_a_rejection(store: &Store) {
    let shop = Shop::default();
    with_a_death(store, &shop, async |asker, of_dying, kill| {
        of_dying.answers(Fate::Stuck);
        // The notification's own event.
        of_dying.next("order", [Fault::Hold]);
        let order = Uuid::new_v4();
        let sent = cascade(asker, order, place(1, 50, 50), CascadeErrorMode::Continue);
        let die = async {
            eventually("the rejection is recorded", async || of_dying.struck() == 1).await;
            kill();
        };
        let (answer, ()) = tokio::join!(sent, die);
        let receipt = answer.unwrap();
        let codes: Vec<_> = receipt.cascade_errors().iter().map(|it| (it.component.as_str(), it.code)).collect();
        assert_eq!(codes, [("reserve", "REJECTED")]);
        assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
        // It was waited for that somebody else delivers it.
        let story = asker.state::<Order>(order).await.unwrap().into_state().story;
        assert_eq!(story, ["placed", "backordered: out_of_stock: 10 are left"]);
    });
}

/// The cascade was undone while a command of a process manager could not be stored. When it can, whoever runs it dies before it has
/// looked whether it has to be undone: whoever takes over looks.
fn e3_an_owner_dies_before_it_undoes(store: &Store) {
    let shop = Shop::default();
    within_with_a_death(store, &shop, Duration::from_secs(5), async |asker, of_dying, kill| {
        of_dying.next("payment", vec![Fault::Fail(StorageErrorKind::Unavailable); 100_000]);
        let order = Uuid::new_v4();
        let failed = failed(cascade(asker, order, place(1, 50, 50), CascadeErrorMode::Compensate).await);
        assert_eq!((failed.failures.len(), failed.compensated), (1, 0), "{failed}");
        of_dying.asked_for_answers(Asked::Stuck);
        of_dying.clear();
        let taken = async || asker.state::<Payment>(order).await.unwrap().taken;
        eventually("it is paid", async || taken().await == 50).await;
        kill();
        eventually("it is returned", async || taken().await == 0).await;
        asker.settled().await;
        let payment = events_of(asker.storage(), &StreamKey::main("payment", order)).await;
        assert_eq!(payment.len(), 2, "paid and returned, each once");
        forget_late(asker).await;
    });
}

#[test]
fn r5_e3_an_owner_dies_before_it_undoes_on_memory() {
    e3_an_owner_dies_before_it_undoes(&Store::shared_memory());
}

#[cfg(feature = "postgres")]
#[test]
fn r5_e3_an_owner_dies_before_it_undoes_on_postgres() {
    e3_an_owner_dies_before_it_undoes(&Store::postgres());
}

#[test]
fn r5_s9_an_owner_dies_before_it_tells_on_memory() {
    an_owner_dies_before_it_tells(&Store::shared_memory());
}

#[test]
fn r5_e3_an_owner_dies_between_its_commands_on_memory() {
    e3_an_owner_dies_between_its_commands(&Store::shared_memory());
}

#[test]
fn r5_e1_an_owner_dies_behind_a_rejection_on_memory() {
    e1_an_owner_dies_behind_a_rejection(&Store::shared_memory());
}

#[cfg(feature = "postgres")]
#[test]
fn r5_s9_an_owner_dies_before_it_tells_on_postgres() {
    an_owner_dies_before_it_tells(&Store::postgres());
}

#[cfg(feature = "postgres")]
#[test]
fn r5_e3_an_owner_dies_between_its_commands_on_postgres() {
    e3_an_owner_dies_between_its_commands(&Store::postgres());
}

#[cfg(feature = "postgres")]
#[test]
fn r5_e1_an_owner_dies_behind_a_rejection_on_postgres() {
    e1_an_owner_dies_behind_a_rejection(&Store::postgres());
}
