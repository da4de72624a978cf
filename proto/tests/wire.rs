//! The wire contract, written down a second time: every name and number that published clients rely on.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use angzarr_proto::FILE_DESCRIPTOR_SET;
use angzarr_proto::prost::Message;
use angzarr_proto::prost_types::field_descriptor_proto::{Label, Type};
use angzarr_proto::prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// `name type = number`, after the oneof it belongs to, if any. `!n` is a reserved number, `!name` a reserved name.
const MESSAGES: &[(&str, &str)] = &[
    ("UUID", "value bytes = 1"),
    (
        "Cover",
        "root UUID = 1, domain string = 2, correlation_id string = 3, edition Edition = 4, ext Any = 6, !5, !external_id",
    ),
    ("Edition", "name string = 1, divergences repeated DomainDivergence = 2"),
    ("DomainDivergence", "domain string = 1, sequence uint32 = 2"),
    (
        "PayloadReference",
        "storage_type PayloadStorageType = 1, uri string = 2, content_hash bytes = 3, original_size uint64 = 4, \
         stored_at Timestamp = 5",
    ),
    (
        "PageHeader",
        "sequence_type.sequence uint32 = 1, sequence_type.external_deferred ExternalDeferredSequence = 2, \
         sequence_type.angzarr_deferred AngzarrDeferredSequence = 3, sync_mode optional SyncMode = 4",
    ),
    ("ExternalDeferredSequence", "external_id string = 1, description string = 2"),
    (
        "AngzarrDeferredSequence",
        "source Cover = 1, source_seq uint32 = 2, source_component string = 3, command_index uint32 = 4",
    ),
    (
        "EventPage",
        "header PageHeader = 1, created_at Timestamp = 2, payload.event Any = 3, payload.external PayloadReference = 4, \
         schema_version uint32 = 100, !5, !6, !7, !committed, !no_commit, !cascade_id",
    ),
    ("Snapshot", "sequence uint32 = 2, state Any = 3, retention SnapshotRetention = 4, created_at Timestamp = 5, !1"),
    (
        "EventBook",
        "cover Cover = 1, snapshot Snapshot = 2, pages repeated EventPage = 3, next_sequence uint32 = 6, !4, !5",
    ),
    ("EventRequest", "events EventBook = 1, sync_mode SyncMode = 2, route_to_handler bool = 3"),
    ("Projection", "cover Cover = 1, projector string = 2, sequence uint32 = 3, projection Any = 4"),
    (
        "CommandPage",
        "header PageHeader = 1, merge_strategy MergeStrategy = 2, payload.command Any = 3, \
         payload.external PayloadReference = 4",
    ),
    ("CommandBook", "cover Cover = 1, pages repeated CommandPage = 2, !3, !4, !5"),
    (
        "CommandRequest",
        "command CommandBook = 1, sync_mode SyncMode = 2, cascade_error_mode CascadeErrorMode = 3, !4, !cascade_id",
    ),
    ("ContextualCommand", "events EventBook = 1, command CommandBook = 2"),
    ("ContextualCommandRequest", "command ContextualCommand = 1, sync_mode SyncMode = 2"),
    ("SequenceRange", "lower uint32 = 1, upper optional uint32 = 2"),
    ("SequenceSet", "values repeated uint32 = 1"),
    ("TemporalQuery", "point_in_time.as_of_time Timestamp = 1, point_in_time.as_of_sequence uint32 = 2"),
    (
        "Query",
        "cover Cover = 1, selection.range SequenceRange = 3, selection.sequences SequenceSet = 4, \
         selection.temporal TemporalQuery = 5, !2",
    ),
    ("AggregateRoot", "domain string = 1, root UUID = 2"),
    ("EventStreamFilter", "correlation_id string = 1"),
    ("Notification", "cover Cover = 1, payload Any = 2, sent_at Timestamp = 3, !4, !metadata"),
    ("RejectionNotification", "rejected_command CommandBook = 1, rejection_reason string = 2"),
    ("Compensate", "target Cover = 1, sequences repeated uint32 = 2, reason string = 3"),
    (
        "SequenceMismatchDetails",
        "expected_sequence uint32 = 1, actual_sequence uint32 = 2, merge_strategy MergeStrategy = 3",
    ),
    ("EventProcessingFailedDetails", "error string = 1, retry_count uint32 = 2, is_transient bool = 3"),
    (
        "PayloadRetrievalFailedDetails",
        "storage_type PayloadStorageType = 1, uri string = 2, content_hash bytes = 3, original_size uint64 = 4, \
         error string = 5",
    ),
    (
        "AngzarrDeadLetter",
        "cover Cover = 1, payload.rejected_command CommandBook = 2, rejection_reason string = 3, \
         occurred_at Timestamp = 7, metadata map<string, string> = 8, payload.rejected_events EventBook = 9, \
         source_component string = 10, source_component_type string = 11, \
         rejection_details.sequence_mismatch SequenceMismatchDetails = 12, \
         rejection_details.event_processing_failed EventProcessingFailedDetails = 13, \
         rejection_details.payload_retrieval_failed PayloadRetrievalFailedDetails = 14",
    ),
    ("Target", "domain string = 1"),
    ("ComponentDescriptor", "name string = 1, component_type string = 2, inputs repeated Target = 3"),
    ("FactRequest", "facts EventBook = 1, prior_events EventBook = 2"),
    ("ReplayRequest", "base_snapshot Snapshot = 1, events repeated EventPage = 2"),
    ("ReplayResponse", "state Any = 1"),
    (
        "CommandResponse",
        "events EventBook = 1, projections repeated Projection = 2, cascade_errors repeated CascadeError = 3",
    ),
    (
        "CascadeError",
        "component_name string = 1, component_type string = 2, error_message string = 3, source_domain string = 4",
    ),
    (
        "RevocationResponse",
        "emit_system_revocation bool = 1, send_to_dead_letter_queue bool = 2, escalate bool = 3, abort bool = 4, \
         reason string = 5",
    ),
    (
        "BusinessResponse",
        "result.events EventBook = 1, result.revocation RevocationResponse = 2, result.notification Notification = 3",
    ),
    ("SpeculateCommandHandlerRequest", "command CommandBook = 1, point_in_time TemporalQuery = 2"),
    ("FactInjectionResponse", "events EventBook = 1, already_processed bool = 2, projections repeated Projection = 3"),
    (
        "SagaHandleRequest",
        "source EventBook = 1, sync_mode SyncMode = 2, cascade_error_mode CascadeErrorMode = 3, \
         destination_sequences map<string, uint32> = 4",
    ),
    ("SpeculateSagaRequest", "request SagaHandleRequest = 1"),
    ("SagaResponse", "commands repeated CommandBook = 1, events repeated EventBook = 2"),
    (
        "SagaCompensationFailed",
        "triggering_aggregate Cover = 1, triggering_event_sequence uint32 = 2, saga_name string = 3, \
         rejection_reason string = 4, compensation_failure_reason string = 5, rejected_command CommandBook = 6, \
         occurred_at Timestamp = 7",
    ),
    (
        "ProcessManagerCoordinatorRequest",
        "trigger EventBook = 1, sync_mode SyncMode = 2, cascade_error_mode CascadeErrorMode = 3",
    ),
    ("SpeculatePmRequest", "request ProcessManagerHandleRequest = 1"),
    (
        "ProcessManagerHandleRequest",
        "trigger EventBook = 1, process_state EventBook = 2, destination_sequences map<string, uint32> = 3",
    ),
    (
        "ProcessManagerHandleResponse",
        "process_events EventBook = 1, commands repeated CommandBook = 2, facts repeated EventBook = 3",
    ),
    ("SpeculateProjectorRequest", "events EventBook = 1"),
    ("UpcastRequest", "domain string = 1, events repeated EventPage = 2"),
    ("UpcastResponse", "events repeated EventPage = 1"),
];

const ENUMS: &[(&str, &[&str])] = &[
    (
        "SyncMode",
        &["SYNC_MODE_ASYNC", "SYNC_MODE_SIMPLE", "SYNC_MODE_CASCADE", "SYNC_MODE_DECISION", "SYNC_MODE_ISOLATED"],
    ),
    (
        "CascadeErrorMode",
        &["CASCADE_ERROR_FAIL_FAST", "CASCADE_ERROR_CONTINUE", "CASCADE_ERROR_COMPENSATE", "CASCADE_ERROR_DEAD_LETTER"],
    ),
    ("MergeStrategy", &["MERGE_COMMUTATIVE", "MERGE_STRICT", "MERGE_AGGREGATE_HANDLES", "MERGE_MANUAL"]),
    ("SnapshotRetention", &["RETENTION_DEFAULT", "RETENTION_PERSIST", "RETENTION_TRANSIENT"]),
    (
        "PayloadStorageType",
        &[
            "PAYLOAD_STORAGE_TYPE_UNSPECIFIED",
            "PAYLOAD_STORAGE_TYPE_FILESYSTEM",
            "PAYLOAD_STORAGE_TYPE_GCS",
            "PAYLOAD_STORAGE_TYPE_S3",
        ],
    ),
];

const SERVICES: &[(&str, &[&str])] = &[
    (
        "CommandHandlerCoordinatorService",
        &[
            "HandleCommand(CommandRequest) CommandResponse",
            "HandleEvent(EventRequest) FactInjectionResponse",
            "HandleSyncSpeculative(SpeculateCommandHandlerRequest) CommandResponse",
            "HandleCompensation(CommandRequest) BusinessResponse",
        ],
    ),
    (
        "CommandHandlerService",
        &[
            "Handle(ContextualCommand) BusinessResponse",
            "HandleFact(FactRequest) EventBook",
            "Replay(ReplayRequest) ReplayResponse",
        ],
    ),
    (
        "EventQueryService",
        &[
            "GetEventBook(Query) EventBook",
            "GetEvents(Query) stream EventBook",
            "Synchronize(stream Query) stream EventBook",
            "GetAggregateRoots(Empty) stream AggregateRoot",
        ],
    ),
    ("EventStreamService", &["Subscribe(EventStreamFilter) stream EventBook"]),
    (
        "SagaCoordinatorService",
        &["Execute(SagaHandleRequest) SagaResponse", "ExecuteSpeculative(SpeculateSagaRequest) SagaResponse"],
    ),
    ("SagaService", &["Handle(SagaHandleRequest) SagaResponse"]),
    (
        "ProcessManagerCoordinatorService",
        &[
            "Handle(ProcessManagerCoordinatorRequest) ProcessManagerHandleResponse",
            "HandleSpeculative(SpeculatePmRequest) ProcessManagerHandleResponse",
        ],
    ),
    ("ProcessManagerService", &["Handle(ProcessManagerHandleRequest) ProcessManagerHandleResponse"]),
    (
        "ProjectorCoordinatorService",
        &[
            "HandleSync(EventRequest) Projection",
            "Handle(EventBook) Empty",
            "HandleSpeculative(SpeculateProjectorRequest) Projection",
        ],
    ),
    ("ProjectorService", &["Handle(EventBook) Projection", "HandleSpeculative(EventBook) Projection"]),
    ("UpcasterService", &["Upcast(UpcastRequest) UpcastResponse"]),
];

fn ours() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    set.file.into_iter().filter(|file| file.package() == "angzarr").collect()
}

/// The name of a type of ours, or of one of the well-known types that the contract uses.
fn short(type_name: &str) -> &str {
    match type_name {
        ".google.protobuf.Any" => "Any",
        ".google.protobuf.Empty" => "Empty",
        ".google.protobuf.Timestamp" => "Timestamp",
        ours => ours.strip_prefix(".angzarr.").unwrap_or_else(|| panic!("{ours}")),
    }
}

fn scalar(field: &FieldDescriptorProto) -> &str {
    match field.r#type() {
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Bool => "bool",
        Type::Uint32 => "uint32",
        Type::Uint64 => "uint64",
        Type::Message | Type::Enum => short(field.type_name()),
        other => panic!("{} is a {}", field.name(), other.as_str_name()),
    }
}

/// A field in the notation of the table.
fn describe(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let mut text = String::new();
    if field.oneof_index.is_some() && !field.proto3_optional() {
        let oneof = &message.oneof_decl[field.oneof_index() as usize];
        write!(text, "{}.", oneof.name()).unwrap();
    }
    write!(text, "{} ", field.name()).unwrap();
    let entry = message
        .nested_type
        .iter()
        .find(|nested| field.type_name().ends_with(&format!("{}.{}", message.name(), nested.name())));
    match entry {
        Some(entry) => {
            assert!(entry.options.as_ref().unwrap().map_entry());
            let (key, value) = (scalar(&entry.field[0]), scalar(&entry.field[1]));
            write!(text, "map<{key}, {value}>").unwrap();
        }
        None => {
            if field.label() == Label::Repeated {
                text += "repeated ";
            }
            if field.proto3_optional() {
                text += "optional ";
            }
            text += scalar(field);
        }
    }
    write!(text, " = {}", field.number()).unwrap();
    text
}

/// Splits at the commas that are not within a map's angle brackets.
fn split(row: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in row.split(", ") {
        match parts.last_mut() {
            Some(last) if last.contains('<') && !last.contains('>') => {
                write!(last, ", {part}").unwrap();
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts.sort();
    parts
}

#[test]
fn files() {
    let mut names: Vec<_> = ours().iter().map(|file| file.name().to_owned()).collect();
    names.sort();
    let mut expected =
        ["types", "command_handler", "query", "stream", "saga", "process_manager", "projector", "upcaster", "dlq"]
            .map(|name| format!("angzarr/{name}.proto"));
    expected.sort();
    assert_eq!(names, expected);
    assert!(ours().iter().all(|file| file.syntax() == "proto3"));
}

/// The messages of every file but `types.proto`, which has all others.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "command_handler",
        &[
            "FactRequest",
            "ReplayRequest",
            "ReplayResponse",
            "CommandResponse",
            "CascadeError",
            "RevocationResponse",
            "BusinessResponse",
            "SpeculateCommandHandlerRequest",
            "FactInjectionResponse",
        ],
    ),
    ("saga", &["SagaHandleRequest", "SpeculateSagaRequest", "SagaResponse", "SagaCompensationFailed"]),
    (
        "process_manager",
        &[
            "ProcessManagerCoordinatorRequest",
            "SpeculatePmRequest",
            "ProcessManagerHandleRequest",
            "ProcessManagerHandleResponse",
        ],
    ),
    ("projector", &["SpeculateProjectorRequest"]),
    ("upcaster", &["UpcastRequest", "UpcastResponse"]),
];

#[test]
fn every_message_stands_in_its_file() {
    for file in ours() {
        for message in &file.message_type {
            let elsewhere = ELSEWHERE.iter().find(|(_, messages)| messages.contains(&message.name()));
            let expected = elsewhere.map_or("types", |(name, _)| name);
            assert_eq!(file.name(), format!("angzarr/{expected}.proto"), "{}", message.name());
        }
    }
}

#[test]
fn everything_has_a_comment() {
    for file in ours() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file.name());
        let text = std::fs::read_to_string(&path).expect("the file");
        let mut before = "";
        for line in text.lines().map(str::trim) {
            let declares =
                ["message ", "enum ", "service ", "rpc ", "oneof "].iter().any(|word| line.starts_with(word))
                    || (line.contains(" = ") && line.ends_with(';') && !line.starts_with("syntax"));
            if declares {
                assert!(before.starts_with("// "), "{}: no comment above `{line}`", file.name());
            }
            before = line;
        }
    }
}

#[test]
fn messages() {
    let actual: BTreeMap<String, Vec<String>> = ours()
        .iter()
        .flat_map(|file| &file.message_type)
        .map(|message| {
            let fields = message.field.iter().map(|field| describe(message, field));
            let numbers = message
                .reserved_range
                .iter()
                .flat_map(|range| (range.start()..range.end()).map(|number| format!("!{number}")));
            let names = message.reserved_name.iter().map(|name| format!("!{name}"));
            let mut row: Vec<_> = fields.chain(numbers).chain(names).collect();
            row.sort();
            (message.name().to_owned(), row)
        })
        .collect();
    let expected: BTreeMap<String, Vec<String>> =
        MESSAGES.iter().map(|(name, row)| ((*name).to_owned(), split(row))).collect();
    assert_eq!(expected.len(), MESSAGES.len(), "a message is listed twice");

    for (name, row) in &expected {
        assert_eq!(actual.get(name), Some(row), "{name}");
    }
    for name in actual.keys() {
        assert!(expected.contains_key(name), "{name} is not in the contract");
    }
}

#[test]
fn enums() {
    let actual: BTreeMap<String, Vec<(String, i32)>> = ours()
        .iter()
        .flat_map(|file| &file.enum_type)
        .map(|enumeration| {
            let values = enumeration.value.iter();
            let values = values.map(|value| (value.name().to_owned(), value.number()));
            (enumeration.name().to_owned(), values.collect())
        })
        .collect();
    let expected = ENUMS
        .iter()
        .map(|(name, values)| {
            let values = values.iter().map(|value| (*value).to_owned());
            ((*name).to_owned(), values.zip(0..).collect())
        })
        .collect();
    assert_eq!(actual, expected);
}

#[test]
fn services() {
    let stream = |yes: bool| if yes { "stream " } else { "" };
    let actual: BTreeMap<String, Vec<String>> = ours()
        .iter()
        .flat_map(|file| &file.service)
        .map(|service| {
            let methods = service.method.iter().map(|method| {
                format!(
                    "{}({}{}) {}{}",
                    method.name(),
                    stream(method.client_streaming()),
                    short(method.input_type()),
                    stream(method.server_streaming()),
                    short(method.output_type()),
                )
            });
            (service.name().to_owned(), methods.collect())
        })
        .collect();
    let expected = SERVICES
        .iter()
        .map(|(name, methods)| {
            let methods = methods.iter().map(|method| (*method).to_owned());
            ((*name).to_owned(), methods.collect())
        })
        .collect();
    assert_eq!(actual, expected);
}

/// The descriptors might be right and the code not: a few bytes, written by hand.
#[test]
fn bytes() {
    use angzarr_proto::{Cover, CoverExt, EventPage, EventPageExt, pack};

    let cover = Cover::of("d", [9; 16]).with_edition("e");
    let mut expected = vec![0x0a, 18, 0x0a, 16];
    expected.extend([9; 16]);
    expected.extend(b"\x12\x01d\x22\x03\x0a\x01e");
    assert_eq!(cover.encode_to_vec(), expected);

    // An explicit zero is not the same as nothing.
    let page = EventPage::of(0, pack(&Cover::default())).with_schema_version(2);
    let mut expected = vec![0x0a, 2, 0x08, 0, 0x1a, 35, 0x0a, 33];
    expected.extend(b"type.googleapis.com/angzarr.Cover");
    expected.extend([0xa0, 0x06, 2]);
    assert_eq!(page.encode_to_vec(), expected);
}

/// What lives in maps is written in the same order every time.
#[test]
fn maps_are_written_in_order() {
    let letter = angzarr_proto::AngzarrDeadLetter {
        metadata: ["b", "a", "c"].map(|key| (key.to_owned(), String::new())).into(),
        ..Default::default()
    };
    let expected = b"\x42\x03\x0a\x01a\x42\x03\x0a\x01b\x42\x03\x0a\x01c";
    assert_eq!(letter.encode_to_vec(), expected);
}

#[cfg(feature = "services")]
#[test]
fn services_are_named_as_published() {
    use angzarr_proto::event_query_service_server::SERVICE_NAME;

    assert_eq!(SERVICE_NAME, "angzarr.EventQueryService");
}
