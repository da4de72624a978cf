//! Puts failures into letters.

use angzarr_proto as proto;
use proto::angzarr_dead_letter::{Payload, RejectionDetails};
use uuid::Uuid;

use super::DeadLetter;
use crate::command::{Core, ReactionCommand, Submission, cover_of, event_page};
use crate::declare::nanos_of;
use crate::error::{Error, SequenceMismatch};
use crate::reaction::ComponentKind;
use crate::stream::{Headers, LogEvent, Name, StoredEvent, StreamKey};

/// Namespace of ids that are made from what failed: the same failure has the same id.
const FAILURES: Uuid = Uuid::from_u128(0x0b91_52f4_7c1e_5e0f_8a3d_6a14_05c9_e7b2);

/// A command whose expected sequence was not met under MANUAL (row M4).
pub(crate) fn sequence_mismatch(core: &Core, submission: &Submission<'_>, mismatch: &SequenceMismatch) -> DeadLetter {
    let pages = submission
        .pages
        .iter()
        .map(|page| proto::CommandPage {
            header: Some(proto::PageHeader {
                sequence_type: page.expected.map(proto::page_header::SequenceType::Sequence),
                sync_mode: None,
            }),
            merge_strategy: proto::MergeStrategy::from(mismatch.strategy) as i32,
            payload: Some(proto::command_page::Payload::Command(page.command.encoded())),
        })
        .collect();
    let mut cover = cover_of(&submission.key, submission.headers.correlation_id(), submission.headers.ext());
    if let Some(edition) = &mut cover.edition {
        edition.divergences = submission
            .edition
            .divergences()
            .map(|(domain, sequence)| proto::DomainDivergence { domain: domain.to_owned(), sequence })
            .collect();
    }
    let details = RejectionDetails::SequenceMismatch(proto::SequenceMismatchDetails {
        expected_sequence: mismatch.expected,
        actual_sequence: mismatch.actual,
        merge_strategy: proto::MergeStrategy::from(mismatch.strategy) as i32,
    });
    let book = proto::CommandBook { cover: Some(cover.clone()), pages };
    letter(
        core,
        core.ids.next_id(),
        cover,
        Payload::RejectedCommand(book),
        mismatch.to_string(),
        details,
        1,
        Producer { component: submission.key.domain.as_str(), kind: "aggregate" },
    )
}

/// A command of a saga that could not be done (rows G3, K3).
pub(crate) fn reaction_command(
    core: &Core,
    reaction: &ReactionCommand<'_>,
    error: &Error,
    attempts: u32,
) -> DeadLetter {
    let command = reaction.command;
    let key = StreamKey {
        domain: Name::new(command.domain()),
        edition: reaction.edition.name().clone(),
        root: command.root(),
    };
    let cover = cover_of(&key, reaction.headers.correlation_id(), reaction.headers.ext());
    let page = proto::CommandPage {
        header: Some(proto::PageHeader {
            sequence_type: Some(proto::page_header::SequenceType::AngzarrDeferred(reaction.provenance.to_proto())),
            sync_mode: None,
        }),
        merge_strategy: 0,
        payload: Some(proto::command_page::Payload::Command(crate::command::any_of(
            &command.type_name,
            &command.payload,
        ))),
    };
    let book = proto::CommandBook { cover: Some(cover.clone()), pages: vec![page] };
    let details = RejectionDetails::EventProcessingFailed(proto::EventProcessingFailedDetails {
        error: error.to_string(),
        retry_count: attempts.saturating_sub(1),
        is_transient: error.is_retryable(),
    });
    let id = Uuid::new_v5(&FAILURES, &reaction.provenance.dedup().0);
    letter(
        core,
        id,
        cover,
        Payload::RejectedCommand(book),
        error.to_string(),
        details,
        attempts,
        Producer { component: reaction.provenance.component.as_str(), kind: "saga" },
    )
}

/// Why a component could not handle an event.
pub(crate) struct FailedEvent<'a> {
    pub(crate) component: &'static str,
    pub(crate) kind: ComponentKind,
    pub(crate) reason: &'a str,
    /// Retries after the first try.
    pub(crate) attempts: u32,
    pub(crate) transient: bool,
}

/// An event that a component could not handle (rows D4, J2).
pub(crate) fn failed_event(
    core: &Core,
    stream: &StreamKey,
    event: &StoredEvent,
    failed: &FailedEvent<'_>,
) -> DeadLetter {
    let cover = cover_of(stream, event.headers.correlation_id(), event.headers.ext());
    let book = proto::EventBook {
        cover: Some(cover.clone()),
        snapshot: None,
        pages: vec![event_page(event)],
        next_sequence: event.sequence + 1,
    };
    let details = RejectionDetails::EventProcessingFailed(proto::EventProcessingFailedDetails {
        error: failed.reason.to_owned(),
        retry_count: failed.attempts,
        is_transient: failed.transient,
    });
    let name = format!("{}\0{stream}\0{}", failed.component, event.sequence);
    let mut letter = letter(
        core,
        Uuid::new_v5(&FAILURES, name.as_bytes()),
        cover,
        Payload::RejectedEvents(book),
        failed.reason.to_owned(),
        details,
        failed.attempts + 1,
        Producer { component: failed.component, kind: failed.kind.as_str() },
    );
    letter.letter.metadata.insert("position".to_owned(), event.position.to_string());
    letter
}

/// The event of a letter that [`failed_event`] wrote.
pub(crate) fn parked_event(letter: &DeadLetter) -> Option<LogEvent> {
    use proto::{CoverExt as _, EventPageExt as _, TimestampExt as _};
    let Some(Payload::RejectedEvents(book)) = &letter.letter.payload else { return None };
    let cover = book.cover.as_ref()?;
    let page = book.pages.first()?;
    let payload = page.event()?;
    let stream = StreamKey {
        domain: Name::new(&cover.domain),
        edition: Name::new(cover.edition_name().unwrap_or_default()),
        root: Uuid::from_bytes(cover.root_bytes()?),
    };
    let event = StoredEvent {
        position: letter.letter.metadata.get("position").and_then(|text| text.parse().ok()).unwrap_or(0),
        sequence: page.sequence()?,
        created_at: page.created_at.as_ref().map_or(0, |time| time.to_unix_nanos_saturating()),
        type_name: Name::new(proto::type_name_of(&payload.type_url)),
        schema_version: page.schema_version_or_one(),
        payload: payload.value.clone().into(),
        headers: Headers::new(cover.correlation_id.as_str(), cover.ext.clone()),
        isolated: false,
    };
    Some(LogEvent { stream, event })
}

struct Producer<'a> {
    component: &'a str,
    kind: &'a str,
}

#[allow(clippy::too_many_arguments)]
fn letter(
    core: &Core,
    id: Uuid,
    cover: proto::Cover,
    payload: Payload,
    reason: String,
    details: RejectionDetails,
    attempts: u32,
    producer: Producer<'_>,
) -> DeadLetter {
    use proto::TimestampExt as _;
    let occurred_at = nanos_of(core.clock.now());
    DeadLetter {
        id,
        letter: proto::AngzarrDeadLetter {
            cover: Some(cover),
            payload: Some(payload),
            rejection_reason: reason,
            occurred_at: Some(prost_types::Timestamp::from_unix_nanos(occurred_at)),
            metadata: Default::default(),
            source_component: producer.component.to_owned(),
            source_component_type: producer.kind.to_owned(),
            rejection_details: Some(details),
        },
        attempts,
        occurred_at,
        resolution: None,
    }
}
