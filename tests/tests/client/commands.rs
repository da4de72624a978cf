//! What is said by the builders arrives, and the answers come back typed: rows C, M, S, E, F, T3, B, I.

use angzarr_runtime::prelude::*;
use angzarr_runtime::{Accepts, CascadeErrorMode, Code, Edition};
use angzarr_tests::account::{Account, handler_runs};
use angzarr_tests::messages::*;

use crate::client_of;
use crate::domain::{Arrived, Delivered, Order, Parcel, Place};
use crate::served::Served;

/// Rows C1, C2, I1, I3: what a caller says is stored, and the answer is what was stored.
#[tokio::test]
async fn c1_i1_i3_a_command_is_stored_and_answered() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let ext = prost_types::Any { type_url: "type.googleapis.com/a.B".into(), value: vec![1, 2] };
    let answer = client
        .send::<Account>(root, Deposit { amount: 5 })
        .expect_sequence(0)
        .correlation("w-1")
        .ext(ext.clone())
        .await
        .unwrap();
    assert_eq!(answer.events_of::<Deposited>().map(|it| it.amount).collect::<Vec<_>>(), [5]);
    let event = &answer.events()[0];
    assert_eq!((event.sequence, event.schema_version, answer.next_sequence()), (0, 1, 1));
    assert_eq!((event.headers.correlation_id(), event.headers.ext()), ("w-1", Some(&ext)));
    assert_eq!((answer.stream().domain.as_str(), answer.stream().root), ("account", root));
    assert!(answer.created_at().is_some() && answer.already_processed().is_none());
    let here = served.runtime.send::<Account>(root, Deposit { amount: 6 }).await.unwrap();
    assert_eq!(here.events()[0].sequence, answer.next_sequence());

    let nothing = client.send::<Account>(root, DoNothing {}).await.unwrap();
    assert_eq!((nothing.events().len(), nothing.next_sequence(), nothing.created_at()), (0, 2, None));
    served.end().await;
}

/// An aggregate that is only known by name, as `remote` declares it.
struct Elsewhere;
impl Domain for Elsewhere {
    const DOMAIN: &'static str = "account";
}
impl Accepts<Deposit> for Elsewhere {}

/// What a client needs to know of an aggregate is its domain and its commands.
#[tokio::test]
async fn a_remote_aggregate_takes_commands_facts_and_previews() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    client.send::<Elsewhere>(root, Deposit { amount: 5 }).await.unwrap();
    client.fact::<Elsewhere, _>(root, Deposited { amount: 3, ..Default::default() }).await.unwrap();
    let preview = client.preview::<Elsewhere>(root, Deposit { amount: 1 }).await.unwrap();
    assert_eq!(preview.events_of::<Deposited>().next().unwrap().balance_before, 8);
    served.end().await;
}

/// Row C10: a second command with the same id runs nothing and has the first answer's events.
#[tokio::test]
async fn c10_an_external_id_makes_a_command_idempotent() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let first = client.send::<Account>(root, Deposit { amount: 5 }).external_id("pay-1").await.unwrap();
    let again = client.send::<Account>(root, Deposit { amount: 5 }).external_id("pay-1").await.unwrap();
    assert_eq!((again.events(), handler_runs(root)), (first.events(), 1));
    // The wire has one place for both.
    let both = client.send::<Account>(root, Deposit { amount: 5 }).external_id("pay-2").expect_sequence(1).await;
    let both = both.unwrap_err();
    assert_eq!((both.code(), both.is_retryable()), ("INVALID_ARGUMENT", false));
    assert!(both.facts().contains(&("field", "external_id".to_owned())), "{both:?}");
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().balance, 5);
    served.end().await;
}

/// Row S3: the projections are in the answer.
#[tokio::test]
async fn s3_simple_brings_projections() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let answer = client.send::<Account>(root, Deposit { amount: 5 }).sync(SyncMode::Simple).await.unwrap();
    assert_eq!(answer.projections_of::<BalanceView>("balances").next().unwrap().balance, 5);
    assert_eq!(answer.cascade_errors(), []);
    let isolated = client.send::<Account>(root, Deposit { amount: 6 }).sync(SyncMode::Isolated).await.unwrap();
    assert!(isolated.projections().is_empty());
    served.runtime.settled().await;
    assert_eq!(served.rig.journal.sequences(root), [0], "row S5");
    served.end().await;
}

/// Rows S4, E1, E2.
#[tokio::test]
async fn s4_e1_e2_cascades() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let place = |lines| {
        let order = Place { lines, quantity: 7, price: 3, trouble: "own shelf".into() };
        client.send::<Order>(Uuid::new_v4(), order).sync(SyncMode::Cascade)
    };
    place(0).await.unwrap();
    let failed = place(1).await.unwrap_err();
    assert_eq!(
        (failed.code(), failed.status(), failed.is_retryable()),
        ("CASCADE_FAILED", Code::FailedPrecondition, false)
    );
    assert!(failed.facts().contains(&("component", "reserve".to_owned())));
    let went_on = place(1).cascade_error_mode(CascadeErrorMode::Continue).await.unwrap();
    let failed: Vec<_> = went_on.cascade_errors().iter().map(|it| it.component_name.as_str()).collect();
    assert_eq!(failed, ["reserve"]);
    served.end().await;
}

/// Rows F1, F2, F3.
#[tokio::test]
async fn f1_f2_f3_facts() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let told = || client.fact::<Parcel, _>(root, Delivered { by: "bike".into() }).external_id("carrier-1");
    let first = told().correlation("w-9").await.unwrap();
    assert_eq!(first.already_processed(), Some(false));
    assert_eq!(first.events_of::<Arrived>().next().unwrap().by, "bike");
    assert_eq!(first.events()[0].headers.correlation_id(), "w-9");
    let again = told().await.unwrap();
    assert_eq!((again.already_processed(), again.events()), (Some(true), first.events()));
    let unknown = client.fact::<Parcel, _>(root, Delivered { by: "bike".into() }).as_it_is().await.unwrap_err();
    assert_eq!((unknown.code(), unknown.status()), ("UNKNOWN_FACT", Code::NotFound));
    let simple = client
        .fact::<Account, _>(root, Deposited { amount: 9, ..Default::default() })
        .sync(SyncMode::Simple)
        .await
        .unwrap();
    assert_eq!(simple.projections_of::<BalanceView>("balances").next().unwrap().balance, 9);
    served.end().await;
}

/// Row T3: on a state of then, and nothing is stored.
#[tokio::test]
async fn t3_a_preview_stores_nothing() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for amount in [10, 20] {
        client.send::<Account>(root, Deposit { amount }).await.unwrap();
    }
    let head = served.runtime.storage().head();
    let preview = client.preview::<Account>(root, Withdraw { amount: 25 }).await.unwrap();
    assert_eq!(preview.events_of::<Withdrawn>().next().unwrap().balance_before, 30);
    assert_eq!(preview.events()[0].sequence, 2);
    let then = client.preview::<Account>(root, Withdraw { amount: 25 }).as_of_sequence(0).await.unwrap_err();
    assert_eq!(then.rejection().unwrap().code(), "insufficient_funds");
    assert_eq!(served.runtime.storage().head(), head);
    served.end().await;
}

/// Rows B1, B2, B3: a branch, with its divergence.
#[tokio::test]
async fn b2_b3_commands_go_to_their_edition() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for amount in [10, 20] {
        client.send::<Account>(root, Deposit { amount }).await.unwrap();
    }
    let what_if = || Edition::named("what-if").diverge("account", 1);
    let branch = client.send::<Account>(root, Deposit { amount: 5 }).edition(what_if()).await.unwrap();
    assert_eq!((branch.events()[0].sequence, branch.stream().edition.as_str()), (1, "what-if"));
    assert_eq!(client.state::<Account>(root).edition(what_if()).await.unwrap().balance, 15);
    assert_eq!(client.state::<Account>(root).await.unwrap().balance, 30);
    let preview = client.preview::<Account>(root, Withdraw { amount: 15 }).edition("what-if").await.unwrap();
    assert_eq!(preview.events_of::<Withdrawn>().next().unwrap().balance_before, 15);
    served.end().await;
}

/// The dynamic entry.
#[tokio::test]
async fn a_command_request_goes_as_it_is() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let request = crate::served::command("account", Uuid::new_v4(), &Deposit { amount: 5 });
    assert_eq!(client.handle_command(request).await.unwrap().events.unwrap().next_sequence, 1);
    let empty = client.handle_command(Default::default()).await.unwrap_err();
    assert!(matches!(empty.error(), Some(Error::InvalidArgument { field, .. }) if field == "command"), "{empty:?}");
    served.end().await;
}
