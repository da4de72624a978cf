//! Live streams over the wire: rows I4, S5, B, U1, R7.

use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::event_stream_service_client::EventStreamServiceClient;
use angzarr_runtime::proto::{self, CoverExt as _};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

use crate::served::{Served, events, fact, may_be_retried, reason, sequences};

async fn client(served: &Served) -> EventStreamServiceClient<Channel> {
    EventStreamServiceClient::new(served.channel().await)
}

fn of(correlation_id: &str) -> proto::EventStreamFilter {
    proto::EventStreamFilter { correlation_id: correlation_id.into() }
}

/// So many events: domain, sequence.
async fn take(stream: &mut Streaming<proto::EventBook>, count: usize) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    while found.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await.expect("an event comes");
        let book = next.expect("the stream goes on").expect("the stream goes on");
        let domain = book.cover.as_ref().unwrap().domain.clone();
        assert_eq!(Some(book.next_sequence), sequences(&book).last().map(|last| last + 1));
        found.extend(sequences(&book).into_iter().map(|sequence| (domain.clone(), sequence)));
    }
    assert_eq!(found.len(), count, "{found:?}");
    found
}

/// Row I4: a workflow from its beginning, and then live, across domains; each event once, whoever writes meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_a_workflow_is_told_from_its_beginning_without_gap_or_double() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    let writer = {
        let runtime = served.runtime.clone();
        tokio::spawn(async move {
            for amount in 1..=600 {
                // Others write to the same stream.
                if amount % 3 == 0 {
                    runtime.send::<Account>(root, Note { text: "aside".into() }).correlation("other").await.unwrap();
                }
                runtime.send::<Account>(root, Deposit { amount }).correlation("w-1").await.unwrap();
                if amount % 20 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        })
    };
    let mut client = client(&served).await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut stream = client.subscribe(of("w-1")).await.unwrap().into_inner();
        readers.push(tokio::spawn(async move {
            let mut amounts = Vec::new();
            while amounts.len() < 600 {
                let book = stream.message().await.unwrap().unwrap();
                assert_eq!(book.cover.as_ref().unwrap().correlation_id, "w-1");
                amounts.extend(events::<Deposited>(&book).into_iter().map(|it| it.amount));
            }
            amounts
        }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.await.unwrap();
    for reader in readers {
        let amounts = tokio::time::timeout(Duration::from_secs(30), reader).await.expect("all come").unwrap();
        assert_eq!(amounts, (1..=600).collect::<Vec<_>>());
    }
    served.end().await;
}

/// Without a correlation id everything comes, from now on, or from a position of the log.
#[tokio::test]
async fn everything_from_now_on_or_from_a_position() {
    let served = Served::start().await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    served.runtime.send::<Account>(from, Deposit { amount: 50 }).await.unwrap();
    let mut client = client(&served).await;
    let subscribed = client.subscribe(of("")).await.unwrap();
    assert_eq!(subscribed.metadata().get("angzarr-position").unwrap(), "1");
    let mut now = subscribed.into_inner();
    let send = SendMoney { to: to.into_bytes().to_vec(), amount: 5, copies: 1, ..Default::default() };
    served.runtime.send::<Account>(from, send).await.unwrap();
    let all = [("account".to_owned(), 0), ("account".to_owned(), 1), ("ledger".to_owned(), 0)];
    assert_eq!(take(&mut now, 2).await, all[1..]);
    let after = |position: &str| {
        let mut request = Request::new(of(""));
        request.metadata_mut().insert("angzarr-after", position.parse().unwrap());
        request
    };
    let mut from_start = client.subscribe(after("0")).await.unwrap().into_inner();
    assert_eq!(take(&mut from_start, 3).await, all);
    let mut from_second = client.subscribe(after("1")).await.unwrap().into_inner();
    assert_eq!(take(&mut from_second, 2).await, all[1..]);
    for nonsense in ["99", "-1", "x"] {
        let refused = client.subscribe(after(nonsense)).await.unwrap_err();
        assert_eq!((refused.code(), fact(&refused, "field").as_str()), (Code::InvalidArgument, "angzarr-after"));
    }
    let refused = client.subscribe(of("a\nb")).await.unwrap_err();
    assert_eq!((refused.code(), fact(&refused, "field").as_str()), (Code::InvalidArgument, "correlation_id"));
    served.end().await;
}

/// Row S5: what is isolated is not published, neither in the past nor live; and B: a branch's events say so.
#[tokio::test]
async fn s5_b3_isolated_events_never_come_and_branches_are_named() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    let deposit = |amount| served.runtime.send::<Account>(root, Deposit { amount }).correlation("w-1");
    deposit(1).await.unwrap();
    deposit(2).sync(SyncMode::Isolated).await.unwrap();
    let mut stream = client(&served).await.subscribe(of("w-1")).await.unwrap().into_inner();
    assert_eq!(take(&mut stream, 1).await, [("account".to_owned(), 0)]);
    deposit(3).sync(SyncMode::Isolated).await.unwrap();
    deposit(4).edition("what-if").await.unwrap();
    let book = stream.message().await.unwrap().unwrap();
    assert_eq!((sequences(&book), book.cover.unwrap().edition_name()), (vec![3], Some("what-if")));
    deposit(5).await.unwrap();
    assert_eq!(take(&mut stream, 1).await, [("account".to_owned(), 3)]);
    served.end().await;
}

/// The end of the runtime ends a stream with a clear status.
#[tokio::test]
async fn r6_a_stream_ends_with_the_runtime() {
    let served = Served::start().await;
    let mut stream = client(&served).await.subscribe(of("")).await.unwrap().into_inner();
    served.runtime.clone().shutdown().await.unwrap();
    let ended = stream.message().await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(may_be_retried(&ended));
    served.end().await;
}

/// A deadline that the caller sets ends a stream.
#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let served = Served::start().await;
    let mut request = Request::new(of(""));
    request.metadata_mut().insert("grpc-timeout", "80m".parse().unwrap());
    let mut stream = client(&served).await.subscribe(request).await.unwrap().into_inner();
    let ended = stream.message().await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    served.end().await;
}
