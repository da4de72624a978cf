//! Errors come back with the type that they have in process: rows C4, C5, C7, M1 to M4, M7, L.

use angzarr_runtime::prelude::*;
use angzarr_runtime::{Accepts, ClientError, Code};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use prost::Message as _;

use crate::client_of;
use crate::served::{Served, sequences};

/// Row C4.
#[tokio::test]
async fn c4_a_rejection_comes_whole() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for (how, status, code, reason) in [
        ("", Code::FailedPrecondition, "not_now", "ask again tomorrow"),
        ("invalid", Code::InvalidArgument, "bad_word", "no such word"),
        ("not_found", Code::NotFound, "no_such_thing", "it never was here"),
    ] {
        let refused = client.send::<Account>(root, Refuse { how: how.into() }).await.unwrap_err();
        assert_eq!((refused.code(), refused.status(), refused.is_retryable()), ("REJECTED", status, false));
        let rejection = refused.rejection().unwrap();
        assert_eq!((rejection.code(), rejection.reason(), rejection.status()), (code, reason, status));
        let detail = RefusalDetail::decode(rejection.details()[0].value.as_slice()).unwrap();
        assert_eq!((detail.text.as_str(), rejection.details().len()), ("the fine print", 1));
        // In process it is the same error.
        let here = served.runtime.send::<Account>(root, Refuse { how: how.into() }).await.unwrap_err();
        assert_eq!((here.rejection(), here.to_string()), (Some(rejection), refused.to_string()));
        let mut facts = here.facts();
        facts.sort_unstable();
        assert_eq!(refused.facts(), facts);
    }
    served.end().await;
}

/// Rows M1, M2: what was expected, what is there, and the fresh book.
#[tokio::test]
async fn m1_m2_a_mismatch_brings_the_fresh_book() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for amount in [10, 20] {
        client.send::<Account>(root, Deposit { amount }).await.unwrap();
    }
    let commutative = client.send::<Account>(root, Deposit { amount: 1 }).expect_sequence(0).await.unwrap_err();
    assert_eq!((commutative.status(), commutative.is_retryable()), (Code::FailedPrecondition, true));
    assert_eq!(commutative.retry_after(), Some(std::time::Duration::ZERO));
    let strict = client.send::<Account>(root, Withdraw { amount: 1 }).expect_sequence(7).await.unwrap_err();
    assert_eq!((strict.status(), strict.is_retryable()), (Code::Aborted, false));
    for (error, expected) in [(commutative, 0), (strict, 7)] {
        let mismatch = error.sequence_mismatch().unwrap();
        assert_eq!((mismatch.expected, mismatch.actual, mismatch.stream.root), (expected, 2, root));
        let book = error.event_book().unwrap();
        assert_eq!((sequences(book), book.next_sequence), (vec![0, 1], 2));
    }
    served.end().await;
}

/// Row M1: a book that does not fit into an error is asked for.
#[tokio::test]
async fn m1_a_book_too_large_for_metadata_comes_all_the_same() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    for _ in 0..3 {
        client.send::<Account>(root, NoteOfSize { bytes: 100_000 }).await.unwrap();
    }
    let refused = client.send::<Account>(root, Deposit { amount: 1 }).expect_sequence(0).await.unwrap_err();
    assert_eq!(refused.sequence_mismatch().map(|it| (it.expected, it.actual)), Some((0, 3)));
    assert_eq!(sequences(refused.event_book().unwrap()), [0, 1, 2]);
    client.send::<Account>(root, Deposit { amount: 1 }).expect_sequence(0).retry().await.unwrap();
    served.end().await;
}

/// Rows M3, M4, M6.
#[tokio::test]
async fn m3_m4_m6_other_strategies() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    client.send::<Account>(root, Deposit { amount: 10 }).await.unwrap();
    let tagged = client.send::<Account>(root, AddTag { tag: "vip".into() }).expect_sequence(0).await.unwrap();
    assert_eq!(tagged.events_of::<TagAdded>().next().map(|it| (it.expected, it.next)), Some((0, 1)));
    // What the command says counts where the handler says nothing.
    let said = client.send::<Account>(root, Deposit { amount: 1 }).expect_sequence(0).merge(MergeStrategy::Strict);
    assert_eq!(said.await.unwrap_err().sequence_mismatch().map(|it| it.strategy), Some(MergeStrategy::Strict));
    let manual = client.send::<Account>(root, Freeze {}).expect_sequence(0).retry().await.unwrap_err();
    assert_eq!((manual.code(), manual.status(), manual.is_retryable()), ("DEAD_LETTERED", Code::Aborted, false));
    let letters = served.runtime.dead_letters().list(&Default::default()).await.unwrap();
    assert_eq!(letters.len(), 1, "it was not sent again");
    assert!(manual.facts().contains(&("dead_letter", letters[0].id.to_string())));
    served.end().await;
}

/// Row M7: writers that all build on what they saw get through, and every event has its own sequence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m7_retry_goes_for_the_fresh_state() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let strict = client.send::<Account>(root, Withdraw { amount: 1 }).expect_sequence(5).retry().await.unwrap_err();
    assert_eq!(strict.code(), "SEQUENCE_MISMATCH", "row M2 is not for a retry");
    let mut writers = Vec::new();
    for _ in 0..8 {
        let client = client.clone();
        writers.push(tokio::spawn(async move {
            client.send::<Account>(root, Deposit { amount: 1 }).expect_sequence(0).retry().await
        }));
    }
    let mut seen = Vec::new();
    for writer in writers {
        seen.push(writer.await.unwrap().unwrap().events()[0].sequence);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..8).collect::<Vec<_>>());
    served.end().await;
}

struct Nowhere;
impl Domain for Nowhere {
    const DOMAIN: &'static str = "acount";
}
impl Accepts<Deposit> for Nowhere {}

struct Misunderstood;
impl Domain for Misunderstood {
    const DOMAIN: &'static str = "account";
}
impl Accepts<Stranger> for Misunderstood {}

/// Rows C5, C7, L: each kind has its type.
#[tokio::test]
async fn c5_c7_every_other_kind_is_told_apart() {
    let served = Served::start().await;
    let client = client_of(&served).await;
    let root = Uuid::new_v4();
    let unknown = client.send::<Nowhere>(root, Deposit { amount: 1 }).await.unwrap_err();
    assert!(
        matches!(unknown.error(), Some(Error::UnknownDomain { domain, nearest, .. })
            if domain == "acount" && nearest.contains(&"account".to_owned())),
        "{unknown:?}"
    );
    let unknown = client.send::<Misunderstood>(root, Stranger {}).await.unwrap_err();
    assert!(
        matches!(unknown.error(), Some(Error::UnknownCommand { command, .. }) if command == "test.Stranger"),
        "{unknown:?}"
    );
    let broken = client.send::<Account>(root, Explode {}).await.unwrap_err();
    assert!(matches!(broken.error(), Some(Error::HandlerPanicked { .. })), "{broken:?}");
    assert_eq!((broken.status(), broken.is_retryable()), (Code::Internal, false));
    let bad = client.send::<Account>(root, Deposit { amount: 1 }).correlation("a\nb").await.unwrap_err();
    assert!(
        matches!(bad.error(), Some(Error::InvalidArgument { field, message, .. })
            if field == "cover.correlation_id" && message.contains("is not an id")),
        "{bad:?}"
    );
    // On the wire an empty id would be none.
    let empty = client.send::<Account>(root, Deposit { amount: 1 }).correlation("").await.unwrap_err();
    assert!(
        matches!(empty.error(), Some(Error::InvalidArgument { field, .. }) if field == "correlation_id"),
        "{empty:?}"
    );
    let empty = client.fact::<Account, _>(root, Deposited::default()).external_id("").await.unwrap_err();
    assert!(matches!(empty.error(), Some(Error::InvalidArgument { field, .. }) if field == "external_id"), "{empty:?}");
    // The wire does not carry all of a limit: code and facts it does.
    let large = client.send::<Account>(root, Note { text: "x".repeat((4 << 20) + 100) }).await.unwrap_err();
    assert_eq!((large.code(), large.status()), ("LIMIT_EXCEEDED", Code::InvalidArgument));
    assert!(
        matches!(&large, ClientError::Answered(answered) if answered.fact("limit") == Some("4194304")),
        "{large:?}"
    );
    assert!(large.to_string().contains("over the limit"));
    let behind = client.state::<Account>(root).edition(Edition::named("b").diverge("account", 9)).await.unwrap_err();
    assert_eq!((behind.code(), behind.status()), ("INVALID_ARGUMENT", Code::InvalidArgument));
    served.end().await;
}
