//! B4, B5, B6: reactions stay in their branch; branches are merged and discarded.

use std::sync::Arc;

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::{EditionInfo, IntentFilter};
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::{Code, Merged};
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{assert_gapless, events_of};
use angzarr_tests::time::ManualClock;
use angzarr_tests::{Store, on_every_store};

use crate::domain::*;

async fn start(store: &Store) -> Runtime {
    let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
    runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
    runtime
}

async fn story(runtime: &Runtime, order: Uuid, edition: &str) -> Vec<String> {
    runtime.state::<Order>(order).edition(edition).await.unwrap().into_state().story
}

async fn free(runtime: &Runtime, edition: &str) -> u32 {
    runtime.state::<Stock>(shelf()).edition(edition).await.unwrap().free
}

async fn editions(runtime: &Runtime) -> Vec<EditionInfo> {
    runtime.storage().editions().await.unwrap()
}

on_every_store! {
    /// Stock is reserved in the branch, and the merge brings that along: main's own saga, which sees the merged order, does not
    /// reserve a second time, and its process manager does not take the money again.
    async fn b6_g2_p3_what_the_branch_has_done_is_not_done_again(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(2, 3, 50)).correlation("w").edition("what-if").await.unwrap();
        runtime.settled().await;
        assert_eq!((free(&runtime, "what-if").await, free(&runtime, "").await), (4, 10));
        let merged = runtime.edition("what-if").merge().await.unwrap();
        assert_eq!((merged.streams, merged.events, merged.already_merged), (4, 6, false));
        runtime.settled().await;
        assert_eq!(free(&runtime, "").await, 4, "reserved once");
        assert_eq!(runtime.state::<Payment>(order).await.unwrap().times, 1, "paid once");
        assert_eq!(runtime.process::<Checkout>("w").await.unwrap().story, ["started 50", "paid 50"]);
        assert_eq!(story(&runtime, order, "").await, ["placed"]);
        for key in [StreamKey::main("order", order), StreamKey::main("stock", shelf()), StreamKey::main("payment", order)] {
            assert_gapless(&events_of(runtime.storage(), &key).await);
        }
        assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        // Again: nothing is written, and the answer says why.
        let head = runtime.storage().head();
        let again = runtime.edition("what-if").merge().await.unwrap();
        assert_eq!((again.streams, again.already_merged, runtime.storage().head()), (4, true, head));
        // Main goes on from there.
        runtime.send::<Stock>(shelf(), Fill { quantity: 1 }).await.unwrap();
        assert_eq!(free(&runtime, "").await, 5);
        runtime.shutdown().await.unwrap();
    }

    /// What the branch's reactions had not come to yet is done on main.
    async fn b6_p5_what_is_still_to_be_done_goes_along(store) {
        let clock = ManualClock::at(1_000);
        let runtime = store.describe(Shop::default().builder().clock(clock.clone())).build().await.unwrap();
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(0, 0, 13)).correlation("w").edition("what-if").await.unwrap();
        runtime.settled().await;
        runtime.edition("what-if").merge().await.unwrap();
        runtime.settled().await;
        let waiting = runtime.storage().intents(&IntentFilter::default()).await.unwrap();
        assert_eq!(waiting.len(), 1);
        assert!(waiting[0].stream.is_main());
        clock.set(1_901);
        eventually("late on main", async || story(&runtime, order, "").await == ["placed", "cancelled: late"]).await;
        runtime.settled().await;
        assert_eq!(story(&runtime, order, "what-if").await, ["placed"], "once, and there");
        runtime.shutdown().await.unwrap();
    }

    async fn b6_a_merge_conflicts_as_a_whole(store) {
        let runtime = start(&store).await;
        let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
        for order in [one, two] {
            runtime.send::<Order>(order, place(0, 0, 0)).await.unwrap();
            runtime.send::<Order>(order, Cancel { why: "in the branch".into() }).edition("what-if").await.unwrap();
        }
        runtime.send::<Stock>(shelf(), Fill { quantity: 5 }).edition("what-if").await.unwrap();
        for order in [one, two] {
            runtime.send::<Order>(order, Cancel { why: "on main".into() }).await.unwrap();
        }
        let head = runtime.storage().head();
        let error = runtime.edition("what-if").merge().await.unwrap_err();
        assert_eq!((error.code(), error.status(), error.is_retryable()), ("MERGE_CONFLICT", Code::Aborted, false));
        let text = error.to_string();
        for order in [one, two] {
            assert!(text.contains(&format!("order/{order} is at 2, the branch left it at 1")), "{text}");
        }
        assert!(!text.contains("stock/"), "{text}");
        assert_eq!(runtime.storage().head(), head, "nothing is written");
        assert_eq!(free(&runtime, "").await, 10);
        runtime.shutdown().await.unwrap();
    }

    /// Writers on main and in the branch meanwhile: all or nothing, whoever comes first.
    async fn b6_c9_a_merge_races_with_writers(store) {
        let runtime = start(&store).await;
        for round in 0..8 {
            let (name, order) = (format!("r{round}"), Uuid::new_v4());
            runtime.send::<Order>(order, place(0, 0, 0)).await.unwrap();
            runtime.send::<Order>(order, Cancel { why: "branch".into() }).edition(name.as_str()).await.unwrap();
            let (on_main, in_branch, merging) = (runtime.clone(), runtime.clone(), runtime.clone());
            let (of_branch, of_merge) = (name.clone(), name.clone());
            let writes = tokio::spawn(async move { on_main.send::<Order>(order, Cancel { why: "main".into() }).await });
            let branches = tokio::spawn(async move {
                in_branch.send::<Order>(order, Cancel { why: "more".into() }).edition(of_branch.as_str()).await
            });
            let merged = merging.edition(of_merge).merge().await;
            writes.await.unwrap().unwrap();
            branches.await.unwrap().unwrap();
            let main = story(&runtime, order, "").await;
            match merged {
                Ok(Merged { events, .. }) => assert_eq!(main.len() as u64, 2 + events, "{main:?}"),
                Err(error) => assert_eq!((error.code(), main.len()), ("MERGE_CONFLICT", 2), "{main:?}"),
            }
            assert_gapless(&events_of(runtime.storage(), &StreamKey::main("order", order)).await);
        }
        runtime.shutdown().await.unwrap();
    }

    async fn b5_a_discarded_branch_is_gone_and_may_begin_anew(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(1, 50, 13)).correlation("w").edition("what-if").await.unwrap();
        runtime.settled().await;
        assert_eq!(story(&runtime, order, "what-if").await.len(), 2);
        runtime.edition("what-if").discard().await.unwrap();
        assert!(editions(&runtime).await.is_empty());
        assert!(story(&runtime, order, "what-if").await.is_empty(), "it is main again, where nothing is");
        assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty(), "its timeouts are gone");
        assert_eq!(free(&runtime, "").await, 10);
        // The same again: it is another branch, and everything in it happens anew.
        runtime.send::<Order>(order, place(1, 50, 50)).correlation("w").edition("what-if").await.unwrap();
        runtime.settled().await;
        assert_eq!(story(&runtime, order, "what-if").await, ["placed", "backordered: out_of_stock: 10 are left"]);
        assert_eq!(runtime.state::<Payment>(order).edition("what-if").await.unwrap().times, 1);
        runtime.shutdown().await.unwrap();
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        assert_eq!(story(&runtime, order, "what-if").await.len(), 2);
        runtime.shutdown().await.unwrap();
    }

    /// The other domains stay, and what they did for its events does not stand in the way of the events that come anew.
    async fn b5_g2_one_domain_is_discarded(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(1, 2, 0)).edition("what-if").await.unwrap();
        runtime.settled().await;
        assert_eq!(free(&runtime, "what-if").await, 8);
        runtime.edition("what-if").of_domain("order").discard().await.unwrap();
        assert_eq!(free(&runtime, "what-if").await, 8, "the stock stays");
        assert!(story(&runtime, order, "what-if").await.is_empty());
        runtime.send::<Order>(order, place(1, 2, 0)).edition("what-if").await.unwrap();
        runtime.settled().await;
        assert_eq!(free(&runtime, "what-if").await, 6, "another order, another reservation");
        runtime.shutdown().await.unwrap();
    }

    async fn b5_b6_what_cannot_be_ended_is_told(store) {
        let runtime = start(&store).await;
        for main in ["", "angzarr"] {
            assert_eq!(runtime.edition(main).discard().await.unwrap_err().code(), "INVALID_ARGUMENT");
            assert_eq!(runtime.edition(main).merge().await.unwrap_err().code(), "INVALID_ARGUMENT");
        }
        runtime.send::<Stock>(shelf(), Fill { quantity: 5 }).edition("what-if").await.unwrap();
        let error = runtime.edition("whatif").discard().await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("UNKNOWN_EDITION", Code::NotFound));
        assert!(error.to_string().contains("did you mean `what-if`?"), "{error}");
        assert_eq!(runtime.edition("what-if").of_domain("stock").merge().await.unwrap_err().code(), "INVALID_ARGUMENT");
        runtime.shutdown().await.unwrap();
    }

    /// Commands of the branch while it is discarded: each is in the old one or in the new one, never half in both.
    async fn b5_c9_commands_and_discards_take_turns(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (runtime, stop) = (runtime.clone(), stop.clone());
                tokio::spawn(async move {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        runtime.send::<Order>(order, Cancel { why: "x".into() }).edition("what-if").await.unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            eventually("there is something", async || !editions(&runtime).await.is_empty()).await;
            runtime.edition("what-if").discard().await.unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        let key = StreamKey { edition: "what-if".into(), ..StreamKey::main("order", order) };
        let events = events_of(runtime.storage(), &key).await;
        assert_gapless(&events);
        assert_eq!(story(&runtime, order, "what-if").await.len(), events.len(), "the state is that of the events");
        runtime.shutdown().await.unwrap();
    }

    /// A fact that its handler gave no id is known on main by the event that it is for, as a command is.
    async fn b6_g6_f2_a_fact_of_the_branch_is_not_recorded_again(store) {
        let runtime = start(&store).await;
        let parcel = Uuid::new_v4();
        runtime.send::<Parcel>(parcel, Pack { trouble: String::new() }).edition("what-if").await.unwrap();
        runtime.settled().await;
        runtime.edition("what-if").merge().await.unwrap();
        runtime.settled().await;
        let types: Vec<_> = events_of(runtime.storage(), &StreamKey::main("parcel", parcel)).await;
        let types: Vec<_> = types.iter().map(|event| event.type_name.as_str()).collect();
        let expected = ["Packed", "Weighed", "Scanned", "Arrived"].map(|name| format!("coordination.{name}"));
        assert_eq!(types, expected);
        runtime.shutdown().await.unwrap();
    }

    async fn b5_g6_a_fact_for_an_event_that_comes_anew_is_another_one(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        let key = StreamKey { edition: "what-if".into(), ..StreamKey::main("parcel", root("parcel", "two")) };
        for count in 1..=2 {
            let place = troubled("fact", place(0, 0, 13));
            runtime.send::<Order>(order, place).correlation("w").edition("what-if").await.unwrap();
            runtime.settled().await;
            assert_eq!(events_of(runtime.storage(), &key).await.len(), count);
            runtime.edition("what-if").of_domain("order").discard().await.unwrap();
        }
        runtime.shutdown().await.unwrap();
    }

    /// The source has decided what becomes of the rejection, in the branch. Main would not reject the command any more.
    async fn b6_k1_what_was_rejected_in_the_branch_is_not_asked_again(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(1, 50, 0)).edition("what-if").await.unwrap();
        runtime.settled().await;
        runtime.send::<Stock>(shelf(), Fill { quantity: 100 }).await.unwrap();
        runtime.edition("what-if").merge().await.unwrap();
        runtime.settled().await;
        assert_eq!(free(&runtime, "").await, 110);
        assert_eq!(story(&runtime, order, "").await, ["placed", "backordered: out_of_stock: 10 are left"]);
        runtime.shutdown().await.unwrap();
    }

    /// A letter goes along: main's saga does not ask for what waits there, and whoever tries it again does it on main.
    async fn b6_k3_letters_go_along(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        let letters = async || runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        runtime.send::<Order>(order, troubled("order refuses", place(0, 0, 0))).edition("what-if").await.unwrap();
        runtime.settled().await;
        let in_branch = letters().await;
        runtime.edition("what-if").merge().await.unwrap();
        runtime.settled().await;
        let on_main = letters().await;
        assert_eq!((in_branch.len(), on_main.len()), (1, 1));
        assert_ne!(in_branch[0].id, on_main[0].id);
        assert_eq!(on_main[0].letter.cover.as_ref().unwrap().edition, None);
        let text = runtime.dead_letters().retry(on_main[0].id).await.unwrap_err().to_string();
        assert!(text.contains("it was shipped"), "{text}");
        assert_eq!(story(&runtime, order, "what-if").await, ["placed"]);
        runtime.shutdown().await.unwrap();
    }

    /// The second branch of a name fails for itself, and its letter is open.
    async fn b5_d1_letters_go_with_their_branch(store) {
        let runtime = start(&store).await;
        let order = Uuid::new_v4();
        let mut ids = std::collections::HashSet::new();
        for _ in 0..3 {
            let place = troubled("order refuses", place(0, 0, 0));
            runtime.send::<Order>(order, place).edition("what-if").await.unwrap();
            runtime.settled().await;
            let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
            assert_eq!(letters.len(), 1);
            assert!(ids.insert(letters[0].id));
            runtime.edition("what-if").discard().await.unwrap();
            assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        }
        runtime.shutdown().await.unwrap();
    }

    /// The saga had the event in its hands when the branch went.
    async fn b5_g1_a_reaction_that_is_late_writes_nothing(store) {
        for trouble in ["saga waits", "saga waits and fails"] {
            let shop = Shop::default();
            let builder = shop.builder().reaction_attempts(100_000).expect_domains(["order"]);
            let runtime = store.describe(builder).build().await.unwrap();
            runtime.send::<Order>(Uuid::new_v4(), troubled(trouble, place(1, 0, 0))).edition("late").await.unwrap();
            eventually("the saga is at work", async || shop.tries.of("reserve") > 1).await;
            runtime.edition("late").discard().await.unwrap();
            shop.tries.count("go");
            runtime.settled().await;
            assert!(editions(&runtime).await.is_empty(), "{trouble}");
            assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty(), "{trouble}");
            assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty(), "{trouble}");
            runtime.shutdown().await.unwrap();
        }
    }

    /// The timeout was scheduled on main, and the branch, which has inherited the process, has taken it back.
    async fn b6_p5_a_timeout_that_the_branch_has_taken_back_does_not_fire(store) {
        let clock = ManualClock::at(1_000);
        let runtime = store.describe(Shop::default().builder().clock(clock.clone())).build().await.unwrap();
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, place(0, 0, 13)).correlation("w").await.unwrap();
        runtime.settled().await;
        runtime.send::<Payment>(order, TakePayment { amount: 50 }).correlation("w").edition("what-if").await.unwrap();
        runtime.settled().await;
        runtime.edition("what-if").merge().await.unwrap();
        assert_eq!(runtime.process::<Checkout>("w").await.unwrap().story, ["started 13", "paid 50"]);
        assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty());
        clock.set(5_000);
        runtime.settled().await;
        assert_eq!(story(&runtime, order, "").await, ["placed"]);
        runtime.shutdown().await.unwrap();
    }

    /// A branch that goes on after its merge does not go on from where main is.
    async fn b6_a_branch_that_has_gone_on_since_its_merge_conflicts(store) {
        let runtime = start(&store).await;
        let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Order>(one, place(0, 0, 0)).edition("what-if").await.unwrap();
        runtime.edition("what-if").merge().await.unwrap();
        runtime.send::<Order>(two, place(0, 0, 0)).edition("what-if").await.unwrap();
        let head = runtime.storage().head();
        let text = runtime.edition("what-if").merge().await.unwrap_err().to_string();
        assert!(text.contains(&format!("order/{one} is at 1, the branch left it at 0")), "{text}");
        assert_eq!(runtime.storage().head(), head);
        runtime.shutdown().await.unwrap();
    }
}
