//! Commands, facts, speculation and compensation over the wire: rows C, M, S, F, T, K.

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, CommandPageExt as _, CoverExt as _, PageHeaderExt as _};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use prost::Message as _;
use tonic::Code;

use crate::domain::{Delivered, OrderCancelled, Place, Reserve, Undone};
use crate::served::{Served, book_of, command, events, expecting, fact, info, may_be_retried, reason, sequences};

/// Row C1: what a caller sends is stored, and the answer is what was stored.
#[tokio::test]
async fn c1_c2_a_command_is_stored_and_answered() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let mut request = command("account", root, &Deposit { amount: 5 });
    request.command.as_mut().unwrap().cover.as_mut().unwrap().correlation_id = "w-1".into();
    let answer = client.handle_command(request).await.unwrap().into_inner();
    let book = answer.events.unwrap();
    assert_eq!((sequences(&book), book.next_sequence), (vec![0], 1));
    assert_eq!(events::<Deposited>(&book)[0].amount, 5);
    assert_eq!(book.cover.unwrap().correlation_id, "w-1");
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().balance, 5);
    served.end().await;
}

/// Row C3.
#[tokio::test]
async fn c3_no_event_is_a_success() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let answer = client.handle_command(command("account", Uuid::new_v4(), &DoNothing {})).await.unwrap().into_inner();
    let book = answer.events.unwrap();
    assert_eq!((book.pages.len(), book.next_sequence), (0, 0));
    served.end().await;
}

/// Row C4: the rejection's code, reason and details, and no retry.
#[tokio::test]
async fn c4_a_rejection_comes_whole() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    for (how, code, rejection, why) in [
        ("", Code::FailedPrecondition, "not_now", "ask again tomorrow"),
        ("invalid", Code::InvalidArgument, "bad_word", "no such word"),
        ("not_found", Code::NotFound, "no_such_thing", "it never was here"),
    ] {
        let refused = client.handle_command(command("account", root, &Refuse { how: how.into() })).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (code, "REJECTED"));
        assert_eq!(fact(&refused, "rejection_code"), rejection);
        assert_eq!(fact(&refused, "rejection_reason"), why);
        assert_eq!(fact(&refused, "command_type"), "test.Refuse");
        assert_eq!(fact(&refused, "domain"), "account");
        assert_eq!(fact(&refused, "root"), root.to_string());
        assert!(!may_be_retried(&refused));
        let details = tonic_types::pb::Status::decode(refused.details()).unwrap();
        let detail = details.details.iter().find(|it| it.type_url.ends_with("/test.RefusalDetail")).unwrap();
        assert_eq!(RefusalDetail::decode(detail.value.as_slice()).unwrap().text, "the fine print");
    }
    served.end().await;
}

/// Row C5.
#[tokio::test]
async fn c5_a_panic_is_internal_with_a_reference() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let broken = client.handle_command(command("account", root, &Explode {})).await.unwrap_err();
    assert_eq!((broken.code(), reason(&broken).as_str()), (Code::Internal, "HANDLER_PANICKED"));
    assert!(fact(&broken, "reference").parse::<Uuid>().is_ok());
    assert!(!may_be_retried(&broken));
    client.handle_command(command("account", root, &Deposit { amount: 1 })).await.unwrap();
    served.end().await;
}

/// Row C7: whatever is missing or malformed is named, and nothing breaks.
#[tokio::test]
async fn c7_what_is_wrong_is_named() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let good = || command("account", Uuid::new_v4(), &Deposit { amount: 1 });
    let broken = |change: &dyn Fn(&mut proto::CommandBook)| {
        let mut request = good();
        change(request.command.as_mut().unwrap());
        request
    };
    let cover = |change: &dyn Fn(&mut proto::Cover)| broken(&|book| change(book.cover.as_mut().unwrap()));
    let page = |change: &dyn Fn(&mut proto::CommandPage)| broken(&|book| change(&mut book.pages[0]));
    let payload = |url: &str, value: &[u8]| {
        let any = prost_types::Any { type_url: url.into(), value: value.to_vec() };
        page(&|page| page.payload = Some(proto::command_page::Payload::Command(any.clone())))
    };
    let reference = proto::PayloadReference::default();
    let cases = [
        (proto::CommandRequest::default(), Code::InvalidArgument, "field", "command"),
        (broken(&|book| book.cover = None), Code::InvalidArgument, "field", "command.cover"),
        (broken(&|book| book.pages.clear()), Code::InvalidArgument, "field", "command.pages"),
        (cover(&|cover| cover.root = None), Code::InvalidArgument, "field", "cover.root"),
        (
            cover(&|cover| cover.root = Some(proto::Uuid { value: vec![1; 15] })),
            Code::InvalidArgument,
            "field",
            "cover.root",
        ),
        (cover(&|cover| cover.domain = "Account".into()), Code::InvalidArgument, "field", "cover.domain"),
        (cover(&|cover| cover.domain = "acount".into()), Code::NotFound, "nearest", "account"),
        (cover(&|cover| cover.correlation_id = "a\nb".into()), Code::InvalidArgument, "field", "cover.correlation_id"),
        (page(&|page| page.payload = None), Code::InvalidArgument, "field", "command.pages[0].command"),
        (
            page(&|page| page.payload = Some(proto::command_page::Payload::External(reference.clone()))),
            Code::Unimplemented,
            "what",
            "a command payload by reference",
        ),
        (page(&|page| page.merge_strategy = 99), Code::InvalidArgument, "field", "command.pages[0].merge_strategy"),
        (
            page(&|page| page.header = Some(proto::PageHeader { sync_mode: Some(-7), ..Default::default() })),
            Code::InvalidArgument,
            "field",
            "command.pages[0].header.sync_mode",
        ),
        (payload("type.googleapis.com/test.Depositt", b""), Code::NotFound, "nearest", "test.Deposit"),
        (payload("", b""), Code::NotFound, "command_type", ""),
        (
            payload("type.googleapis.com/test.Deposit", b"\xff\xff"),
            Code::InvalidArgument,
            "field",
            "command.pages[0].command",
        ),
        (proto::CommandRequest { sync_mode: 99, ..good() }, Code::InvalidArgument, "field", "sync_mode"),
        (
            proto::CommandRequest { cascade_error_mode: -1, ..good() },
            Code::InvalidArgument,
            "field",
            "cascade_error_mode",
        ),
    ];
    for (index, (request, code, name, value)) in cases.into_iter().enumerate() {
        let refused = client.handle_command(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "case {index}: {refused:?}");
        let facts = info(&refused).metadata;
        let said = facts.get(name).map(String::as_str).unwrap_or_default();
        assert!(said.split(", ").any(|said| said == value), "case {index}: {facts:?}");
        assert!(!may_be_retried(&refused), "case {index}");
    }
    assert_eq!(served.runtime.storage().head(), 0, "nothing was stored");
    served.end().await;
}

/// Types are told by what stands behind the last `/`, whatever stands before.
#[tokio::test]
async fn c7_any_prefix_of_a_type_url_is_taken() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    for prefix in ["type.googleapis.com/", "types.example.org/v1/", "/", ""] {
        let mut request = command("account", Uuid::new_v4(), &Deposit { amount: 1 });
        let page = &mut request.command.as_mut().unwrap().pages[0];
        let any = prost_types::Any { type_url: format!("{prefix}test.Deposit"), ..page.command().unwrap().clone() };
        page.payload = Some(proto::command_page::Payload::Command(any));
        let answer = client.handle_command(request).await.unwrap().into_inner();
        let book = answer.events.unwrap();
        let event = proto::EventPageExt::event(&book.pages[0]).unwrap();
        assert_eq!(event.type_url, "type.googleapis.com/test.Deposited");
    }
    served.end().await;
}

/// Row C8: all pages or none.
#[tokio::test]
async fn c8_a_book_is_stored_whole_or_not_at_all() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let book = |amounts: &[i64]| {
        let pages = amounts.iter().map(|&amount| proto::CommandPage::of(prost_types::Any::pack(&Deposit { amount })));
        proto::CommandRequest {
            command: Some(proto::CommandBook {
                cover: Some(proto::Cover::of("account", root.into_bytes())),
                pages: pages.collect(),
            }),
            ..Default::default()
        }
    };
    let refused = client.handle_command(book(&[1, 2, -1])).await.unwrap_err();
    assert_eq!(reason(&refused), "REJECTED");
    let answer = client.handle_command(book(&[1, 2, 3])).await.unwrap().into_inner();
    let stored = answer.events.unwrap();
    assert_eq!(sequences(&stored), [0, 1, 2], "nothing of the refused book is there");
    assert_eq!(events::<Deposited>(&stored)[2].balance_before, 3);
    served.end().await;
}

/// Row C10.
#[tokio::test]
async fn c10_the_same_external_id_gets_the_first_answer() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let request = |amount| {
        let mut request = command("account", root, &Deposit { amount });
        let book = request.command.as_mut().unwrap();
        book.pages[0].header = Some(proto::PageHeader::external("order-7", ""));
        request
    };
    let first = client.handle_command(request(5)).await.unwrap().into_inner();
    client.handle_command(command("account", root, &Deposit { amount: 1 })).await.unwrap();
    let second = client.handle_command(request(6)).await.unwrap().into_inner();
    assert_eq!(first.events.unwrap().pages, second.events.unwrap().pages);
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().balance, 6);
    served.end().await;
}

/// Rows M1, M8: a retry with what the answer says goes through.
#[tokio::test]
async fn m1_m8_commutative_brings_the_fresh_book() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    for amount in [10, 20, 30] {
        client.handle_command(command("account", root, &Deposit { amount })).await.unwrap();
    }
    for expected in [0, 9] {
        let deposit = command("account", root, &Deposit { amount: 1 });
        let refused = client.handle_command(expecting(deposit, expected)).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "SEQUENCE_MISMATCH"));
        assert!(may_be_retried(&refused));
        assert_eq!(fact(&refused, "expected_sequence"), expected.to_string());
        assert_eq!(fact(&refused, "actual_sequence"), "3");
        let book = book_of(&refused).expect("the fresh book");
        assert_eq!((book.next_sequence, sequences(&book)), (3, vec![0, 1, 2]));
        assert_eq!(events::<Deposited>(&book).iter().map(|it| it.amount).sum::<i64>(), 60);
    }
    client.handle_command(expecting(command("account", root, &Deposit { amount: 1 }), 3)).await.unwrap();
    served.end().await;
}

/// Row M2.
#[tokio::test]
async fn m2_strict_is_aborted_and_not_to_be_retried() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    client.handle_command(command("account", root, &Deposit { amount: 9 })).await.unwrap();
    let withdraw = command("account", root, &Withdraw { amount: 1 });
    let refused = client.handle_command(expecting(withdraw, 0)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "SEQUENCE_MISMATCH"));
    assert!(!may_be_retried(&refused));
    assert_eq!(book_of(&refused).expect("the current book").next_sequence, 1);
    served.end().await;
}

/// Rows M3, M6: what the handler declares wins.
#[tokio::test]
async fn m3_m6_an_aggregate_that_handles_it_is_asked() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    client.handle_command(command("account", root, &Deposit { amount: 9 })).await.unwrap();
    let mut request = expecting(command("account", root, &AddTag { tag: "vip".into() }), 0);
    request.command.as_mut().unwrap().pages[0].merge_strategy = proto::MergeStrategy::MergeStrict as i32;
    let answer = client.handle_command(request).await.unwrap().into_inner();
    let tagged = &events::<TagAdded>(&answer.events.unwrap())[0];
    assert_eq!((tagged.expected, tagged.next), (0, 1));
    served.end().await;
}

/// Row M4.
#[tokio::test]
async fn m4_manual_waits_in_the_dead_letters() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    client.handle_command(command("account", root, &Deposit { amount: 9 })).await.unwrap();
    let refused = client.handle_command(expecting(command("account", root, &Freeze {}), 0)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "DEAD_LETTERED"));
    assert!(!may_be_retried(&refused));
    let letters = served.runtime.dead_letters().list(&Default::default()).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(fact(&refused, "dead_letter"), letters[0].id.to_string());
    served.end().await;
}

/// A book that is larger than clients take as metadata is left out, and the answer says so: the status comes all the same.
#[tokio::test]
async fn m1_a_book_too_large_for_metadata_is_left_out_whole() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    for _ in 0..3 {
        client.handle_command(command("account", root, &NoteOfSize { bytes: 100_000 })).await.unwrap();
    }
    let deposit = expecting(command("account", root, &Deposit { amount: 1 }), 0);
    let refused = client.handle_command(deposit).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "SEQUENCE_MISMATCH"));
    assert!(may_be_retried(&refused));
    assert_eq!(fact(&refused, "actual_sequence"), "3");
    assert!(fact(&refused, "left_out").starts_with("angzarr.EventBook"));
    assert_eq!(book_of(&refused), None, "half a book would be taken for a whole one");
    served.end().await;
}

/// Rows S1, S2, S3, S5, S6.
#[tokio::test]
async fn s1_s2_s3_s5_s6_sync_modes() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let mut send = async |mode: proto::SyncMode, page: Option<proto::SyncMode>| {
        let mut request = command("account", root, &Deposit { amount: 1 });
        request.sync_mode = mode as i32;
        let header = proto::PageHeader { sync_mode: page.map(|mode| mode as i32), ..Default::default() };
        request.command.as_mut().unwrap().pages[0].header = Some(header);
        client.handle_command(request).await.unwrap().into_inner()
    };
    assert_eq!(send(proto::SyncMode::Async, None).await.projections, []);
    assert_eq!(send(proto::SyncMode::Decision, None).await.projections, []);
    let simple = send(proto::SyncMode::Simple, None).await;
    let view = simple.projections.iter().find(|it| it.projector == "balances").expect("its projection");
    assert_eq!(view.sequence, 2);
    assert_eq!(view.projection.as_ref().unwrap().unpack::<BalanceView>().unwrap().balance, 3);
    assert!(send(proto::SyncMode::Simple, Some(proto::SyncMode::Isolated)).await.projections.is_empty());
    let page = send(proto::SyncMode::Async, Some(proto::SyncMode::Simple)).await;
    assert!(page.projections.iter().any(|it| it.sequence == 4));
    served.runtime.settled().await;
    assert_eq!(served.rig.journal.sequences(root), [0, 1, 2, 4], "the isolated one is seen by nobody");
    served.end().await;
}

/// Row S4 and E: a cascade answers when all of it has happened, or fails with what failed.
#[tokio::test]
async fn s4_e1_e2_a_cascade_over_the_wire() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let mut place = async |lines, mode: proto::CascadeErrorMode| {
        let order = Place { lines, quantity: 7, price: 3, trouble: "own shelf".into() };
        let mut request = command("order", Uuid::new_v4(), &order);
        request.sync_mode = proto::SyncMode::Cascade as i32;
        request.cascade_error_mode = mode as i32;
        client.handle_command(request).await
    };
    use proto::CascadeErrorMode::{CascadeErrorContinue, CascadeErrorFailFast};
    place(0, CascadeErrorFailFast).await.unwrap();
    let failed = place(1, CascadeErrorFailFast).await.unwrap_err();
    assert_eq!((failed.code(), reason(&failed).as_str()), (Code::FailedPrecondition, "CASCADE_FAILED"));
    assert_eq!(fact(&failed, "component"), "reserve");
    assert!(!may_be_retried(&failed));
    let went_on = place(1, CascadeErrorContinue).await.unwrap().into_inner();
    let errors: Vec<_> = went_on.cascade_errors.iter().map(|it| it.component_name.as_str()).collect();
    assert_eq!(errors, ["reserve"]);
    served.end().await;
}

fn a_fact<M: prost::Message + prost::Name>(domain: &str, root: Uuid, fact: &M, id: &str) -> proto::EventRequest {
    let header = proto::PageHeader::external(id, "");
    let page = proto::EventPage {
        header: Some(header),
        payload: Some(proto::event_page::Payload::Event(prost_types::Any::pack(fact))),
        ..Default::default()
    };
    let cover = proto::Cover::of(domain, root.into_bytes());
    let events = proto::EventBook { cover: Some(cover), pages: vec![page], ..Default::default() };
    proto::EventRequest { events: Some(events), sync_mode: 0, route_to_handler: false }
}

/// Rows F1, F2, F3.
#[tokio::test]
async fn f1_f2_f3_facts() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let fact_as_it_is = a_fact("account", root, &Deposited { amount: 9, ..Default::default() }, "bank-1");
    let first = client.handle_event(fact_as_it_is.clone()).await.unwrap().into_inner();
    assert!(!first.already_processed);
    assert_eq!(served.runtime.state::<Account>(root).await.unwrap().balance, 9);
    let again = client.handle_event(fact_as_it_is).await.unwrap().into_inner();
    assert!(again.already_processed);
    assert_eq!(again.events.unwrap().pages, first.events.unwrap().pages);

    let mut told = a_fact("parcel", root, &Delivered { by: "bike".into() }, "carrier-1");
    told.route_to_handler = true;
    let answer = client.handle_event(told).await.unwrap().into_inner();
    assert_eq!(events::<crate::domain::Arrived>(&answer.events.unwrap())[0].by, "bike");

    let nowhere = client.handle_event(a_fact("account", root, &Stranger {}, "x")).await.unwrap_err();
    assert_eq!((nowhere.code(), reason(&nowhere).as_str()), (Code::NotFound, "UNKNOWN_FACT"));
    let empty = client.handle_event(proto::EventRequest::default()).await.unwrap_err();
    assert_eq!((empty.code(), fact(&empty, "field").as_str()), (Code::InvalidArgument, "events"));
    served.end().await;
}

/// Row T3: on the state of a point in time, and nothing is stored.
#[tokio::test]
async fn t3_a_speculative_command_stores_nothing() {
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    for amount in [10, 20] {
        client.handle_command(command("account", root, &Deposit { amount })).await.unwrap();
    }
    let head = served.runtime.storage().head();
    let ask = |command: proto::CommandRequest, point: Option<u32>| proto::SpeculateCommandHandlerRequest {
        command: command.command,
        point_in_time: point.map(|sequence| proto::TemporalQuery {
            point_in_time: Some(proto::temporal_query::PointInTime::AsOfSequence(sequence)),
        }),
    };
    let withdraw = || command("account", root, &Withdraw { amount: 25 });
    let now = client.handle_sync_speculative(ask(withdraw(), None)).await.unwrap().into_inner().events.unwrap();
    assert_eq!((sequences(&now), now.next_sequence), (vec![2], 3));
    assert_eq!(events::<Withdrawn>(&now)[0].balance_before, 30);
    // What it expects speaks of the head, and is not asked for in the past.
    let then = ask(expecting(withdraw(), 2), Some(0));
    let refused = client.handle_sync_speculative(then).await.unwrap_err();
    assert_eq!(fact(&refused, "rejection_code"), "insufficient_funds");
    let mismatch = client.handle_sync_speculative(ask(expecting(withdraw(), 1), None)).await.unwrap_err();
    assert_eq!((mismatch.code(), reason(&mismatch).as_str()), (Code::Aborted, "SEQUENCE_MISMATCH"));
    // One that would become a dead letter becomes none.
    let freeze = expecting(command("account", root, &Freeze {}), 0);
    let mismatch = client.handle_sync_speculative(ask(freeze, None)).await.unwrap_err();
    assert_eq!((mismatch.code(), reason(&mismatch).as_str()), (Code::Aborted, "SEQUENCE_MISMATCH"));
    assert_eq!(served.runtime.dead_letters().list(&Default::default()).await.unwrap().len(), 0);
    assert_eq!(served.runtime.storage().head(), head);
    served.end().await;
}

fn undo(domain: &str, root: Uuid, any: prost_types::Any, header: Option<proto::PageHeader>) -> proto::CommandRequest {
    let page = proto::CommandPage { header, ..proto::CommandPage::of(any) };
    let cover = proto::Cover::of(domain, root.into_bytes());
    proto::CommandRequest {
        command: Some(proto::CommandBook { cover: Some(cover), pages: vec![page] }),
        ..Default::default()
    }
}

/// Rows K2, E3: `#[compensate]` answers, once for each id.
#[tokio::test]
async fn k2_an_aggregate_compensates_on_request() {
    use proto::business_response::Result as Answer;
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let compensate = proto::Compensate { target: None, sequences: vec![0, 1], reason: "a mistake".into() };
    let any = prost_types::Any::pack(&compensate);
    let header = proto::PageHeader::external("undo-1", "");
    for _ in 0..2 {
        let request = undo("order", root, any.clone(), Some(header.clone()));
        let answer = client.handle_compensation(request).await.unwrap().into_inner();
        let Some(Answer::Events(book)) = answer.result else { panic!("{answer:?}") };
        assert_eq!(events::<Undone>(&book), [Undone { why: "a mistake".into(), sequences: vec![0, 1] }]);
        assert_eq!(sequences(&book), [0], "the second time it is the first answer");
    }
    let nobody = client.handle_compensation(undo("account", root, any, None)).await.unwrap_err();
    assert_eq!((nobody.code(), reason(&nobody).as_str()), (Code::NotFound, "UNKNOWN_COMMAND"));
    served.end().await;
}

/// Rows K2, K4: a notification runs `#[rejected]`; its answer is events, a revocation that is carried out, or one to hand on.
#[tokio::test]
async fn k2_k4_a_notification_runs_the_rejected_method() {
    use proto::business_response::Result as Answer;
    let served = Served::start().await;
    let mut client = served.commands().await;
    let root = Uuid::new_v4();
    let rejection = |command: prost_types::Any, to: &str| {
        let page = proto::CommandPage::of(command);
        let cover = proto::Cover::of(to, root.into_bytes());
        let rejection = proto::RejectionNotification {
            rejected_command: Some(proto::CommandBook { cover: Some(cover), pages: vec![page] }),
            rejection_reason: "out_of_stock: 3 are left".into(),
        };
        let payload = Some(prost_types::Any::pack(&rejection));
        prost_types::Any::pack(&proto::Notification { payload, ..Default::default() })
    };
    let reserve = |trouble: &str| prost_types::Any::pack(&Reserve { quantity: 4, trouble: trouble.into() });

    let answer = client.handle_compensation(undo("order", root, rejection(reserve(""), "stock"), None)).await;
    let Some(Answer::Events(book)) = answer.unwrap().into_inner().result else { panic!("events") };
    assert_eq!(events::<crate::domain::Backordered>(&book)[0].why, "out_of_stock: 3 are left");

    let answer = client.handle_compensation(undo("order", root, rejection(reserve("give up"), "stock"), None)).await;
    let Some(Answer::Revocation(revocation)) = answer.unwrap().into_inner().result else { panic!("a revocation") };
    assert!(revocation.emit_system_revocation && revocation.send_to_dead_letter_queue && revocation.escalate);
    let letters = served.runtime.dead_letters().list(&Default::default()).await.unwrap();
    assert_eq!(letters.len(), 1, "it was carried out");

    let pack = prost_types::Any::pack(&crate::domain::Pack::default());
    let answer = client.handle_compensation(undo("stock", root, rejection(pack.clone(), "parcel"), None)).await;
    let Some(Answer::Notification(on)) = answer.unwrap().into_inner().result else { panic!("a notification") };
    let handed: proto::RejectionNotification = on.payload.unwrap().unpack().unwrap();
    assert_eq!(handed.rejection_reason, "out_of_stock: 3 are left");

    let answer = client.handle_compensation(undo("order", root, rejection(pack, "parcel"), None)).await;
    let Some(Answer::Events(book)) = answer.unwrap().into_inner().result else { panic!("events") };
    assert_eq!(events::<OrderCancelled>(&book)[0].why, "out_of_stock");

    let nonsense = undo("order", root, prost_types::Any::pack(&Deposit { amount: 1 }), None);
    let refused = client.handle_compensation(nonsense).await.unwrap_err();
    assert_eq!((refused.code(), fact(&refused, "field").as_str()), (Code::InvalidArgument, "command.pages[0].command"));
    served.end().await;
}
