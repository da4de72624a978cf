//! K: compensation.

use std::sync::{Arc, Mutex};

use angzarr_runtime::Escalation;
use angzarr_runtime::dead_letter::{DeadLetter, DeadLetterFilter};
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto;
use angzarr_runtime::storage::{IntentFilter, IntentKind, StorageErrorKind};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{assert_gapless, decode, events_of};
use angzarr_tests::{Fault, Faults, on_every_store};

use crate::domain::*;

async fn letters(runtime: &Runtime) -> Vec<DeadLetter> {
    runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap()
}

async fn story(runtime: &Runtime, order: Uuid) -> Vec<String> {
    runtime.state::<Order>(order).await.unwrap().into_state().story
}

on_every_store! {
    /// Commands that differ in their index alone are notified each; no notification is in any stream.
    async fn k1_k2_k5_each_rejected_command_reaches_its_source_once(store) {
        let faults = Faults::new();
        faults.forget_checkpoints(true);
        let order = Uuid::new_v4();
        for round in 0..3 {
            let runtime = faults.describe(&store, Shop::default().builder()).build().await.unwrap();
            if round == 0 {
                runtime.send::<Order>(order, place(2, 5, 0)).correlation("w").await.unwrap();
            }
            runtime.settled().await;
            let why = "backordered: out_of_stock: 0 are left";
            assert_eq!(story(&runtime, order).await, ["placed", why, why], "round {round}");
            let events = events_of(runtime.storage(), &StreamKey::main("order", order)).await;
            assert_gapless(&events);
            assert!(events.iter().all(|event| event.headers.correlation_id() == "w"), "row I1");
            assert!(events.iter().all(|event| event.type_name.starts_with("coordination.")), "row K5");
            assert!(letters(&runtime).await.is_empty());
            assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty());
            runtime.shutdown().await.unwrap();
        }
    }

    /// Told as rejected once, rejected it stays: the repeat of its event does not ask a target that would accept by now.
    async fn k1_g2_what_was_rejected_stays_rejected(store) {
        let faults = Faults::new();
        faults.forget_checkpoints(true);
        let order = Uuid::new_v4();
        let runtime = faults.describe(&store, Shop::default().builder()).build().await.unwrap();
        runtime.send::<Order>(order, place(1, 5, 0)).await.unwrap();
        runtime.settled().await;
        assert_eq!(story(&runtime, order).await.len(), 2);
        runtime.send::<Stock>(shelf(), Fill { quantity: 100 }).await.unwrap();
        runtime.shutdown().await.unwrap();
        let runtime = faults.describe(&store, Shop::default().builder()).build().await.unwrap();
        runtime.settled().await;
        assert_eq!(runtime.state::<Stock>(shelf()).await.unwrap().free, 100);
        assert_eq!(story(&runtime, order).await.len(), 2);
        runtime.shutdown().await.unwrap();
    }

    /// Recorded, and the delivery fails until the process ends: delivered after the restart.
    async fn k1_r1_a_recorded_rejection_is_delivered_after_a_restart(store) {
        let faults = Faults::new();
        let order = Uuid::new_v4();
        let runtime = faults.describe(&store, Shop::default().builder()).build().await.unwrap();
        // The order itself goes through, the notification does not.
        let fails = std::iter::repeat_n(Fault::Fail(StorageErrorKind::Unavailable), 5_000);
        faults.next("order", std::iter::once(Fault::Delay(Duration::ZERO)).chain(fails));
        runtime.send::<Order>(order, place(1, 5, 0)).await.unwrap();
        let recorded = IntentFilter { kind: Some(IntentKind::Notification), ..IntentFilter::default() };
        eventually("recorded", async || !runtime.storage().intents(&recorded).await.unwrap().is_empty()).await;
        runtime.shutdown().await.unwrap();
        // The target would accept by now; it is not asked again.
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        runtime.send::<Stock>(shelf(), Fill { quantity: 100 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(story(&runtime, order).await, ["placed", "backordered: out_of_stock: 0 are left"]);
        assert!(runtime.storage().intents(&recorded).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn k3_d1_d2_d5_what_nobody_answers_waits_in_the_dead_letters(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, troubled("order refuses", place(0, 0, 0))).correlation("w").await.unwrap();
        runtime.settled().await;
        let letters = letters(&runtime).await;
        assert_eq!(letters.len(), 1);
        let letter = &letters[0].letter;
        assert_eq!((letters[0].domain(), letter.source_component.as_str(), letter.source_component_type.as_str()), ("order", "reserve", "saga"));
        assert_eq!(letter.cover.as_ref().unwrap().correlation_id, "w");
        assert!(letter.rejection_reason.contains("not_cancelled: it was shipped"), "{}", letter.rejection_reason);
        let error = runtime.dead_letters().retry(letters[0].id).await.unwrap_err();
        assert_eq!(error.rejection().unwrap().code(), "not_cancelled", "it is the command that runs again");
        runtime.shutdown().await.unwrap();
    }

    /// A chain of two sagas: who cannot decide hands on, to whoever sent the command before. Two are two.
    async fn k2_k5_a_notification_is_handed_on(store) {
        let faults = Faults::new();
        faults.forget_checkpoints(true);
        let order = Uuid::new_v4();
        for round in 0..2 {
            let runtime = faults.describe(&store, Shop::default().builder()).build().await.unwrap();
            if round == 0 {
                runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
                runtime.send::<Order>(order, troubled("pack fails twice", place(1, 1, 0))).correlation("w").await.unwrap();
            }
            runtime.settled().await;
            assert_eq!(story(&runtime, order).await, ["placed", "cancelled: no_box", "cancelled: no_box"], "round {round}");
            assert_eq!(events_of(runtime.storage(), &StreamKey::main("stock", shelf())).await.len(), 2);
            assert!(letters(&runtime).await.is_empty());
            assert!(runtime.storage().intents(&IntentFilter::default()).await.unwrap().is_empty());
            runtime.shutdown().await.unwrap();
        }
    }

    /// Nobody sent what it came from: it waits for a person.
    async fn k2_k3_a_notification_that_nobody_can_take_is_a_dead_letter(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        runtime.send::<Stock>(shelf(), Fill { quantity: 10 }).await.unwrap();
        let direct = Reserve { quantity: 1, trouble: "pack fails".into() };
        runtime.send::<Stock>(shelf(), direct).await.unwrap();
        runtime.settled().await;
        let letters = letters(&runtime).await;
        assert_eq!(letters.len(), 1);
        assert!(letters[0].letter.rejection_reason.contains("nobody sent what it came from"));
        runtime.shutdown().await.unwrap();
    }

    async fn k4_a_revocation_says_what_is_to_be_done(store) {
        let heard: Arc<Mutex<Vec<Escalation>>> = Arc::default();
        let hears = heard.clone();
        let builder = Shop::default().builder().on_escalation(move |it| hears.lock().unwrap().push(it.clone()));
        let runtime = store.describe(builder).build().await.unwrap();
        let (gives_up, shrugs) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Order>(gives_up, troubled("give up", place(1, 5, 0))).correlation("w").await.unwrap();
        runtime.send::<Order>(shrugs, troubled("shrug", place(1, 5, 0))).await.unwrap();
        runtime.settled().await;
        let events = events_of(runtime.storage(), &StreamKey::main("order", gives_up)).await;
        assert_eq!(events.len(), 2);
        let failed = <proto::SagaCompensationFailed as prost::Message>::decode(events[1].payload.as_ref()).unwrap();
        assert_eq!(events[1].type_name.as_str(), "angzarr.SagaCompensationFailed");
        assert_eq!((failed.saga_name.as_str(), failed.triggering_event_sequence), ("reserve", 0));
        assert_eq!(failed.compensation_failure_reason, "nothing to be done");
        assert_eq!(failed.rejection_reason, "out_of_stock: 0 are left");
        assert_eq!(story(&runtime, gives_up).await, ["placed"], "it is no business of the state");
        let letters = letters(&runtime).await;
        assert_eq!(letters.len(), 1);
        assert!(letters[0].letter.rejection_reason.contains("nothing to be done"));
        let heard = heard.lock().unwrap().clone();
        assert_eq!((heard.len(), heard[0].reason.as_str(), heard[0].stream.root), (1, "nothing to be done", gives_up));
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("order", shrugs)).await.len(), 1);
        runtime.shutdown().await.unwrap();
    }

    /// A method that keeps panicking is tried again with growing pauses, and then its command waits.
    async fn k5_d4_a_delivery_that_fails_is_tried_again_and_given_up(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, troubled("panic", place(1, 5, 0))).await.unwrap();
        eventually("given up", async || !letters(&runtime).await.is_empty()).await;
        runtime.settled().await;
        let letters = letters(&runtime).await;
        assert_eq!((letters.len(), letters[0].attempts), (1, 5));
        assert!(letters[0].letter.rejection_reason.contains("panicked"), "{}", letters[0].letter.rejection_reason);
        let waiting = IntentFilter { kind: Some(IntentKind::Notification), ..IntentFilter::default() };
        assert!(runtime.storage().intents(&waiting).await.unwrap().is_empty());
        assert_eq!(story(&runtime, order).await, ["placed"]);
        // Tried again, it is the delivery that runs again, not the command.
        runtime.dead_letters().retry(letters[0].id).await.unwrap();
        eventually("given up again", async || !self::letters(&runtime).await.is_empty()).await;
        assert_eq!(self::letters(&runtime).await[0].id, letters[0].id);
        runtime.shutdown().await.unwrap();
    }

    async fn k1_b4_a_rejection_stays_in_its_edition(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        runtime.send::<Stock>(shelf(), Fill { quantity: 3 }).await.unwrap();
        runtime.send::<Stock>(shelf(), Fill { quantity: 4 }).await.unwrap();
        let order = Uuid::new_v4();
        // In the branch the second filling has not happened: divergences of other domains come along.
        let branch = Edition::named("what-if").diverge("stock", 1);
        runtime.send::<Order>(order, place(1, 5, 0)).edition(branch).await.unwrap();
        runtime.settled().await;
        let told = runtime.state::<Order>(order).edition("what-if").await.unwrap().into_state().story;
        assert_eq!(told, ["placed", "backordered: out_of_stock: 3 are left"]);
        assert!(story(&runtime, order).await.is_empty());
        let events = events_of(runtime.storage(), &StreamKey { edition: "what-if".into(), ..StreamKey::main("order", order) }).await;
        assert_eq!(decode::<Backordered>(&events[1]).index, 5);
        runtime.shutdown().await.unwrap();
    }
}
