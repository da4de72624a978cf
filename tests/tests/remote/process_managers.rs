//! Process managers elsewhere: rows P.

use angzarr_runtime::Builder;
use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, EventPageExt as _};
use tonic::Status;

use crate::domain::*;
use crate::elsewhere::*;

fn builder() -> Builder {
    Runtime::builder()
        .storage(Memory::new())
        .reaction_attempts(2)
        .reaction_backoff(Duration::from_millis(1), Duration::from_millis(2))
}

/// Counts what it has seen of a workflow in its own stream, and takes as much from the shelf.
fn checkout() -> Process {
    Component::new(|request: &proto::ProcessManagerHandleRequest| {
        let (trigger, state) = (request.trigger.as_ref().unwrap(), request.process_state.as_ref().unwrap());
        let page = &trigger.pages[0];
        if let Ok(notification) = page.decode::<proto::Notification>() {
            let rejection: proto::RejectionNotification = notification.payload.unwrap().unpack().unwrap();
            let why = rejection.rejection_reason;
            let process_events = Some(book(vec![event(&Backordered { why })]));
            return Ok(proto::ProcessManagerHandleResponse { process_events, ..Default::default() });
        }
        let Ok(Placed { quantity }) = page.decode() else { return Ok(Default::default()) };
        if quantity == 13 {
            return Err(Status::failed_precondition("unlucky"));
        }
        let seen: u32 = state.pages.iter().filter_map(|it| it.decode::<Counted>().ok()).map(|it| it.quantity).sum();
        Ok(proto::ProcessManagerHandleResponse {
            process_events: Some(book(vec![event(&Counted { quantity: seen + quantity })])),
            commands: vec![command("shelf", root_of(trigger), &Take { quantity })],
            facts: vec![fact("shelf", root_of(trigger), &Counted { quantity })],
        })
    })
}

async fn started(process: &Process) -> (Served, Runtime) {
    let there = process_on(anywhere(), process).await;
    let runtime = builder().remote_process_manager("checkout", ["order"], there.url()).build().await.unwrap();
    (there, runtime)
}

/// The process's own events.
async fn own(runtime: &Runtime, correlation: &str) -> Vec<proto::EventPage> {
    let books = runtime.books_by_correlation(correlation).await.unwrap();
    let is_own = |book: &proto::EventBook| book.cover.as_ref().unwrap().domain == "checkout";
    books.into_iter().filter(is_own).flat_map(|book| book.pages).collect()
}

async fn place(runtime: &Runtime, order: Uuid, quantity: u32, correlation: &str) {
    runtime.send::<Order>(order, Place { quantity }).correlation(correlation).await.unwrap();
}

#[tokio::test]
async fn p1_p2_p4_it_decides_on_its_own_history() {
    let checkout = checkout();
    let (_there, runtime) = started(&checkout).await;
    let order = Uuid::new_v4();
    for (quantity, correlation) in [(1, "w-1"), (2, "w-1"), (4, "w-2")] {
        place(&runtime, order, quantity, correlation).await;
    }
    runtime.send::<Order>(order, Place { quantity: 7 }).await.unwrap(); // of no workflow
    settled(&runtime).await;
    let counts = |pages: &[proto::EventPage]| -> Vec<u32> {
        pages.iter().map(|page| page.decode::<Counted>().unwrap().quantity).collect()
    };
    assert_eq!(counts(&own(&runtime, "w-1").await), [1, 3]);
    assert_eq!(counts(&own(&runtime, "w-2").await), [4]);
    let shelf = runtime.state::<Shelf>(order).await.unwrap();
    assert_eq!((shelf.taken, shelf.counted), (7, 7));
    let status = runtime.subscriptions().into_iter().find(|it| it.name == "checkout").unwrap();
    assert_eq!(status.skipped, 1);
    assert_eq!(checkout.asked().len(), 3);
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn p6_it_is_told_when_a_command_of_its_is_rejected() {
    let (_there, runtime) = started(&checkout()).await;
    let order = Uuid::new_v4();
    place(&runtime, order, 11, "w-1").await;
    settled(&runtime).await;
    let own = own(&runtime, "w-1").await;
    assert_eq!(own.len(), 2);
    assert_eq!(own[1].decode::<Backordered>().unwrap().why, "too_many: 11 at once");
    assert_eq!(runtime.state::<Order>(order).await.unwrap().story, ["placed 11"], "it was not the order's command");
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn d4_what_it_refuses_becomes_a_dead_letter_and_an_outage_does_not() {
    let address = nowhere().await;
    let runtime = builder().remote_process_manager("checkout", ["order"], url(address)).build().await.unwrap();
    let order = Uuid::new_v4();
    place(&runtime, order, 3, "w-1").await;
    let reason = stalled(&runtime, "checkout").await;
    assert!(reason.contains("`checkout` at") && reason.contains("out of reach"), "{reason}");
    let _there = process_on(address, &checkout()).await;
    place(&runtime, order, 13, "w-1").await;
    place(&runtime, order, 5, "w-1").await;
    settled(&runtime).await;
    assert_eq!(runtime.state::<Shelf>(order).await.unwrap().taken, 8);
    let [letter] = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().try_into().unwrap();
    assert_eq!(letter.letter.source_component, "checkout");
    assert!(letter.letter.rejection_reason.contains("unlucky"), "{letter:?}");
    runtime.shutdown().await.unwrap();
}
