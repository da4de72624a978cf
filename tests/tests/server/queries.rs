//! Queries over the wire: rows T, I4, B, U1.

use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::query::Selection;
use angzarr_runtime::proto::temporal_query::PointInTime;
use angzarr_runtime::proto::{self, CoverExt as _, TimestampExt as _};
use angzarr_runtime::storage::NewEvent;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::person::Person;
use angzarr_tests::store::plant;
use futures_util::TryStreamExt as _;
use prost::Message as _;
use tonic::{Code, Request};

use crate::served::{Served, events, fact, reason, sequences};

fn of(domain: &str, root: Uuid) -> proto::Query {
    proto::Query { cover: Some(proto::Cover::of(domain, root.into_bytes())), selection: None }
}

fn selecting(query: proto::Query, selection: Selection) -> proto::Query {
    proto::Query { selection: Some(selection), ..query }
}

fn range(lower: u32, upper: Option<u32>) -> Selection {
    Selection::Range(proto::SequenceRange { lower, upper })
}

fn as_of_sequence(sequence: u32) -> Selection {
    Selection::Temporal(proto::TemporalQuery { point_in_time: Some(PointInTime::AsOfSequence(sequence)) })
}

/// Deposits of 1, 2, 3, …
async fn deposits(served: &Served, count: i64) -> Uuid {
    let root = Uuid::new_v4();
    for amount in 1..=count {
        served.runtime.send::<Account>(root, Deposit { amount }).await.unwrap();
    }
    root
}

/// Row T1, and what a selection says.
#[tokio::test]
async fn t1_a_book_has_exactly_what_was_selected() {
    let served = Served::start().await;
    let root = deposits(&served, 6).await;
    let mut client = served.queries().await;
    let set = |values: &[u32]| Selection::Sequences(proto::SequenceSet { values: values.to_vec() });
    for (selection, expected, next) in [
        (None, vec![0, 1, 2, 3, 4, 5], 6),
        (Some(range(0, None)), vec![0, 1, 2, 3, 4, 5], 6),
        (Some(range(2, Some(4))), vec![2, 3, 4], 6),
        (Some(range(5, Some(5))), vec![5], 6),
        (Some(range(4, Some(99))), vec![4, 5], 6),
        (Some(range(6, None)), vec![], 6),
        (Some(range(u32::MAX, None)), vec![], 6),
        (Some(set(&[5, 1, 1, 2, 77])), vec![1, 2, 5], 6),
        (Some(set(&[])), vec![], 6),
        (Some(as_of_sequence(3)), vec![0, 1, 2, 3], 4),
        (Some(as_of_sequence(99)), vec![0, 1, 2, 3, 4, 5], 6),
        (Some(Selection::Temporal(proto::TemporalQuery::default())), vec![0, 1, 2, 3, 4, 5], 6),
    ] {
        let query = proto::Query { selection: selection.clone(), ..of("account", root) };
        let book = client.get_event_book(query.clone()).await.unwrap().into_inner();
        assert_eq!((sequences(&book), book.next_sequence), (expected.clone(), next), "{selection:?}");
        assert_eq!(book.cover, Some(proto::Cover::of("account", root.into_bytes())));
        let books: Vec<_> = client.get_events(query).await.unwrap().into_inner().try_collect().await.unwrap();
        let found: Vec<u32> = books.iter().flat_map(sequences).collect();
        assert_eq!(found, expected, "{selection:?}");
        assert_eq!(books.last().unwrap().next_sequence, next, "{selection:?}");
    }
    served.end().await;
}

/// Row T1: a point in time.
#[tokio::test]
async fn t1_a_book_as_of_a_time() {
    let served = Served::start().await;
    let root = deposits(&served, 2).await;
    let between = served.runtime.state::<Account>(root).await.unwrap().last_event_at().expect("events");
    tokio::time::sleep(Duration::from_millis(5)).await;
    served.runtime.send::<Account>(root, Deposit { amount: 3 }).await.unwrap();
    let mut client = served.queries().await;
    let time = prost_types::Timestamp::from(between);
    let then = Selection::Temporal(proto::TemporalQuery { point_in_time: Some(PointInTime::AsOfTime(time)) });
    let book = client.get_event_book(selecting(of("account", root), then)).await.unwrap().into_inner();
    assert_eq!((sequences(&book), book.next_sequence), (vec![0, 1], 2));
    let epoch = PointInTime::AsOfTime(prost_types::Timestamp::from_unix_nanos(0));
    let before = Selection::Temporal(proto::TemporalQuery { point_in_time: Some(epoch) });
    let book = client.get_event_book(selecting(of("account", root), before)).await.unwrap().into_inner();
    assert_eq!((sequences(&book), book.next_sequence), (vec![], 0));
    served.end().await;
}

/// Rows N6, T2: a whole book starts from the newest snapshot; the events themselves never do.
#[tokio::test]
async fn n6_a_book_starts_from_the_newest_snapshot() {
    let served = Served::start().await;
    let root = deposits(&served, 20).await;
    let mut client = served.queries().await;
    let (metadata, book, _) = client.get_event_book(of("account", root)).await.unwrap().into_parts();
    let snapshot = book.snapshot.expect("the default policy takes one");
    assert_eq!(
        metadata.get("angzarr-state-version").unwrap(),
        "1",
        "row N4: so that nobody takes it for another shape"
    );
    let state = Account::decode(snapshot.state.unwrap().value.as_slice()).unwrap();
    let behind: i64 = events::<Deposited>(&proto::EventBook { pages: book.pages.clone(), ..Default::default() })
        .iter()
        .map(|it| it.amount)
        .sum();
    assert_eq!(state.balance + behind, 210);
    assert_eq!(book.pages.len() as u32, 19 - snapshot.sequence);
    let books: Vec<_> = client.get_events(of("account", root)).await.unwrap().into_inner().try_collect().await.unwrap();
    assert!(books.iter().all(|book| book.snapshot.is_none()));
    assert_eq!(books.iter().flat_map(sequences).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    // A snapshot that holds more than the point is not used.
    let then = client.get_event_book(selecting(of("account", root), as_of_sequence(7))).await.unwrap().into_inner();
    assert_eq!((then.snapshot, then.pages.len()), (None, 8));
    served.end().await;
}

/// Row I4: every book of a workflow, across domains.
#[tokio::test]
async fn i4_a_correlation_id_finds_every_book() {
    let served = Served::start().await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    served.runtime.send::<Account>(from, Deposit { amount: 50 }).await.unwrap();
    let send = SendMoney { to: to.into_bytes().to_vec(), amount: 5, copies: 2, ..Default::default() };
    served.runtime.send::<Account>(from, send).correlation("w-7").await.unwrap();
    served.runtime.settled().await;
    let mut client = served.queries().await;
    let query = |cover: proto::Cover| proto::Query { cover: Some(cover), selection: None };
    let workflow = proto::Cover { correlation_id: "w-7".into(), ..Default::default() };
    let mut find = async |cover: proto::Cover| -> Vec<(String, Vec<u32>)> {
        let books: Vec<_> = client.get_events(query(cover)).await.unwrap().into_inner().try_collect().await.unwrap();
        let of = |book: &proto::EventBook| (book.cover.as_ref().unwrap().domain.clone(), sequences(book));
        books.iter().inspect(|it| assert_eq!(it.cover.as_ref().unwrap().correlation_id, "w-7")).map(of).collect()
    };
    let all = [("account".to_owned(), vec![1]), ("ledger".to_owned(), vec![0, 1])];
    assert_eq!(find(workflow.clone()).await, all);
    assert_eq!(find(proto::Cover { domain: "ledger".into(), ..workflow.clone() }).await, all[1..]);
    assert_eq!(find(proto::Cover { edition: Some("angzarr".into()), ..workflow.clone() }).await, all);
    assert_eq!(find(proto::Cover { edition: Some("what-if".into()), ..workflow.clone() }).await, []);
    assert_eq!(find(proto::Cover { correlation_id: "nobody".into(), ..Default::default() }).await, []);
    let one = client.get_event_book(query(workflow)).await.unwrap_err();
    assert_eq!((one.code(), fact(&one, "field").as_str()), (Code::InvalidArgument, "cover.domain"));
    served.end().await;
}

/// Rows B1, B2, B3: a branch shows what it has of main, and its own.
#[tokio::test]
async fn b1_b2_b3_a_book_of_a_branch() {
    let served = Served::start().await;
    let root = deposits(&served, 3).await;
    let branch = Edition::named("what-if").diverge("account", 2);
    served.runtime.send::<Account>(root, Deposit { amount: 100 }).edition(branch).await.unwrap();
    served.runtime.send::<Account>(root, Deposit { amount: 4 }).await.unwrap();
    let mut client = served.queries().await;
    let cover = proto::Cover::of("account", root.into_bytes()).with_edition("what-if");
    for (selection, amounts) in
        [(range(0, None), vec![1, 2, 100]), (range(1, Some(1)), vec![2]), (range(2, None), vec![100])]
    {
        let query = proto::Query { cover: Some(cover.clone()), selection: Some(selection.clone()) };
        let book = client.get_event_book(query).await.unwrap().into_inner();
        let found: Vec<i64> = events::<Deposited>(&book).iter().map(|it| it.amount).collect();
        assert_eq!((found, book.next_sequence), (amounts, 3), "{selection:?}");
        assert_eq!(book.cover.unwrap().edition_name(), Some("what-if"));
    }
    let main = client.get_event_book(selecting(of("account", root), range(0, None))).await.unwrap().into_inner();
    assert_eq!(events::<Deposited>(&main).iter().map(|it| it.amount).collect::<Vec<_>>(), [1, 2, 3, 4]);
    served.end().await;
}

/// Row U1: queries answer what is stored; who asks for it gets the events of today.
#[tokio::test]
async fn u1_events_are_upcast_on_request() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    let old = |type_name: &str, payload: Vec<u8>| NewEvent {
        type_name: type_name.into(),
        schema_version: 1,
        payload: payload.into(),
        isolated: false,
    };
    let name = PersonNamedV1 { name: "Ada Lovelace".into() }.encode_to_vec();
    let address = AddressChanged { address: "12 High Street, London".into() }.encode_to_vec();
    let planted = vec![old("test.PersonNamed", name), old("test.AddressChanged", address)];
    plant(served.runtime.storage(), &StreamKey::main("person", root), planted, 1_000).await;
    assert_eq!(served.runtime.state::<Person>(root).await.unwrap().city, "London");
    let mut client = served.queries().await;
    let stored = client.get_event_book(of("person", root)).await.unwrap().into_inner();
    assert_eq!((sequences(&stored), stored.pages[0].schema_version), (vec![0, 1], 1));
    let mut request = Request::new(of("person", root));
    request.metadata_mut().insert("angzarr-upcast", "true".parse().unwrap());
    let today = client.get_event_book(request).await.unwrap().into_inner();
    assert_eq!(events::<PersonNamed>(&today)[0].initials, "AL");
    assert_eq!(events::<CityChanged>(&today)[0].city, "London");
    assert_eq!((sequences(&today), today.next_sequence), (vec![0, 1, 1], 2), "a split event keeps its one sequence");
    served.end().await;
}

/// What cannot be asked is told, for every method, and nothing breaks.
#[tokio::test]
async fn c7_questions_that_make_no_sense() {
    let served = Served::start().await;
    let mut client = served.queries().await;
    let root = Uuid::new_v4();
    let cover = |change: &dyn Fn(&mut proto::Cover)| {
        let mut query = of("account", root);
        change(query.cover.as_mut().unwrap());
        query
    };
    let far = prost_types::Timestamp { seconds: i64::MAX, nanos: -1 };
    let far = proto::TemporalQuery { point_in_time: Some(PointInTime::AsOfTime(far)) };
    for (query, code, why) in [
        (proto::Query::default(), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (cover(&|cover| cover.domain = "nobody".into()), Code::NotFound, "UNKNOWN_DOMAIN"),
        (cover(&|cover| cover.domain = "No Domain".into()), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (cover(&|cover| cover.domain.clear()), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (
            cover(&|cover| cover.root = Some(proto::Uuid { value: vec![0; 17] })),
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (cover(&|cover| cover.edition = Some("No Edition".into())), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (selecting(of("account", root), range(2, Some(1))), Code::InvalidArgument, "INVALID_ARGUMENT"),
        (selecting(of("account", root), Selection::Temporal(far)), Code::InvalidArgument, "INVALID_ARGUMENT"),
    ] {
        let refused = client.get_event_book(query.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, why), "{query:?}");
        let refused = client.get_events(query.clone()).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, why), "{query:?}");
    }
    let rootless = client.get_event_book(cover(&|cover| cover.root = None)).await.unwrap_err();
    assert_eq!(fact(&rootless, "field"), "cover.root");
    let unknown = client.get_event_book(of("account", root)).await.unwrap().into_inner();
    assert_eq!((unknown.pages.len(), unknown.next_sequence), (0, 0), "a stream that does not exist is empty");
    served.end().await;
}

/// A domain alone means every stream of it; roots are listed.
#[tokio::test]
async fn every_stream_of_a_domain_and_every_root() {
    let served = Served::start().await;
    let mut roots = Vec::new();
    for count in [1, 2, 3] {
        roots.push((deposits(&served, count).await, count as usize));
    }
    let branch = Edition::named("what-if");
    served.runtime.send::<Account>(roots[0].0, Deposit { amount: 1 }).edition(branch).await.unwrap();
    let mut client = served.queries().await;
    let all = proto::Query {
        cover: Some(proto::Cover { domain: "account".into(), ..Default::default() }),
        selection: Some(range(0, None)),
    };
    let books: Vec<_> = client.get_events(all).await.unwrap().into_inner().try_collect().await.unwrap();
    let mut found: Vec<_> = books
        .iter()
        .map(|book| (Uuid::from_bytes(book.cover.as_ref().unwrap().root_bytes().unwrap()), book.pages.len()))
        .collect();
    found.sort();
    roots.sort();
    assert_eq!(found, roots);
    let listed: Vec<_> = client.get_aggregate_roots(()).await.unwrap().into_inner().try_collect().await.unwrap();
    let mut listed: Vec<_> = listed
        .into_iter()
        .filter(|it: &proto::AggregateRoot| it.domain == "account")
        .map(|it| Uuid::from_bytes(it.root.unwrap().to_bytes().unwrap()))
        .collect();
    listed.sort();
    assert_eq!(listed, roots.iter().map(|(root, _)| *root).collect::<Vec<_>>(), "each once, branches left out");
    served.end().await;
}

/// A long stream comes in pieces that every client takes, complete and in order.
#[tokio::test]
async fn a_long_stream_comes_in_pieces() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    for _ in 0..12 {
        served.runtime.send::<Account>(root, NoteOfSize { bytes: 700_000 }).await.unwrap();
    }
    served.runtime.send::<Account>(root, DepositMany { count: 900 }).await.unwrap();
    served.runtime.send::<Account>(root, DepositMany { count: 900 }).await.unwrap();
    let mut client = served.queries().await;
    let books: Vec<_> = client.get_events(of("account", root)).await.unwrap().into_inner().try_collect().await.unwrap();
    assert!(books.len() >= 13 && books.iter().all(|it| it.encoded_len() < 2 << 20), "{}", books.len());
    assert_eq!(books.iter().flat_map(sequences).collect::<Vec<_>>(), (0..1_812).collect::<Vec<_>>());
    // In one piece it is more than one answer may have.
    let whole = client.get_event_book(selecting(of("account", root), range(0, None))).await.unwrap_err();
    assert_eq!((whole.code(), reason(&whole).as_str()), (Code::ResourceExhausted, "ANSWER_TOO_LARGE"));
    served.end().await;
}

/// Synchronize answers one query after the other, for as long as they come.
#[tokio::test]
async fn synchronize_answers_as_long_as_it_is_asked() {
    let served = Served::start().await;
    let (one, two) = (deposits(&served, 2).await, deposits(&served, 3).await);
    let mut client = served.queries().await;
    let (ask, asked) = tokio::sync::mpsc::unbounded_channel();
    let asked = futures_util::stream::unfold(asked, |mut asked| async move { Some((asked.recv().await?, asked)) });
    let mut answers = client.synchronize(asked).await.unwrap().into_inner();
    for (root, expected) in [(one, vec![0, 1]), (two, vec![0, 1, 2]), (Uuid::new_v4(), vec![])] {
        ask.send(selecting(of("account", root), range(0, None))).unwrap();
        let book = answers.try_next().await.unwrap().expect("an answer");
        assert_eq!(sequences(&book), expected);
    }
    drop(ask);
    assert_eq!(answers.try_next().await.unwrap(), None, "it ends with the questions");
    let asked = futures_util::stream::iter([of("account", one), proto::Query::default()]);
    let mut answers = client.synchronize(asked).await.unwrap().into_inner();
    assert!(answers.try_next().await.unwrap().is_some());
    let refused = answers.try_next().await.unwrap_err();
    assert_eq!((refused.code(), fact(&refused, "field").as_str()), (Code::InvalidArgument, "cover"));
    served.end().await;
}
