//! Sagas elsewhere: rows G, K, B4, I1, D4.

use angzarr_runtime::Builder;
use angzarr_runtime::dead_letter::{DeadLetter, DeadLetterFilter};
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CoverExt as _, EventPageExt as _};
use prost_types::Any;
use proto::angzarr_dead_letter::RejectionDetails;
use tonic::Status;

use crate::domain::*;
use crate::elsewhere::*;

fn builder() -> Builder {
    Runtime::builder()
        .storage(Memory::new())
        .reaction_attempts(3)
        .reaction_backoff(Duration::from_millis(1), Duration::from_millis(2))
}

/// Takes what was placed from the shelf with the root of the order, and counts it there.
fn courier() -> Saga {
    Component::new(|request: &proto::SagaHandleRequest| {
        let source = request.source.as_ref().unwrap();
        let mut answer = proto::SagaResponse::default();
        for placed in source.pages.iter().filter_map(|page| page.decode::<Placed>().ok()) {
            let quantity = placed.quantity;
            answer.commands.push(command("shelf", root_of(source), &Take { quantity }));
            answer.events.push(fact("shelf", root_of(source), &Counted { quantity }));
        }
        Ok(answer)
    })
}

async fn letters(runtime: &Runtime) -> Vec<DeadLetter> {
    runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap()
}

#[tokio::test]
async fn g1_g6_i1_what_it_answers_is_delivered_once_with_the_events_workflow() {
    let courier = courier();
    let there = saga_on(anywhere(), &courier).await;
    let runtime = builder().remote_saga("courier", "order", there.url()).build().await.unwrap();
    let order = Uuid::new_v4();
    runtime.send::<Order>(order, Place { quantity: 3 }).correlation("w-1").await.unwrap();
    settled(&runtime).await;
    let shelf = runtime.state::<Shelf>(order).await.unwrap();
    assert_eq!((shelf.taken, shelf.counted), (3, 3));
    let books = runtime.books_by_correlation("w-1").await.unwrap();
    assert_eq!(books.iter().map(|book| book.pages.len()).sum::<usize>(), 3, "one placed, one taken, one counted");
    let [asked] = courier.asked().try_into().unwrap();
    let source = asked.source.unwrap();
    assert_eq!((root_of(&source), source.next_sequence), (order, 1));
    assert_eq!(source.cover.unwrap().correlation_id, "w-1");
    assert_eq!((source.pages[0].sequence(), source.pages[0].created_at.is_some()), (Some(0), true));
    // What it gave for an event that is not its own business: nothing was stored.
    runtime.shutdown().await.unwrap();
}

/// Whatever edition the component writes into its answer.
#[tokio::test]
async fn b4_commands_stay_in_the_branch_of_their_event() {
    let courier: Saga = Component::new(|request: &proto::SagaHandleRequest| {
        let mut book = command("shelf", root_of(request.source.as_ref().unwrap()), &Take { quantity: 1 });
        book.cover.as_mut().unwrap().edition = Some(proto::Edition { name: "elsewhere".into(), divergences: vec![] });
        Ok(proto::SagaResponse { commands: vec![book], events: vec![] })
    });
    let there = saga_on(anywhere(), &courier).await;
    let runtime = builder().remote_saga("courier", "order", there.url()).build().await.unwrap();
    let order = Uuid::new_v4();
    runtime.send::<Order>(order, Place { quantity: 1 }).edition("what-if").await.unwrap();
    settled(&runtime).await;
    assert_eq!(runtime.state::<Shelf>(order).await.unwrap().taken, 0);
    assert_eq!(runtime.state::<Shelf>(order).edition("what-if").await.unwrap().taken, 1);
    assert_eq!(courier.asked()[0].source.as_ref().unwrap().cover.as_ref().unwrap().edition_name(), Some("what-if"));
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn k1_a_rejection_reaches_the_source() {
    let there = saga_on(anywhere(), &courier()).await;
    let runtime = builder().remote_saga("courier", "order", there.url()).build().await.unwrap();
    let order = Uuid::new_v4();
    runtime.send::<Order>(order, Place { quantity: 11 }).await.unwrap();
    settled(&runtime).await;
    let story = runtime.state::<Order>(order).await.unwrap().story.clone();
    assert_eq!(story, ["placed 11", "too_many: 11 at once"]);
    assert!(letters(&runtime).await.is_empty());
    runtime.shutdown().await.unwrap();
}

/// Its events wait; nothing becomes a dead letter, and nothing is doubled when it is back.
#[tokio::test]
async fn one_that_is_out_of_reach_holds_its_work_back() {
    let address = nowhere().await;
    let runtime = builder().remote_saga("courier", "order", url(address)).build().await.unwrap();
    let order = Uuid::new_v4();
    runtime.send::<Order>(order, Place { quantity: 3 }).await.unwrap();
    let reason = stalled(&runtime, "courier").await;
    assert!(reason.contains(&format!("`courier` at http://{address} is out of reach")), "{reason}");
    let courier = courier();
    let there = saga_on(address, &courier).await;
    settled(&runtime).await;
    assert_eq!(runtime.state::<Shelf>(order).await.unwrap().taken, 3);
    // And again, with a connection that breaks.
    drop(there);
    runtime.send::<Order>(order, Place { quantity: 4 }).await.unwrap();
    stalled(&runtime, "courier").await;
    let _there = saga_on(address, &courier).await;
    settled(&runtime).await;
    let shelf = runtime.state::<Shelf>(order).await.unwrap();
    assert_eq!((shelf.taken, shelf.counted), (7, 7));
    assert!(letters(&runtime).await.is_empty());
    assert_eq!(runtime.subscriptions()[0].stalled, None);
    runtime.shutdown().await.unwrap();
}

/// One that hangs is out of reach as well: the deadline says so.
#[tokio::test]
async fn one_that_does_not_answer_holds_its_work_back() {
    // Nobody ever reads from a connection that is only accepted.
    let listener = tokio::net::TcpListener::bind(anywhere()).await.unwrap();
    let there = angzarr_runtime::remote::Remote::at(url(listener.local_addr().unwrap()));
    let there = there.deadline(Duration::from_millis(50));
    let runtime = builder().remote_saga("courier", "order", there).build().await.unwrap();
    runtime.send::<Order>(Uuid::new_v4(), Place { quantity: 3 }).await.unwrap();
    let reason = stalled(&runtime, "courier").await;
    assert!(reason.contains("`courier` at http://127.0.0.1:"), "{reason}");
    runtime.shutdown().await.unwrap();
}

/// Row D4: what it refuses for good goes to the dead letters at once, what may pass after its tries.
#[tokio::test]
async fn d4_what_it_cannot_handle_becomes_a_dead_letter() {
    for (status, retries, transient) in
        [(Status::invalid_argument("no such order"), 0, false), (Status::unknown("KeyError: 'sku'"), 3, true)]
    {
        let refusal = status.clone();
        let saga: Saga = Component::new(move |_: &proto::SagaHandleRequest| Err(refusal.clone()));
        let there = saga_on(anywhere(), &saga).await;
        let runtime = builder().remote_saga("courier", "order", there.url()).build().await.unwrap();
        runtime.send::<Order>(Uuid::new_v4(), Place { quantity: 3 }).await.unwrap();
        settled(&runtime).await;
        let [letter] = letters(&runtime).await.try_into().unwrap();
        assert_eq!(letter.letter.source_component, "courier");
        assert!(letter.letter.rejection_reason.contains(status.message()), "{}", letter.letter.rejection_reason);
        let Some(RejectionDetails::EventProcessingFailed(details)) = letter.letter.rejection_details else {
            panic!("{letter:?}");
        };
        assert_eq!((details.retry_count, details.is_transient), (retries, transient), "{status:?}");
        assert_eq!(saga.asked().len(), 1 + retries as usize);
        runtime.shutdown().await.unwrap();
    }
}

/// Row G6: an answer with one target that is none fails as a whole, before any of it runs.
#[tokio::test]
async fn g6_an_answer_that_cannot_be_delivered_runs_not_in_part() {
    let root = Uuid::from_u128(7).into_bytes().to_vec();
    let rootless = proto::CommandBook {
        cover: Some(proto::Cover { domain: "shelf".into(), ..Default::default() }),
        ..command("shelf", Uuid::nil(), &Take { quantity: 1 })
    };
    let mut two = command("shelf", Uuid::nil(), &Take { quantity: 1 });
    two.pages.push(two.pages[0].clone());
    let unknown = proto::EventPage {
        payload: Some(proto::event_page::Payload::Event(Any { type_url: "x/no.Such".into(), value: vec![] })),
        ..Default::default()
    };
    let cover = proto::Cover { root: Some(proto::Uuid { value: root }), ..proto::Cover::of("shelf", [7; 16]) };
    let no_fact = proto::EventBook { cover: Some(cover), ..book(vec![unknown]) };
    let cases = [
        (vec![command("nobody", Uuid::nil(), &Take { quantity: 1 })], vec![], "nobody"),
        (vec![command("shelf", Uuid::nil(), &Stow { quantity: 1 })], vec![], "remote.Stow"),
        (vec![rootless], vec![], "without a root"),
        (vec![two], vec![], "2 commands"),
        (vec![], vec![no_fact], "no.Such"),
    ];
    for (commands, events, why) in cases {
        let saga: Saga = Component::new(move |request: &proto::SagaHandleRequest| {
            let first = command("shelf", root_of(request.source.as_ref().unwrap()), &Take { quantity: 1 });
            let commands = [first].into_iter().chain(commands.clone()).collect();
            Ok(proto::SagaResponse { commands, events: events.clone() })
        });
        let there = saga_on(anywhere(), &saga).await;
        let runtime = builder().remote_saga("courier", "order", there.url()).build().await.unwrap();
        let order = Uuid::new_v4();
        runtime.send::<Order>(order, Place { quantity: 3 }).await.unwrap();
        settled(&runtime).await;
        let [letter] = letters(&runtime).await.try_into().unwrap();
        assert!(letter.letter.rejection_reason.contains(why), "{}", letter.letter.rejection_reason);
        assert_eq!(runtime.state::<Shelf>(order).await.unwrap().taken, 0, "{why}");
        runtime.shutdown().await.unwrap();
    }
}

/// Row S4: a cascade waits for it like for any other.
#[tokio::test]
async fn s4_a_cascade_waits_for_it() {
    let there = saga_on(anywhere(), &courier()).await;
    let runtime = builder().remote_saga("courier", "order", there.url()).build().await.unwrap();
    let order = Uuid::new_v4();
    runtime.send::<Order>(order, Place { quantity: 2 }).sync(SyncMode::Cascade).await.unwrap();
    assert_eq!(runtime.state::<Shelf>(order).await.unwrap().taken, 2);
    let refused = runtime.send::<Order>(order, Place { quantity: 12 }).sync(SyncMode::Cascade).await.unwrap_err();
    assert!(refused.to_string().contains("too_many"), "{refused}");
    runtime.shutdown().await.unwrap();
}
