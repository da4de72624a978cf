//! Sagas, process managers and projectors on events that a caller gives: rows G, P, J, S9.

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::process_manager_coordinator_service_client::ProcessManagerCoordinatorServiceClient;
use angzarr_runtime::proto::projector_coordinator_service_client::ProjectorCoordinatorServiceClient;
use angzarr_runtime::proto::saga_coordinator_service_client::SagaCoordinatorServiceClient;
use angzarr_runtime::proto::{self, AnyExt as _, CommandBookExt as _, CoverExt as _, EventPageExt as _};
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::{Trouble, balance_row};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::domain::{Checkout, Order, OrderPlaced, Paid, Payment, PaymentTaken, Place, Started, TakePayment};
use crate::served::{Served, events, fact, may_be_retried, reason, sequences};

/// A request that names the component.
fn naming<T>(component: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("angzarr-component", component.parse().unwrap());
    request
}

fn sagas(channel: Channel) -> SagaCoordinatorServiceClient<Channel> {
    SagaCoordinatorServiceClient::new(channel)
}

/// One event that has happened, or has not.
fn book<M: prost::Message + prost::Name>(domain: &str, root: Uuid, sequence: u32, event: &M) -> proto::EventBook {
    let page = proto::EventPage::of(sequence, prost_types::Any::pack(event));
    let cover = proto::Cover::of(domain, root.into_bytes()).with_correlation("w-1");
    proto::EventBook { cover: Some(cover), pages: vec![page], ..Default::default() }
}

fn money(to: Uuid, copies: u32) -> MoneySent {
    MoneySent { to: to.into_bytes().to_vec(), amount: 5, copies, ..Default::default() }
}

/// What is stored of a stream, as a query answers it.
async fn stored(served: &Served, domain: &str, root: Uuid) -> proto::EventBook {
    let query = proto::Query {
        cover: Some(proto::Cover::of(domain, root.into_bytes())),
        selection: Some(proto::query::Selection::Range(proto::SequenceRange::default())),
    };
    served.queries().await.get_event_book(query).await.unwrap().into_inner()
}

/// What a saga would send, with its provenance; and nothing of it sent.
#[tokio::test]
async fn g1_a_speculative_saga_sends_nothing() {
    let served = Served::start().await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    let source = Some(book("account", from, 7, &money(to, 2)));
    let request = proto::SagaHandleRequest { source, ..Default::default() };
    let request = proto::SpeculateSagaRequest { request: Some(request) };
    let answer = sagas(served.channel().await).execute_speculative(request).await.unwrap().into_inner();
    assert_eq!(answer.commands.len(), 2);
    for (index, command) in (0u32..).zip(&answer.commands) {
        let cover = command.cover.as_ref().unwrap();
        assert_eq!((cover.domain.as_str(), cover.root_bytes()), ("ledger", Some(to.into_bytes())));
        assert_eq!(cover.correlation_id, "w-1");
        assert_eq!(command.first_command().unwrap().unpack::<Book>().unwrap().amount, 5);
        let header = command.pages[0].header.as_ref().unwrap();
        let provenance = proto::PageHeaderExt::provenance(header).unwrap();
        assert_eq!((provenance.source_seq, provenance.command_index), (7, index));
        assert_eq!(provenance.source_component, "courier");
    }
    served.runtime.settled().await;
    assert_eq!(served.runtime.storage().head(), 0);
    served.end().await;
}

/// Row G2: an event that the log has brought, or brings, is handled once, however often somebody gives it.
#[tokio::test]
async fn g2_an_executed_saga_runs_each_command_once() {
    let served = Served::start().await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    served.runtime.send::<Account>(from, Deposit { amount: 50 }).await.unwrap();
    let send = SendMoney { to: to.into_bytes().to_vec(), amount: 5, copies: 2, ..Default::default() };
    served.runtime.send::<Account>(from, send).await.unwrap();
    let source = stored(&served, "account", from).await;
    let mut client = sagas(served.channel().await);
    for _ in 0..3 {
        let request = proto::SagaHandleRequest { source: Some(source.clone()), ..Default::default() };
        let answer = client.execute(naming("courier", request)).await.unwrap().into_inner();
        assert_eq!(answer.commands.len(), 2);
    }
    served.runtime.settled().await;
    assert_eq!(served.runtime.state::<Ledger>(to).await.unwrap().total, 10, "each command once");
    served.end().await;
}

/// Row G2: an event that has not happened has no effect; its commands would pass for done later on.
#[tokio::test]
async fn g2_an_event_that_did_not_happen_has_no_effect() {
    let served = Served::start().await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    served.runtime.send::<Account>(from, Deposit { amount: 50 }).await.unwrap();
    let mut client = sagas(served.channel().await);
    for invented in [book("account", from, 0, &money(to, 1)), book("account", from, 1, &money(to, 1))] {
        let request = proto::SagaHandleRequest { source: Some(invented), ..Default::default() };
        let refused = client.execute(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(fact(&refused, "field"), "source.pages[0]");
    }
    served.runtime.settled().await;
    assert_eq!(served.runtime.state::<Ledger>(to).await.unwrap().next_sequence(), 0);
    served.end().await;
}

/// Row S5: what was isolated is seen by no component, whoever gives it.
#[tokio::test]
async fn s5_an_isolated_event_is_not_executed() {
    let served = Served::start().await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    served.runtime.send::<Account>(from, Deposit { amount: 50 }).await.unwrap();
    let send = SendMoney { to: to.into_bytes().to_vec(), amount: 5, copies: 1, ..Default::default() };
    served.runtime.send::<Account>(from, send).sync(SyncMode::Isolated).await.unwrap();
    let source = Some(stored(&served, "account", from).await);
    let request = proto::SagaHandleRequest { source, ..Default::default() };
    let refused = sagas(served.channel().await).execute(naming("courier", request)).await.unwrap_err();
    assert_eq!(fact(&refused, "field"), "source.pages[1]");
    served.end().await;
}

/// Rows S4, K1: as a cascade too, a command that was rejected before is not asked again, and not told as rejected twice.
#[tokio::test]
async fn s4_k1_what_was_rejected_before_is_not_asked_again() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    let place = Place { lines: 1, quantity: 9, price: 1, trouble: "own shelf".into() };
    served.runtime.send::<Order>(root, place).await.unwrap();
    served.runtime.settled().await;
    let source = stored(&served, "order", root).await;
    let placed = proto::EventBook { pages: source.pages[..1].to_vec(), ..source };
    let request = |sync: proto::SyncMode| proto::SagaHandleRequest {
        source: Some(placed.clone()),
        sync_mode: sync as i32,
        ..Default::default()
    };
    let mut client = sagas(served.channel().await);
    client.execute(request(proto::SyncMode::Async)).await.unwrap();
    let odd = client.execute(proto::SagaHandleRequest { sync_mode: 77, ..request(proto::SyncMode::Async) }).await;
    assert_eq!(fact(&odd.unwrap_err(), "field"), "sync_mode");
    client.execute(request(proto::SyncMode::Cascade)).await.unwrap();
    served.runtime.settled().await;
    let story = served.runtime.state::<Order>(root).await.unwrap().story.clone();
    assert_eq!(story, ["placed", "backordered: out_of_stock: 0 are left"]);
    served.end().await;
}

/// A component that fails, and one that nobody knows.
#[tokio::test]
async fn d4_what_a_component_says_reaches_the_caller() {
    let served = Served::start().await;
    let mut client = sagas(served.channel().await);
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    for (trouble, again) in [("permanent", false), ("always", true), ("panic", true)] {
        let event = MoneySent { trouble: trouble.into(), ..money(to, 1) };
        let request = proto::SagaHandleRequest { source: Some(book("account", from, 0, &event)), ..Default::default() };
        let request = proto::SpeculateSagaRequest { request: Some(request) };
        let failed = client.execute_speculative(request).await.unwrap_err();
        assert_eq!((failed.code(), reason(&failed).as_str()), (Code::Internal, "REACTION_FAILED"));
        assert_eq!(may_be_retried(&failed), again, "{trouble}");
        assert_eq!(fact(&failed, "handler"), "courier");
    }
    let request =
        proto::SagaHandleRequest { source: Some(book("account", from, 0, &money(to, 1))), ..Default::default() };
    let nobody = client.execute(naming("curier", request)).await.unwrap_err();
    assert_eq!((nobody.code(), reason(&nobody).as_str()), (Code::NotFound, "UNKNOWN_COMPONENT"));
    assert_eq!(fact(&nobody, "nearest"), "courier");
    let deaf = proto::SagaHandleRequest { source: Some(book("payment", from, 0, &money(to, 1))), ..Default::default() };
    let deaf = client.execute(deaf).await.unwrap_err();
    assert_eq!((deaf.code(), fact(&deaf, "domain").as_str()), (Code::NotFound, "payment"));
    for nonsense in [
        proto::SagaHandleRequest::default(),
        proto::SagaHandleRequest {
            source: Some(proto::EventBook {
                pages: vec![proto::EventPage::default()],
                ..book("account", from, 0, &money(to, 1))
            }),
            ..Default::default()
        },
    ] {
        let refused = client.execute(nonsense).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_ARGUMENT"));
    }
    served.end().await;
}

fn processes(channel: Channel) -> ProcessManagerCoordinatorServiceClient<Channel> {
    ProcessManagerCoordinatorServiceClient::new(channel)
}

/// Rows P1, P3: what a process manager decides is stored and delivered; the same trigger again is answered with the same events.
#[tokio::test]
async fn p1_p3_a_process_manager_handles_a_trigger_once() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    let place = Place { lines: 0, quantity: 0, price: 30, trouble: String::new() };
    served.runtime.send::<Order>(root, place).correlation("w-2").await.unwrap();
    let trigger = stored(&served, "order", root).await;
    let mut client = processes(served.channel().await);
    let request = || proto::ProcessManagerCoordinatorRequest { trigger: Some(trigger.clone()), ..Default::default() };
    let first = client.handle(request()).await.unwrap().into_inner().process_events.expect("its events");
    assert_eq!(events::<Started>(&first)[0].price, 30);
    assert_eq!(first.cover.as_ref().unwrap().domain, "checkout");
    assert_eq!(first.cover.as_ref().unwrap().correlation_id, "w-2");
    let again = client.handle(request()).await.unwrap().into_inner().process_events.expect("its events");
    assert_eq!(again.pages, first.pages);
    served.runtime.settled().await;
    assert_eq!(served.runtime.state::<Payment>(root).await.unwrap().times, 1, "paid once");
    let story = served.runtime.process::<Checkout>("w-2").await.unwrap().story.clone();
    assert_eq!(story, ["started 30", "paid 30"]);
    served.end().await;
}

/// Row T3 for a process: on the state that is given, or on that which is stored; nothing is stored or sent.
#[tokio::test]
async fn p1_t3_a_speculative_process_stores_and_sends_nothing() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    let mut client = processes(served.channel().await);
    let placed = OrderPlaced { lines: 0, quantity: 0, price: 30, trouble: "fact".into() };
    let ask = |trigger: proto::EventBook, process_state: Option<proto::EventBook>| proto::SpeculatePmRequest {
        request: Some(proto::ProcessManagerHandleRequest {
            trigger: Some(trigger),
            process_state,
            ..Default::default()
        }),
    };
    let answer = client.handle_speculative(ask(book("order", root, 0, &placed), None)).await.unwrap().into_inner();
    let own = answer.process_events.expect("its events");
    assert_eq!((events::<Started>(&own)[0].price, sequences(&own)), (30, vec![0]));
    assert_eq!(answer.commands.len(), 1);
    let take = answer.commands[0].first_command().unwrap().unpack::<TakePayment>().unwrap();
    assert_eq!(take.amount, 30);
    let facts: Vec<_> = answer.facts.iter().map(|it| it.cover.as_ref().unwrap().domain.as_str()).collect();
    assert_eq!(facts, ["parcel"]);
    let header = answer.facts[0].pages[0].header.as_ref().unwrap();
    assert!(proto::PageHeaderExt::external_id(header).is_some());

    // On a state that the caller has: what the process returned goes in as its past.
    let paid = book("payment", root, 0, &PaymentTaken { amount: 30 });
    let answer = client.handle_speculative(ask(paid.clone(), Some(own.clone()))).await.unwrap().into_inner();
    let next = answer.process_events.expect("its events");
    assert_eq!((events::<Paid>(&next)[0].amount, sequences(&next)), (30, vec![1]));
    let unreadable =
        proto::EventBook { pages: vec![proto::EventPage::of(0, prost_types::Any::pack(&Stranger {}))], ..own };
    let refused = client.handle_speculative(ask(paid, Some(unreadable))).await.unwrap_err();
    assert_eq!(refused.code(), Code::DataLoss);

    // Without a correlation id there is no process (row P2).
    let mut nobody = book("order", root, 0, &placed);
    nobody.cover.as_mut().unwrap().correlation_id.clear();
    let answer = client.handle_speculative(ask(nobody, None)).await.unwrap().into_inner();
    assert_eq!(answer, proto::ProcessManagerHandleResponse::default());
    served.runtime.settled().await;
    assert_eq!(served.runtime.storage().head(), 0);
    served.end().await;
}

fn projectors(channel: Channel) -> ProjectorCoordinatorServiceClient<Channel> {
    ProjectorCoordinatorServiceClient::new(channel)
}

/// Rows S3, S7, S9: whoever hands events over waits for the projector that handles them anyway, and it handles them once.
#[tokio::test]
async fn s7_s9_a_projector_is_waited_for_and_runs_once() {
    // One call at a time: that another is refused shows that the one is inside.
    let served = Served::with(|server| server.concurrency(1)).await;
    let root = Uuid::new_v4();
    served.rig.balances.trouble(root, 0, Trouble::Stuck);
    served.runtime.send::<Account>(root, Deposit { amount: 7 }).await.unwrap();
    let events = Some(stored(&served, "account", root).await);
    let request = proto::EventRequest { events, ..Default::default() };
    let mut client = projectors(served.channel().await);
    let asked = request.clone();
    let waiting = tokio::spawn(async move {
        loop {
            match client.handle_sync(naming("balances", asked.clone())).await {
                Err(full) if reason(&full) == "OVERLOADED" => tokio::task::yield_now().await,
                answer => return answer,
            }
        }
    });
    let mut others = served.queries().await;
    angzarr_tests::rig::eventually("it waits", async || {
        let query = proto::Query { cover: Some(proto::Cover::of("account", root.into_bytes())), selection: None };
        others.get_event_book(query).await.is_err_and(|full| reason(&full) == "OVERLOADED")
    })
    .await;
    served.rig.balances.no_more_trouble(root, 0);
    let projection = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!((projection.projector.as_str(), projection.sequence), ("balances", 0));
    assert_eq!(projection.projection.unwrap().unpack::<BalanceView>().unwrap().balance, 7);
    served.runtime.settled().await;
    // Once it is done nobody makes it again: there is no projection to tell, and no second effect.
    let mut client = projectors(served.channel().await);
    let again = client.handle_sync(naming("balances", request)).await.unwrap().into_inner();
    assert_eq!((again.sequence, again.projection), (0, None));
    assert_eq!(balance_row(&served.rig.model, root).await, Some((7, 1, 0)));
    served.end().await;
}

/// Row J2: an event that waits in the dead letters is not projected, and the answer says so.
#[tokio::test]
async fn j2_an_event_in_the_dead_letters_is_told() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    served.rig.balances.trouble(root, 0, Trouble::Permanent);
    served.runtime.send::<Account>(root, Deposit { amount: 7 }).await.unwrap();
    served.runtime.settled().await;
    let events = Some(stored(&served, "account", root).await);
    let request = proto::EventRequest { events, ..Default::default() };
    let refused = projectors(served.channel().await).handle_sync(naming("balances", request)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "NOT_PROJECTED"));
    assert_eq!((fact(&refused, "component").as_str(), fact(&refused, "sequence").as_str()), ("balances", "0"));
    served.end().await;
}

/// What it would be, with everything undone.
#[tokio::test]
async fn j1_a_speculative_projection_leaves_no_row() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    let mut client = projectors(served.channel().await);
    let mut request = book("account", root, 0, &Deposited { amount: 3, ..Default::default() });
    request.pages.push(proto::EventPage::of(1, prost_types::Any::pack(&Deposited { amount: 4, ..Default::default() })));
    // A mail would not be taken back: it is not sent (row J6).
    request.pages.push(proto::EventPage::of(2, prost_types::Any::pack(&PointsAdded { points: 1 })));
    let request = proto::SpeculateProjectorRequest { events: Some(request) };
    let answer = client.handle_speculative(naming("balances", request.clone())).await.unwrap().into_inner();
    assert_eq!(answer.sequence, 1);
    assert_eq!(answer.projection.unwrap().unpack::<BalanceView>().unwrap().balance, 7, "it saw its own rows");
    assert_eq!(balance_row(&served.rig.model, root).await, None);
    assert_eq!(served.rig.mails.seen(), []);
    // Live events go on.
    served.runtime.send::<Account>(root, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
    assert_eq!(balance_row(&served.rig.model, root).await, Some((1, 1, 0)));

    let refused = client.handle_speculative(naming("journal", request.clone())).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unimplemented, "NOT_OFFERED"));
    let several = client.handle_speculative(request).await.unwrap_err();
    assert_eq!((several.code(), reason(&several).as_str()), (Code::InvalidArgument, "AMBIGUOUS_COMPONENT"));
    assert!(fact(&several, "components").contains("balances"));
    served.end().await;
}

/// Handing over without waiting takes what has happened, and nothing else.
#[tokio::test]
async fn projectors_take_what_has_happened() {
    let served = Served::start().await;
    let root = Uuid::new_v4();
    served.runtime.send::<Account>(root, Deposit { amount: 7 }).await.unwrap();
    let mut client = projectors(served.channel().await);
    client.handle(stored(&served, "account", root).await).await.unwrap();
    let invented = client.handle(book("account", root, 1, &Deposited::default())).await.unwrap_err();
    assert_eq!(fact(&invented, "field"), "events.pages[0]");
    let foreign = client.handle(book("elsewhere", root, 0, &Deposited::default())).await.unwrap_err();
    assert_eq!((foreign.code(), reason(&foreign).as_str()), (Code::NotFound, "UNKNOWN_DOMAIN"));
    served.end().await;
}
