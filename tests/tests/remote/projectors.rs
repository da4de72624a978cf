//! Projectors elsewhere: rows J, S3.

use angzarr_runtime::Builder;
use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, EventPageExt as _};
use prost_types::Any;
use tonic::Status;

use crate::domain::*;
use crate::elsewhere::*;

fn builder() -> Builder {
    Runtime::builder().reaction_attempts(2).reaction_backoff(Duration::from_millis(1), Duration::from_millis(2))
}

/// Answers with what it was given; refuses a quantity of 13.
fn board() -> Projector {
    Component::new(|book: &proto::EventBook| {
        let total = book.pages.iter().filter_map(|page| page.decode::<Placed>().ok()).map(|it| it.quantity).sum();
        if total == 13 {
            return Err(Status::failed_precondition("unlucky"));
        }
        Ok(proto::Projection { projection: Some(Any::pack(&View { total })), ..Default::default() })
    })
}

fn quantities(projector: &Projector) -> Vec<u32> {
    let asked = projector.asked();
    let pages = asked.iter().flat_map(|book| &book.pages);
    pages.filter_map(|page| page.decode::<Placed>().ok()).map(|it| it.quantity).collect()
}

#[tokio::test]
async fn s3_its_projection_is_in_the_answer_of_a_simple_command() {
    let there = projector_on(anywhere(), &board()).await;
    let runtime = builder().remote_projector("board", ["order", "shelf"], there.url()).build().await.unwrap();
    let receipt = runtime.send::<Order>(Uuid::new_v4(), Place { quantity: 5 }).sync(SyncMode::Simple).await.unwrap();
    assert_eq!(receipt.projections_of::<View>("board").map(|it| it.total).collect::<Vec<_>>(), [5]);
    assert_eq!(receipt.done(), ["board"]);
    runtime.shutdown().await.unwrap();
}

/// Rows J1, J4: in order, of main only, and after a restart behind the checkpoint that the store keeps.
#[tokio::test]
async fn j1_j4_events_come_in_order_and_not_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.db");
    let board = board();
    let there = projector_on(anywhere(), &board).await;
    let order = Uuid::new_v4();
    for (start, end) in [(1, 5), (5, 9)] {
        let runtime = builder()
            .storage(Sqlite::open(&file))
            .remote_projector("board", ["order"], there.url())
            .build()
            .await
            .unwrap();
        for quantity in start..end {
            runtime.send::<Order>(order, Place { quantity }).await.unwrap();
            runtime.send::<Order>(order, Place { quantity: 100 }).edition("what-if").await.unwrap();
        }
        settled(&runtime).await;
        runtime.shutdown().await.unwrap();
    }
    assert_eq!(quantities(&board), (1..9).collect::<Vec<_>>());
}

/// Row J2: what it refuses parks its stream, other streams go on, and a retry brings the parked ones in order.
#[tokio::test]
async fn j2_an_event_that_it_refuses_parks_its_stream() {
    let board = board();
    let there = projector_on(anywhere(), &board).await;
    let runtime = builder().remote_projector("board", ["order"], there.url()).build().await.unwrap();
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    for (order, quantity) in [(one, 1), (one, 13), (one, 2), (other, 3)] {
        runtime.send::<Order>(order, Place { quantity }).await.unwrap();
    }
    settled(&runtime).await;
    assert_eq!(quantities(&board), [1, 13, 3]);
    let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
    assert_eq!(letters.len(), 2, "the refused one and the one behind it");
    assert!(letters.iter().any(|it| it.letter.rejection_reason.contains("unlucky")), "{letters:?}");
    assert_eq!(runtime.subscriptions()[0].parked_streams, 1);
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_that_is_out_of_reach_holds_its_events_back() {
    let address = nowhere().await;
    let runtime = builder().remote_projector("board", ["order"], url(address)).build().await.unwrap();
    for quantity in [1, 2] {
        runtime.send::<Order>(Uuid::new_v4(), Place { quantity }).await.unwrap();
    }
    let reason = stalled(&runtime, "board").await;
    assert!(reason.contains("out of reach"), "{reason}");
    let board = board();
    let _there = projector_on(address, &board).await;
    settled(&runtime).await;
    assert_eq!(quantities(&board), [1, 2]);
    assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
    runtime.shutdown().await.unwrap();
}
