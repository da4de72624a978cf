//! Aggregates elsewhere: rows C, M, F, K, B, E3.

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{
    self, AnyExt as _, CommandPageExt as _, CoverExt as _, EventPageExt as _, PageHeaderExt as _,
};
use angzarr_runtime::{Builder, Code};
use proto::business_response::Result as Answer;
use tonic::{Code as WireCode, Status};
use tonic_types::StatusExt as _;

use crate::domain::*;
use crate::elsewhere::*;

fn events(pages: Vec<proto::EventPage>) -> proto::BusinessResponse {
    proto::BusinessResponse { result: Some(Answer::Events(book(pages))) }
}

/// Stows up to a hundred; some quantities have a meaning of their own.
fn stock() -> Handler {
    Handler::new(|asked: &proto::ContextualCommand| {
        let history = asked.events.as_ref().unwrap();
        let command = asked.command.as_ref().unwrap();
        assert_eq!(command.pages.len(), 1);
        let held: u32 = history.pages.iter().filter_map(|it| it.decode::<Stowed>().ok()).map(|it| it.quantity).sum();
        let page = &command.pages[0];
        if page.type_name() == Some("angzarr.Notification") {
            return Ok(told(page));
        }
        if page.type_name() == Some("angzarr.Compensate") {
            return Ok(events(vec![event(&Stowed { quantity: 0 })]));
        }
        let Ok(Stow { quantity }) = page.decode::<Stow>() else {
            return Err(Status::invalid_argument("unknown_command: only Stow is known"));
        };
        match quantity {
            0 => Ok(proto::BusinessResponse::default()),
            13 => Err(Status::invalid_argument("unlucky")),
            44 => Err(Status::not_found("There is no such place")),
            50 => Err(Status::unknown("KeyError: 'sku'")),
            60 => Ok(proto::BusinessResponse {
                result: Some(Answer::Revocation(proto::RevocationResponse {
                    reason: "not now".into(),
                    ..Default::default()
                })),
            }),
            61 => Ok(events(vec![proto::EventPage::default()])),
            62 => Ok(events(vec![event(&proto::SagaCompensationFailed::default())])),
            63 => Ok(events((0..1_001).map(|quantity| event(&Stowed { quantity })).collect())),
            quantity if held + quantity > 100 => {
                Err(Status::failed_precondition(format!("full: {held} of 100 are taken")))
            }
            // In two halves.
            quantity if quantity >= 20 => {
                let half = quantity / 2;
                Ok(events(vec![event(&Stowed { quantity: half }), event(&Stowed { quantity: quantity - half })]))
            }
            quantity => Ok(events(vec![event(&Stowed { quantity })])),
        }
    })
}

/// What it answers to the rejection of a command that was sent for an event of its own.
fn told(page: &proto::CommandPage) -> proto::BusinessResponse {
    let notification = page.decode::<proto::Notification>().unwrap();
    let rejection: proto::RejectionNotification = notification.payload.unwrap().unpack().unwrap();
    events(vec![event(&Backordered { why: rejection.rejection_reason })])
}

async fn started(handler: &Handler) -> (Served, Runtime) {
    let there = aggregate_on(anywhere(), handler).await;
    let runtime = builder().remote_aggregate("stock", there.url()).build().await.unwrap();
    (there, runtime)
}

fn builder() -> Builder {
    Runtime::builder()
        .storage(Memory::new())
        .reaction_attempts(2)
        .reaction_backoff(Duration::from_millis(1), Duration::from_millis(2))
}

fn stow(root: Uuid, quantity: u32) -> proto::CommandRequest {
    request(command("stock", root, &Stow { quantity }))
}

/// The same with the sequence that it expects and what is to be done if there is another.
fn stow_at(root: Uuid, quantity: u32, expected: u32, strategy: proto::MergeStrategy) -> proto::CommandRequest {
    let mut book = command("stock", root, &Stow { quantity });
    book.pages = book.pages.into_iter().map(|page| page.expecting(expected).with_merge(strategy)).collect();
    request(book)
}

fn quantities(book: &proto::EventBook) -> Vec<(u32, u32)> {
    let of = |page: &proto::EventPage| Some((page.sequence()?, page.decode::<Stowed>().ok()?.quantity));
    book.pages.iter().filter_map(of).collect()
}

#[tokio::test]
async fn c2_c3_c8_events_get_their_sequences_here() {
    let stock = stock();
    let (_there, runtime) = started(&stock).await;
    let root = Uuid::new_v4();
    let mut request = stow(root, 5);
    request.command.as_mut().unwrap().cover.as_mut().unwrap().correlation_id = "w-1".into();
    let answer = runtime.handle_command(request).await.unwrap().events.unwrap();
    assert_eq!((quantities(&answer), answer.next_sequence), (vec![(0, 5)], 1));
    let answer = runtime.handle_command(stow(root, 21)).await.unwrap().events.unwrap();
    assert_eq!((quantities(&answer), answer.next_sequence), (vec![(1, 10), (2, 11)], 3));
    let answer = runtime.handle_command(stow(root, 0)).await.unwrap().events.unwrap();
    assert_eq!((answer.pages.len(), answer.next_sequence), (0, 3));
    // Pages of a book see the events of the pages before them, and one that is refused refuses all.
    let mut two = stow(root, 4);
    let pages = &mut two.command.as_mut().unwrap().pages;
    pages.extend(command("stock", root, &Stow { quantity: 71 }).pages);
    let refused = runtime.handle_command(two.clone()).await.unwrap_err();
    assert_eq!(refused.rejection().unwrap().to_string(), "full: 30 of 100 are taken");
    two.command.as_mut().unwrap().pages[1] = command("stock", root, &Stow { quantity: 20 }).pages.remove(0);
    let answer = runtime.handle_command(two).await.unwrap().events.unwrap();
    assert_eq!(quantities(&answer), [(3, 4), (4, 10), (5, 10)]);
    // What it was asked with.
    let last = stock.commands.asked().pop().unwrap();
    let history = last.events.unwrap();
    assert_eq!(quantities(&history), [(0, 5), (1, 10), (2, 11), (3, 4)]);
    assert_eq!(history.next_sequence, 4);
    assert!(history.pages.iter().all(|page| page.created_at.is_some()));
    assert_eq!(history.cover.unwrap().root_bytes(), Some(root.into_bytes()));
    let books = runtime.books_by_correlation("w-1").await.unwrap();
    assert_eq!(books.iter().map(|book| book.pages.len()).sum::<usize>(), 1);
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn c4_three_statuses_reject() {
    let (_there, runtime) = started(&stock()).await;
    let root = Uuid::new_v4();
    for (quantity, code, reason, status) in [
        (101, "full", "0 of 100 are taken", Code::FailedPrecondition),
        (13, "unlucky", "", Code::InvalidArgument),
        (44, "not_found", "There is no such place", Code::NotFound),
        (60, "revoked", "not now", Code::FailedPrecondition),
    ] {
        let refused = runtime.handle_command(stow(root, quantity)).await.unwrap_err();
        let rejection = refused.rejection().unwrap_or_else(|| panic!("{refused}"));
        assert_eq!((rejection.code(), rejection.reason(), rejection.status()), (code, reason, status));
        assert!(!refused.is_retryable());
    }
    let other = request(command("stock", root, &Take { quantity: 1 }));
    assert_eq!(runtime.handle_command(other).await.unwrap_err().rejection().unwrap().code(), "unknown_command");
    assert_eq!(runtime.storage().head(), 0);
    runtime.shutdown().await.unwrap();
}

/// An `ErrorInfo` says the code, and every other detail goes to the caller.
#[tokio::test]
async fn c4_details_reach_the_caller() {
    let handler = Handler::new(|_| {
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("SOLD_OUT", "stock", std::collections::HashMap::new());
        details.add_help_link("more", "https://example.org");
        Err(Status::with_error_details(WireCode::FailedPrecondition, "3 are left", details))
    });
    let (_there, runtime) = started(&handler).await;
    let refused = runtime.handle_command(stow(Uuid::new_v4(), 5)).await.unwrap_err();
    let rejection = refused.rejection().unwrap();
    assert_eq!((rejection.code(), rejection.reason()), ("SOLD_OUT", "3 are left"));
    let [help] = rejection.details() else { panic!("{rejection:?}") };
    assert_eq!(help.type_url, "type.googleapis.com/google.rpc.Help");
    runtime.shutdown().await.unwrap();
}

/// Whoever cannot be asked says neither yes nor no.
#[tokio::test]
async fn one_that_is_out_of_reach_or_fails_may_be_asked_again() {
    let address = nowhere().await;
    let runtime = builder().remote_aggregate("stock", url(address)).build().await.unwrap();
    let root = Uuid::new_v4();
    let failed = runtime.handle_command(stow(root, 5)).await.unwrap_err();
    assert_eq!((failed.code(), failed.status()), ("COMPONENT_OUT_OF_REACH", Code::Unavailable));
    assert!(failed.is_retryable());
    assert!(failed.to_string().contains(&format!("`stock` at http://{address} is out of reach")), "{failed}");
    assert!(failed.facts().contains(&("component", "stock".to_owned())), "{:?}", failed.facts());
    assert!(failed.facts().contains(&("command_type", "remote.Stow".to_owned())), "{:?}", failed.facts());
    let _there = aggregate_on(address, &stock()).await;
    let answer = runtime.handle_command(stow(root, 5)).await.unwrap().events.unwrap();
    assert_eq!(quantities(&answer), [(0, 5)]);
    let failed = runtime.handle_command(stow(root, 50)).await.unwrap_err();
    assert_eq!((failed.status(), failed.is_retryable()), (Code::Unavailable, true));
    assert!(failed.to_string().contains("KeyError: 'sku'"), "{failed}");
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_is_told_and_nothing_of_it_stored() {
    let (_there, runtime) = started(&stock()).await;
    for (quantity, code, why) in [
        (61, "UNREADABLE_RETURN", "without a payload"),
        (62, "UNREADABLE_RETURN", "angzarr.SagaCompensationFailed"),
        (63, "LIMIT_EXCEEDED", "1001"),
    ] {
        let failed = runtime.handle_command(stow(Uuid::new_v4(), quantity)).await.unwrap_err();
        assert_eq!(failed.code(), code);
        assert!(failed.to_string().contains(why), "{failed}");
    }
    assert_eq!(runtime.storage().head(), 0);
    runtime.shutdown().await.unwrap();
}

/// Rows M1 to M6: the command's own value decides, since nothing else is declared here.
#[tokio::test]
async fn m1_m2_m3_m4_m6_the_commands_own_strategy_counts() {
    use proto::MergeStrategy::*;
    let stock = stock();
    let (_there, runtime) = started(&stock).await;
    let root = Uuid::new_v4();
    runtime.handle_command(stow_at(root, 5, 0, MergeStrict)).await.unwrap();
    for (strategy, code, retryable) in [
        (MergeCommutative, Code::FailedPrecondition, true),
        (MergeStrict, Code::Aborted, false),
        (MergeManual, Code::Aborted, false),
    ] {
        for expected in [0, 7] {
            let refused = runtime.handle_command(stow_at(root, 6, expected, strategy)).await.unwrap_err();
            assert_eq!((refused.status(), refused.is_retryable()), (code, retryable), "{strategy:?}");
            assert_eq!(quantities(refused.event_book().unwrap()), [(0, 5)]);
        }
    }
    assert_eq!(stock.commands.asked().len(), 1, "nobody was asked");
    assert_eq!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().len(), 2);
    let answer = runtime.handle_command(stow_at(root, 6, 0, MergeAggregateHandles)).await.unwrap().events.unwrap();
    assert_eq!(quantities(&answer), [(1, 6)]);
    runtime.shutdown().await.unwrap();
}

/// Rows C6, C9: writers of one stream take turns, in this process and between two runtimes on one store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c9_racing_commands_see_each_other() {
    let stock = stock();
    let (_there, runtime) = started(&stock).await;
    let root = Uuid::new_v4();
    let racing = (0..12).map(|_| {
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.handle_command(stow(root, 9)).await })
    });
    let mut accepted = 0;
    for command in racing.collect::<Vec<_>>() {
        accepted += u32::from(command.await.unwrap().is_ok());
    }
    // Eleven times nine is 99: one of them found it full.
    assert_eq!(accepted, 11);
    assert_eq!(runtime.storage().head(), 11);
    runtime.shutdown().await.unwrap();
}

/// Row C10: what was done is answered, and nobody is asked again.
#[tokio::test]
async fn c10_an_external_id_is_done_once() {
    let stock = stock();
    let (_there, runtime) = started(&stock).await;
    let root = Uuid::new_v4();
    let mut once = stow(root, 5);
    once.command.as_mut().unwrap().pages[0].header = Some(proto::PageHeader::external("order 7", ""));
    let first = runtime.handle_command(once.clone()).await.unwrap();
    assert_eq!(runtime.handle_command(once).await.unwrap().events.unwrap().pages, first.events.unwrap().pages);
    assert_eq!(stock.commands.asked().len(), 1);
    runtime.shutdown().await.unwrap();
}

/// Rows B1, B3: a branch has a history of its own.
#[tokio::test]
async fn b3_a_branch_goes_its_own_way() {
    let stock = stock();
    let (_there, runtime) = started(&stock).await;
    let root = Uuid::new_v4();
    let in_branch = |quantity| {
        let mut request = stow(root, quantity);
        request.command.as_mut().unwrap().cover.as_mut().unwrap().edition =
            Some(proto::Edition { name: "what-if".into(), divergences: Vec::new() });
        request
    };
    runtime.handle_command(stow(root, 1)).await.unwrap();
    runtime.handle_command(in_branch(2)).await.unwrap();
    runtime.handle_command(stow(root, 3)).await.unwrap();
    let answer = runtime.handle_command(in_branch(4)).await.unwrap().events.unwrap();
    assert_eq!(quantities(&answer), [(2, 4)]);
    assert_eq!(quantities(stock.commands.asked().last().unwrap().events.as_ref().unwrap()), [(0, 1), (1, 2)]);
    runtime.shutdown().await.unwrap();
}

fn told_fact(root: Uuid, quantity: u32, to_handler: bool) -> proto::EventRequest {
    let mut events = fact("stock", root, &Counted { quantity });
    events.pages[0].header = Some(proto::PageHeader::external(format!("count {quantity}"), ""));
    proto::EventRequest { events: Some(events), route_to_handler: to_handler, ..Default::default() }
}

#[tokio::test]
async fn f1_f2_f3_facts_are_recorded_as_they_are_or_as_the_component_says() {
    let mut stock = stock();
    let (_there, runtime) = started(&stock).await;
    let root = Uuid::new_v4();
    // It has no way with facts.
    let first = runtime.handle_event(told_fact(root, 1, true)).await.unwrap();
    assert_eq!(first.events.unwrap().pages[0].decode::<Counted>().unwrap().quantity, 1);
    assert!(runtime.handle_event(told_fact(root, 1, true)).await.unwrap().already_processed);
    runtime.shutdown().await.unwrap();

    stock.facts = Component::new(|request: &proto::FactRequest| {
        let fact: Counted = request.facts.as_ref().unwrap().pages[0].decode().unwrap();
        let prior = request.prior_events.as_ref().unwrap().pages.len() as u32;
        match fact.quantity {
            9 => Err(Status::failed_precondition("no")),
            quantity => Ok(book(vec![event(&Stowed { quantity: quantity * 10 + prior })])),
        }
    });
    let (_there, runtime) = started(&stock).await;
    for (number, stowed) in [(1, 10), (2, 21)] {
        let answer = runtime.handle_event(told_fact(root, number, true)).await.unwrap().events.unwrap();
        assert_eq!(quantities(&answer), [(number - 1, stowed)]);
    }
    let as_it_is = runtime.handle_event(told_fact(root, 3, false)).await.unwrap().events.unwrap();
    assert_eq!(as_it_is.pages[0].decode::<Counted>().unwrap().quantity, 3);
    // A fact cannot be refused: it may be told again.
    let failed = runtime.handle_event(told_fact(root, 9, true)).await.unwrap_err();
    assert!(failed.is_retryable(), "{failed}");
    runtime.shutdown().await.unwrap();
}

/// A saga here, in the form of one elsewhere, sends to it.
fn stower() -> Saga {
    Component::new(|request: &proto::SagaHandleRequest| {
        let source = request.source.as_ref().unwrap();
        let placed: Placed = source.pages[0].decode().unwrap();
        let commands = vec![command("stock", root_of(source), &Stow { quantity: placed.quantity })];
        Ok(proto::SagaResponse { commands, events: vec![] })
    })
}

/// Its commands wait for it, in the saga: no dead letter for an outage.
#[tokio::test]
async fn g3_commands_of_sagas_wait_for_one_that_is_out_of_reach() {
    let (address, saga) = (nowhere().await, saga_on(anywhere(), &stower()).await);
    let builder = builder().remote_aggregate("stock", url(address)).remote_saga("stower", "order", saga.url());
    let runtime = builder.build().await.unwrap();
    let order = Uuid::new_v4();
    runtime.send::<Order>(order, Place { quantity: 5 }).await.unwrap();
    let reason = stalled(&runtime, "stower").await;
    assert!(reason.contains("`stock` at"), "{reason}");
    let stock = stock();
    let _there = aggregate_on(address, &stock).await;
    settled(&runtime).await;
    assert_eq!(runtime.storage().head(), 2);
    // One that it fails at does not hold up the others.
    runtime.send::<Order>(order, Place { quantity: 50 }).await.unwrap();
    settled(&runtime).await;
    let [letter] = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().try_into().unwrap();
    assert_eq!(letter.domain(), "stock");
    assert!(letter.letter.rejection_reason.contains("KeyError"), "{letter:?}");
    runtime.shutdown().await.unwrap();
}

/// Rows K1, K5: the rejection of a command that was sent for its event reaches it as a notification; its answer is stored.
#[tokio::test]
async fn k1_it_is_told_of_rejections_itself() {
    let taker: Saga = Component::new(|request: &proto::SagaHandleRequest| {
        let source = request.source.as_ref().unwrap();
        let Ok(Stowed { quantity }) = source.pages[0].decode() else { return Ok(proto::SagaResponse::default()) };
        let commands = vec![command("shelf", root_of(source), &Take { quantity })];
        Ok(proto::SagaResponse { commands, events: vec![] })
    });
    let (there, saga) = (aggregate_on(anywhere(), &stock()).await, saga_on(anywhere(), &taker).await);
    let builder = builder().remote_aggregate("stock", there.url()).remote_saga("taker", "stock", saga.url());
    let runtime = builder.build().await.unwrap();
    let root = Uuid::new_v4();
    runtime.handle_command(stow(root, 12)).await.unwrap();
    settled(&runtime).await;
    let answer = runtime.handle_command(stow_at(root, 1, 9, proto::MergeStrategy::MergeStrict)).await.unwrap_err();
    let book = answer.event_book().unwrap();
    assert_eq!(book.pages[1].decode::<Backordered>().unwrap().why, "too_many: 12 at once");
    assert_eq!(book.pages.len(), 2);
    assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
    runtime.shutdown().await.unwrap();
}

/// Row E3: what it had accepted is undone by itself when the cascade fails.
#[tokio::test]
async fn e3_it_undoes_its_own_events() {
    let both: Saga = Component::new(|request: &proto::SagaHandleRequest| {
        let source = request.source.as_ref().unwrap();
        let Ok(Placed { .. }) = source.pages[0].decode() else { return Ok(proto::SagaResponse::default()) };
        let commands = vec![
            command("stock", root_of(source), &Stow { quantity: 5 }),
            command("shelf", root_of(source), &Take { quantity: 99 }),
        ];
        Ok(proto::SagaResponse { commands, events: vec![] })
    });
    let stock = stock();
    let (there, saga) = (aggregate_on(anywhere(), &stock).await, saga_on(anywhere(), &both).await);
    let builder = builder().remote_aggregate("stock", there.url()).remote_saga("both", "order", saga.url());
    let runtime = builder.build().await.unwrap();
    let root = Uuid::new_v4();
    let place = runtime.send::<Order>(root, Place { quantity: 1 }).sync(SyncMode::Cascade);
    place.cascade_error_mode(CascadeErrorMode::Compensate).await.unwrap_err();
    settled(&runtime).await;
    let asked = stock.commands.asked();
    let compensate = asked.iter().filter_map(|it| it.command.as_ref().unwrap().pages[0].decode::<Compensate>().ok());
    assert_eq!(compensate.map(|it| it.sequences).collect::<Vec<_>>(), [[0]]);
    runtime.shutdown().await.unwrap();
}
