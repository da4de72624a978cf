//! Every error has its status: code, reason, facts, and a retry exactly where one can succeed.

use super::*;
use crate::declare::{MergeStrategy, Rejection};
use crate::error::{Code as OurCode, ForeignReadModel, RebuildProblem, SequenceMismatch, Subject};
use crate::reaction::{CascadeFailed, CascadeFailure, ComponentKind};
use crate::registry::WiringErrors;
use crate::storage::{StorageError, StorageErrorKind};
use crate::stream::StreamKey;
use tonic_types::StatusExt as _;
use uuid::Uuid;

fn key() -> StreamKey {
    StreamKey::main("account", Uuid::from_u128(7))
}

fn mismatch(strategy: MergeStrategy, book: proto::EventBook) -> Box<SequenceMismatch> {
    let subject = Subject::default();
    Box::new(SequenceMismatch { stream: key(), strategy, expected: 1, actual: 3, book, subject })
}

fn storage(kind: StorageErrorKind) -> Error {
    StorageError::new(kind, "memory", "on purpose").into()
}

fn reaction(permanent: bool) -> Error {
    Error::Reaction { handler: "A::b".into(), message: "no".into(), permanent, subject: Subject::default() }
}

fn cascade(code: &'static str, status: OurCode) -> Error {
    let failure = CascadeFailure {
        component: "courier".into(),
        kind: ComponentKind::Saga,
        source: key(),
        sequence: 0,
        command_index: None,
        message: "no".into(),
        code,
        status,
    };
    let (failures, subject) = (vec![failure], Subject::default());
    Error::Cascade(Box::new(CascadeFailed {
        stream: key(),
        events: Vec::new(),
        failures,
        compensated: 0,
        not_undone: None,
        subject,
    }))
}

/// Every error there is: what it becomes, and whether it may be tried again.
fn every_error() -> Vec<(Error, Code, &'static str, bool)> {
    let subject = Subject::default;
    let names = || vec!["account".to_owned()];
    let book = proto::EventBook { next_sequence: 3, ..Default::default() };
    vec![
        (Error::Rejected(Rejection::new("no", "never")), Code::FailedPrecondition, "REJECTED", false),
        (Error::Rejected(Rejection::invalid_argument("no", "")), Code::InvalidArgument, "REJECTED", false),
        (Error::Rejected(Rejection::not_found("no", "")), Code::NotFound, "REJECTED", false),
        (
            Error::SequenceMismatch(mismatch(MergeStrategy::Commutative, book.clone())),
            Code::FailedPrecondition,
            "SEQUENCE_MISMATCH",
            true,
        ),
        (
            Error::SequenceMismatch(mismatch(MergeStrategy::Strict, book.clone())),
            Code::Aborted,
            "SEQUENCE_MISMATCH",
            false,
        ),
        (
            Error::DeadLettered { mismatch: mismatch(MergeStrategy::Manual, book), letter: Uuid::nil() },
            Code::Aborted,
            "DEAD_LETTERED",
            false,
        ),
        (
            Error::UnknownDomain { domain: "acount".into(), nearest: names(), subject: subject() },
            Code::NotFound,
            "UNKNOWN_DOMAIN",
            false,
        ),
        (
            Error::UnknownCommand { domain: "a".into(), command: "b".into(), nearest: names(), subject: subject() },
            Code::NotFound,
            "UNKNOWN_COMMAND",
            false,
        ),
        (
            Error::UnknownFact { domain: "a".into(), fact: "b".into(), nearest: names(), subject: subject() },
            Code::NotFound,
            "UNKNOWN_FACT",
            false,
        ),
        (reaction(false), Code::Internal, "REACTION_FAILED", true),
        (reaction(true), Code::Internal, "REACTION_FAILED", false),
        (cascade("REJECTED", OurCode::FailedPrecondition), Code::FailedPrecondition, "CASCADE_FAILED", false),
        (cascade("CASCADE_TOO_DEEP", OurCode::Aborted), Code::Aborted, "CASCADE_TOO_DEEP", false),
        (
            Error::UnknownEdition { edition: "a".into(), nearest: names(), subject: subject() },
            Code::NotFound,
            "UNKNOWN_EDITION",
            false,
        ),
        (
            Error::MergeConflict { edition: "a".into(), conflicts: Vec::new(), subject: subject() },
            Code::Aborted,
            "MERGE_CONFLICT",
            false,
        ),
        (Error::invalid_argument("cover", "missing"), Code::InvalidArgument, "INVALID_ARGUMENT", false),
        (Error::limit("command", 5, 4, "bytes"), Code::InvalidArgument, "LIMIT_EXCEEDED", false),
        (
            Error::HandlerPanicked { handler: "A::b".into(), reference: Uuid::nil(), subject: subject() },
            Code::Internal,
            "HANDLER_PANICKED",
            false,
        ),
        (
            Error::UnreadableReturn {
                handler: "A::b".into(),
                type_name: "a.B".into(),
                message: "no".into(),
                subject: subject(),
            },
            Code::Internal,
            "UNREADABLE_RETURN",
            false,
        ),
        (
            Error::Contention { stream: Box::new(key()), attempts: 3, subject: subject() },
            Code::Aborted,
            "CONTENTION",
            true,
        ),
        (
            Error::SchemaTooNew {
                stream: Box::new(key()),
                sequence: 1,
                type_name: "a.B".into(),
                stored: 3,
                known: 2,
                subject: subject(),
            },
            Code::DataLoss,
            "SCHEMA_TOO_NEW",
            false,
        ),
        (
            Error::UnreadableEvent {
                stream: Box::new(key()),
                sequence: 1,
                type_name: "a.B".into(),
                message: "no".into(),
                subject: subject(),
            },
            Code::DataLoss,
            "UNREADABLE_EVENT",
            false,
        ),
        (storage(StorageErrorKind::Unavailable), Code::Unavailable, "STORAGE", true),
        (storage(StorageErrorKind::Unknown), Code::Unknown, "OUTCOME_UNKNOWN", false),
        (storage(StorageErrorKind::Incompatible), Code::Internal, "STORAGE", false),
        (storage(StorageErrorKind::Locked), Code::Internal, "STORAGE", false),
        (storage(StorageErrorKind::Corrupt), Code::Internal, "STORAGE", false),
        (storage(StorageErrorKind::Failed), Code::Internal, "STORAGE", false),
        (Error::Wiring(WiringErrors::new(Vec::new())), Code::FailedPrecondition, "WIRING", false),
        (
            Error::OutOfReach { component: "a".into(), message: "no".into(), outage: true, subject: subject() },
            Code::Unavailable,
            "COMPONENT_OUT_OF_REACH",
            true,
        ),
        (Error::Component { component: "a".into(), message: "no".into() }, Code::Internal, "COMPONENT", false),
        (
            Error::ReadModel { component: "a".into(), problem: ForeignReadModel::EarlierVersion },
            Code::FailedPrecondition,
            "READ_MODEL",
            false,
        ),
        (
            Error::Rebuild { component: "a".into(), problem: RebuildProblem::Running },
            Code::FailedPrecondition,
            "REBUILD",
            false,
        ),
        (Error::ShuttingDown, Code::Unavailable, "SHUTTING_DOWN", true),
        (Error::not_offered("that", "do this"), Code::Unimplemented, "NOT_OFFERED", false),
    ]
}

#[test]
fn every_error_has_its_status() {
    for (error, code, reason, retryable) in every_error() {
        let status = status_of(&error, ROOM);
        assert_eq!(status.code(), code, "{error:?}");
        assert_eq!(status.message(), error.to_string());
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!((info.domain.as_str(), info.reason.as_str()), ("angzarr", reason), "{error:?}");
        for (name, value) in error.facts() {
            assert_eq!(info.metadata.get(name), Some(&value), "{error:?}");
        }
        assert_eq!(status.get_details_retry_info().is_some(), retryable, "{error:?}");
        // The whole of it is a `google.rpc.Status` that says the same as the status around it.
        let whole = pb::Status::decode(status.details()).expect("a google.rpc.Status");
        assert_eq!((whole.code, whole.message.as_str()), (code as i32, status.message()));
        let books = whole.details.iter().filter(|it| proto::type_name_of(&it.type_url) == "angzarr.EventBook").count();
        assert_eq!(books, usize::from(matches!(error, Error::SequenceMismatch(_))), "rows M1, M2: {error:?}");
    }
}

/// A new kind of error has to be told here what it becomes.
#[test]
fn no_error_is_forgotten() {
    let codes: std::collections::BTreeSet<_> = every_error().iter().map(|(error, ..)| error.code()).collect();
    let source = include_str!("../error.rs");
    let (_, body) = source.split_once("pub fn code(&self) -> &'static str {").expect("the function");
    let (body, _) = body.split_once("\n    }\n").expect("its end");
    let named = body.split('"').skip(1).step_by(2);
    let missing: Vec<_> = named.filter(|code| !codes.contains(code)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn m1_what_is_too_large_for_metadata_is_left_out_whole() {
    let large = proto::EventBook {
        pages: vec![proto::EventPage {
            payload: Some(proto::event_page::Payload::Event(prost_types::Any {
                type_url: "type.googleapis.com/a.B".into(),
                value: vec![7; ROOM],
            })),
            ..Default::default()
        }],
        ..Default::default()
    };
    let error = Error::SequenceMismatch(mismatch(MergeStrategy::Commutative, large));
    let status = status_of(&error, ROOM);
    assert!(status.details().len() < ROOM);
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert!(info.metadata["left_out"].starts_with("angzarr.EventBook: "), "{info:?}");
    assert_eq!(info.metadata["actual_sequence"], "3");
    assert!(status.get_details_retry_info().is_some());
    let with_room = status_of(&error, 1 << 20);
    assert!(with_room.details().len() > ROOM, "whoever has room for it gets it");
}

#[test]
fn long_texts_are_cut() {
    let status = status_of(&Error::Rejected(Rejection::new("no", "ä".repeat(100_000))), ROOM);
    assert!(status.message().chars().count() <= TEXT + 1 && status.details().len() < ROOM);
}

/// What tonic says by itself gets what every answer has; what is ours stays.
#[test]
fn what_the_transport_says_is_completed() {
    let too_large =
        Status::out_of_range("Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes");
    let undecodable = Status::internal("failed to decode Protobuf message: invalid wire type value: 7");
    for (status, code, reason) in [
        (too_large, Code::ResourceExhausted, "MESSAGE_TOO_LARGE"),
        (undecodable, Code::InvalidArgument, "MALFORMED_MESSAGE"),
        (Status::unimplemented(""), Code::Unimplemented, "UNKNOWN_METHOD"),
        (Status::unimplemented("Content is compressed with `br`"), Code::Unimplemented, "UNSUPPORTED"),
        (Status::internal("Missing request message."), Code::Internal, "TRANSPORT"),
    ] {
        let whole = completed(&status).expect("another status");
        assert_eq!(
            (whole.code(), whole.get_details_error_info().expect("an ErrorInfo").reason.as_str()),
            (code, reason)
        );
    }
    assert!(completed(&Status::ok("")).is_none());
    assert!(completed(&status_of(&Error::ShuttingDown, ROOM)).is_none());
}

/// What the typed client reads back is what was told; and it is the same error, where the wire carries all of it.
#[cfg(feature = "client")]
#[test]
fn every_error_is_read_back() {
    use crate::client::Answered;

    let mut typed = std::collections::BTreeSet::new();
    for (error, _, reason, retryable) in every_error() {
        let status = status_of(&error, ROOM);
        let answered = Answered::of(&status).expect("an answer of ours");
        assert_eq!((answered.code(), answered.status()), (reason, error.status()), "{error:?}");
        assert_eq!(answered.retry_after().is_some(), retryable, "{error:?}");
        assert_eq!(answered.to_string(), error.to_string());
        for (name, value) in error.facts() {
            assert_eq!(answered.fact(name), Some(value.as_str()), "{error:?}");
        }
        let Some(same) = answered.error() else { continue };
        typed.insert(reason);
        assert_eq!((same.code(), same.status(), same.is_retryable()), (reason, error.status(), retryable));
        assert_eq!((same.to_string(), same.event_book()), (error.to_string(), error.event_book()));
        assert_eq!(same.rejection(), error.rejection());
        let sorted = |error: &Error| {
            let mut facts = error.facts();
            facts.retain(|(_, value)| !value.is_empty());
            facts.sort_unstable();
            facts
        };
        assert_eq!(sorted(same), sorted(&error));
    }
    let expected = [
        "CONTENTION",
        "HANDLER_PANICKED",
        "INVALID_ARGUMENT",
        "REJECTED",
        "SCHEMA_TOO_NEW",
        "SEQUENCE_MISMATCH",
        "SHUTTING_DOWN",
        "UNKNOWN_COMMAND",
        "UNKNOWN_DOMAIN",
        "UNKNOWN_EDITION",
        "UNKNOWN_FACT",
    ];
    assert_eq!(typed.into_iter().collect::<Vec<_>>(), expected);
    assert!(Answered::of(&Status::unavailable("somebody between")).is_none(), "nothing is made up");
}
