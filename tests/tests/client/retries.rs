//! What is sent again, how often, and what never.

use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, EventPageExt as _, TimestampExt as _};
use angzarr_runtime::{Builder, Client, ClientError, Code};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::eventually;
use tonic::Status;

use crate::client_of;
use crate::scripted::{Script, failure};
use crate::served::Served;

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn busy(retry: Option<Duration>) -> Status {
    failure(tonic::Code::ResourceExhausted, "OVERLOADED", retry)
}

/// An overloaded server: the command waits here, not there, and goes through once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overloaded_server_is_asked_again() {
    let patient = |builder: Builder| builder.sync_deadline(Duration::from_secs(60));
    let served = Served::of(patient, |server| server.concurrency(1)).await;
    let client = client_of(&served).await;
    let impatient = Client::builder(format!("http://{}", served.address)).attempts(1).connect().await.unwrap();
    let (stuck, other) = (Uuid::new_v4(), Uuid::new_v4());
    served.rig.tagger.trouble(stuck, 0, Trouble::Stuck);
    let waiting = {
        let client = client.clone();
        tokio::spawn(
            async move { client.send::<Account>(stuck, AddTag { tag: "vip".into() }).sync(SyncMode::Simple).await },
        )
    };
    eventually("it waits", async || served.rig.tagger.tries(stuck, 0) > 0).await;
    let full = impatient.send::<Account>(other, Deposit { amount: 1 }).await.unwrap_err();
    assert_eq!((full.code(), full.status(), full.is_retryable()), ("OVERLOADED", Code::ResourceExhausted, true));
    assert!(full.retry_after().is_some_and(|pause| !pause.is_zero()), "{full:?}");
    let patient = {
        let client = client.clone();
        tokio::spawn(async move { client.send::<Account>(other, Deposit { amount: 1 }).await })
    };
    tokio::task::yield_now().await;
    served.rig.tagger.no_more_trouble(stuck, 0);
    waiting.await.unwrap().unwrap();
    patient.await.unwrap().unwrap();
    assert_eq!(served.runtime.state::<Account>(other).await.unwrap().balance, 1);
    served.end().await;
}

/// A `RetryInfo` is what makes a command go again; without one it never does.
#[tokio::test]
async fn only_a_retry_info_makes_a_command_go_again() {
    let script = Script::of([busy(AT_ONCE), busy(AT_ONCE), busy(AT_ONCE)]);
    let acting = script.serve().await;
    let client = acting.client().await;
    client.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).await.unwrap();
    assert_eq!(script.calls("handle_command"), 4);

    for status in [
        busy(None),
        failure(tonic::Code::Unavailable, "STORAGE", None),
        failure(tonic::Code::Unknown, "OUTCOME_UNKNOWN", None),
        failure(tonic::Code::FailedPrecondition, "SEQUENCE_MISMATCH", AT_ONCE),
        Status::unavailable("somebody between"),
        Status::internal("somebody between"),
    ] {
        let script = Script::of([status.clone()]);
        let acting = script.serve().await;
        let client = acting.client().await;
        client.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).await.unwrap_err();
        assert_eq!(script.calls("handle_command"), 1, "{status:?}");
    }
}

/// What nobody explains may have been done: it goes again only where that harms nobody.
#[tokio::test]
async fn what_is_lost_goes_again_only_if_it_is_known() {
    let lost = || Status::unavailable("somebody between");
    let script = Script::of([lost()]);
    let acting = script.serve().await;
    let error = acting.client().await.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).await.unwrap_err();
    assert!(matches!(error, ClientError::Lost { repeatable: false, .. }), "{error:?}");
    assert_eq!((error.code(), error.status(), error.is_retryable()), ("ANSWER_LOST", Code::Unknown, false));

    let script = Script::of([lost(), lost()]);
    let acting = script.serve().await;
    acting.client().await.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).external_id("a").await.unwrap();
    assert_eq!(script.calls("handle_command"), 3);

    let script = Script::of([lost(), lost()]);
    let acting = script.serve().await;
    assert!(acting.client().await.state::<Account>(Uuid::new_v4()).await.unwrap().is_new());
    assert_eq!(script.calls("get_event_book"), 3);
}

/// The time that the server names is waited for, or the error comes at once: never earlier, and not for ever.
#[tokio::test]
async fn a_pause_that_does_not_fit_into_the_deadline_is_not_begun() {
    let hour = Duration::from_secs(3_600);
    let script = Script::of([busy(Some(hour))]);
    let acting = script.serve().await;
    let client = acting.client().await.with_deadline(Duration::from_secs(600));
    let error = client.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).await.unwrap_err();
    assert_eq!((error.code(), error.retry_after(), script.calls("handle_command")), ("OVERLOADED", Some(hour), 1));
}

/// The number of attempts is bounded, and the last error is told.
#[tokio::test]
async fn attempts_are_bounded() {
    let script = Script::of((0..20).map(|_| busy(AT_ONCE)));
    let acting = script.serve().await;
    let client = Client::builder(acting.url()).attempts(3).connect().await.unwrap();
    let error = client.send::<Account>(Uuid::new_v4(), Deposit { amount: 1 }).await.unwrap_err();
    assert_eq!((error.code(), script.calls("handle_command")), ("OVERLOADED", 3));
}

/// An answer that says nothing is told as that.
#[tokio::test]
async fn an_answer_that_makes_no_sense_is_told() {
    let script = Script::default();
    let acting = script.serve().await;
    let error = acting.client().await.fact::<Account, _>(Uuid::new_v4(), Deposited::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreadable { .. }), "{error:?}");
    assert_eq!((error.code(), error.is_retryable()), ("UNREADABLE_ANSWER", false));
}

fn deposited(sequence: u32, amount: i64) -> proto::EventPage {
    let event = Deposited { amount, ..Default::default() };
    proto::EventPage::of(sequence, proto::pack(&event))
}

/// Row N4: a snapshot is used if it has the shape that this program knows; if it has another one, or nobody says which, every event
/// is asked for.
#[tokio::test]
async fn n4_a_snapshot_of_another_version_is_not_used() {
    let piece = |sequence, amount| proto::EventBook {
        pages: vec![deposited(sequence, amount)],
        next_sequence: 2,
        ..Default::default()
    };
    let ours = proto::pack(&Account { balance: 1_000_000, ..Default::default() });
    let of_another_type = proto::pack(&Deposit { amount: 5 });
    let unreadable = prost_types::Any { value: vec![0xff; 3], ..ours.clone() };
    for (state, state_version, is_used) in [
        (&ours, Some(1), true),
        (&ours, Some(2), false),
        (&ours, None, false),
        (&of_another_type, Some(1), false),
        (&unreadable, Some(1), false),
    ] {
        let snapshot = proto::Snapshot {
            sequence: 0,
            state: Some(state.clone()),
            created_at: Some(prost_types::Timestamp::from_unix_nanos(1)),
            ..Default::default()
        };
        let book = proto::EventBook { snapshot: Some(snapshot), ..piece(1, 4) };
        let script = Script { book, books: vec![piece(0, 3), piece(1, 4)], state_version, ..Script::default() };
        let acting = script.serve().await;
        let found = acting.client().await.state::<Account>(Uuid::new_v4()).await.unwrap();
        let balance = if is_used { 1_000_004 } else { 7 };
        assert_eq!((found.balance, found.next_sequence()), (balance, 2), "{state_version:?} {state:?}");
        assert_eq!(script.calls("get_events"), usize::from(!is_used));
    }
}

/// A state that leaves out an event is wrong: better none.
#[tokio::test]
async fn a_stream_with_a_hole_gives_no_state() {
    let book =
        proto::EventBook { pages: vec![deposited(0, 1), deposited(2, 1)], next_sequence: 3, ..Default::default() };
    let script = Script { book, ..Script::default() };
    let acting = script.serve().await;
    let error = acting.client().await.state::<Account>(Uuid::new_v4()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Here(error) if error.code() == "UNREADABLE_EVENT"), "{error:?}");
}
