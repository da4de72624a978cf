//! F: facts.

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CoverExt as _};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::on_every_store;
use angzarr_tests::store::{assert_gapless, decode, events_of};

use crate::domain::*;

on_every_store! {
    async fn f1_a_fact_is_appended_and_folded(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        let parcel = Uuid::new_v4();
        let receipt = runtime.fact::<Parcel, _>(parcel, Lost {}).external_id("l-1").correlation("w").await.unwrap();
        assert_eq!((receipt.events()[0].sequence, receipt.events()[0].type_name.as_str()), (0, "coordination.Lost"));
        assert_eq!(receipt.events()[0].headers.correlation_id(), "w");
        runtime.send::<Parcel>(parcel, Pack { trouble: String::new() }).await.unwrap();
        runtime.settled().await;
        assert_eq!(runtime.state::<Parcel>(parcel).await.unwrap().at, "weigher", "a saga's facts came in between");
        let receipt = runtime.fact::<Parcel, _>(parcel, Lost {}).external_id("l-2").await.unwrap();
        assert_eq!((receipt.events()[0].sequence, receipt.next_sequence()), (5, 6));
        assert_eq!(runtime.state::<Parcel>(parcel).await.unwrap().at, "nowhere");
        assert_gapless(&events_of(runtime.storage(), &StreamKey::main("parcel", parcel)).await);
        runtime.shutdown().await.unwrap();
    }

    async fn f2_a_fact_that_is_told_again_stores_nothing(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        let parcel = Uuid::new_v4();
        let tell = |n: u32| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                runtime.fact::<Parcel, _>(parcel, Delivered { by: format!("carrier {n}") }).external_id("d-1").await.unwrap()
            })
        };
        let told: Vec<_> = (0..8).map(tell).collect();
        let mut firsts = 0;
        let mut said = Vec::new();
        for receipt in told {
            let receipt = receipt.await.unwrap();
            firsts += u32::from(!receipt.already_processed());
            said.push(decode::<Arrived>(&receipt.events()[0]).by);
        }
        assert_eq!(firsts, 1);
        said.dedup();
        assert_eq!(said.len(), 1, "everybody has the original event");
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("parcel", parcel)).await.len(), 1);
        runtime.shutdown().await.unwrap();
    }

    async fn f3_a_fact_goes_through_its_method(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        let parcel = Uuid::new_v4();
        let turned = runtime.fact::<Parcel, _>(parcel, Delivered { by: "bike".into() }).await.unwrap();
        assert_eq!(turned.events()[0].type_name.as_str(), "coordination.Arrived");
        let flagged = runtime.fact::<Parcel, _>(parcel, Weighed { grams: 5_000 }).await.unwrap();
        assert_eq!(flagged.events().len(), 2, "the fact and its flag");
        let as_it_is = runtime.fact::<Parcel, _>(parcel, Weighed { grams: 6_000 }).as_it_is().await.unwrap();
        assert_eq!(as_it_is.events().len(), 1);
        // It has happened, whatever the method makes of it.
        let nothing = runtime.fact::<Parcel, _>(parcel, Scanned {}).await.unwrap();
        assert_eq!(nothing.events()[0].type_name.as_str(), "coordination.Scanned");
        let error = runtime.fact::<Parcel, _>(parcel, Delivered { by: "panic".into() }).external_id("p").await.unwrap_err();
        assert_eq!(error.code(), "HANDLER_PANICKED");
        let events = events_of(runtime.storage(), &StreamKey::main("parcel", parcel)).await;
        assert_eq!(events.len(), 5);
        assert_gapless(&events);
        runtime.shutdown().await.unwrap();
    }

    async fn f1_c7_a_fact_without_a_place_is_told(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        let error = runtime.fact::<Parcel, _>(Uuid::new_v4(), Packed::default()).as_it_is().await.map(drop);
        assert!(error.is_ok(), "what has an `#[apply]` has a place");
        let error = runtime.fact::<Parcel, _>(Uuid::new_v4(), Filled { quantity: 1 }).await.unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), ("UNKNOWN_FACT", false));
        assert!(error.to_string().contains("coordination.Filled"), "{error}");
        runtime.shutdown().await.unwrap();
    }

    async fn f1_f2_f3_facts_come_over_the_wire(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        let parcel = Uuid::new_v4();
        let page = |fact: prost_types::Any, id: &str| proto::EventPage {
            header: Some(proto::PageHeader {
                sequence_type: Some(proto::page_header::SequenceType::ExternalDeferred(proto::ExternalDeferredSequence {
                    external_id: id.into(),
                    ..Default::default()
                })),
                sync_mode: None,
            }),
            payload: Some(proto::event_page::Payload::Event(fact)),
            ..Default::default()
        };
        let request = |pages, route_to_handler| proto::EventRequest {
            events: Some(proto::EventBook {
                cover: Some(proto::Cover::of("parcel", parcel.into_bytes())),
                pages,
                ..Default::default()
            }),
            route_to_handler,
            ..Default::default()
        };
        let weighed = proto::pack(&Weighed { grams: 5_000 });
        let first = runtime.handle_event(request(vec![page(weighed.clone(), "a"), page(weighed.clone(), "a")], true)).await.unwrap();
        assert_eq!((first.events.unwrap().pages.len(), first.already_processed), (4, false));
        let again = runtime.handle_event(request(vec![page(weighed.clone(), "a")], false)).await.unwrap();
        assert_eq!((again.events.unwrap().pages.len(), again.already_processed), (4, true));
        let error = runtime.handle_event(request(vec![page(weighed.clone(), "b"), page(weighed, "c")], true)).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        let error = runtime.handle_event(request(Vec::new(), true)).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        let error = runtime.handle_event(proto::EventRequest::default()).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        runtime.shutdown().await.unwrap();
    }

    /// Facts of a saga are recorded once, with the handler's id or one of their own, however often the event comes.
    async fn g6_f2_facts_of_a_saga_are_recorded_once(store) {
        let faults = angzarr_tests::Faults::new();
        faults.forget_checkpoints(true);
        let parcel = Uuid::new_v4();
        for round in 0..3 {
            let runtime = faults.describe(&store, Shop::default().builder()).build().await.unwrap();
            if round == 0 {
                runtime.send::<Parcel>(parcel, Pack { trouble: String::new() }).correlation("w").await.unwrap();
            }
            runtime.settled().await;
            let events = events_of(runtime.storage(), &StreamKey::main("parcel", parcel)).await;
            let types: Vec<_> = events.iter().map(|event| event.type_name.as_str()).collect();
            let expected = ["Packed", "Weighed", "Scanned", "Arrived"].map(|name| format!("coordination.{name}"));
            assert_eq!(types, expected, "round {round}");
            assert!(events.iter().all(|event| event.headers.correlation_id() == "w"));
            runtime.shutdown().await.unwrap();
        }
    }

    async fn g6_p1_a_process_manager_records_facts(store) {
        let runtime = store.describe(Shop::default().builder()).build().await.unwrap();
        runtime.send::<Order>(Uuid::new_v4(), troubled("fact", place(0, 0, 50))).correlation("w").await.unwrap();
        runtime.settled().await;
        assert_eq!(runtime.state::<Parcel>(root("parcel", "two")).await.unwrap().at, "nowhere");
        runtime.shutdown().await.unwrap();
    }
}
