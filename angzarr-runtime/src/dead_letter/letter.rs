//! Puts failures into letters.

use angzarr_proto as proto;
use proto::angzarr_dead_letter::{Payload, RejectionDetails};
use proto::page_header::SequenceType;
use uuid::Uuid;

use super::{DeadLetter, DeadLetterId};
use crate::command::{
    Core, Provenance, ReactionCommand, Submission, any_of, cover_on, deferred_of, edition_of, event_page,
};
use crate::declare::{AnyFact, ReactionError};
use crate::error::{Error, Result, SequenceMismatch};
use crate::reaction::ComponentKind;
use crate::storage::Intent;
use crate::stream::{Edition, Headers, LogEvent, Name, Nanos, StoredEvent, StreamKey};

/// Namespace of ids that are made from what failed: the same failure has the same id.
const FAILURES: Uuid = Uuid::from_u128(0x0b91_52f4_7c1e_5e0f_8a3d_6a14_05c9_e7b2);

/// The key of the event's position in the letter's metadata.
const POSITION: &str = "position";

/// The key of the time that the command's events were to be stored with, in Unix nanoseconds.
pub(super) const AT: &str = "at";

/// A command whose expected sequence was not met under MANUAL (row M4).
pub(crate) fn sequence_mismatch(core: &Core, submission: &Submission<'_>, mismatch: &SequenceMismatch) -> DeadLetter {
    // What the command is known by comes before the sequence that it expected: the details have that.
    let known_by = submission.dedup.as_ref().and_then(deferred_of);
    let pages = submission
        .pages
        .iter()
        .map(|page| proto::CommandPage {
            header: Some(proto::PageHeader {
                sequence_type: known_by.clone().or(page.expected.map(SequenceType::Sequence)),
                sync_mode: Some(page.sync.to_proto() as i32),
            }),
            merge_strategy: proto::MergeStrategy::from(page.merge.unwrap_or_default()) as i32,
            payload: Some(proto::command_page::Payload::Command(page.command.encoded())),
        })
        .collect();
    let cover = cover_on(&submission.key, submission.edition, &submission.headers);
    let details = RejectionDetails::SequenceMismatch(proto::SequenceMismatchDetails {
        expected_sequence: mismatch.expected,
        actual_sequence: mismatch.actual,
        merge_strategy: proto::MergeStrategy::from(mismatch.strategy) as i32,
    });
    let book = proto::CommandBook { cover: Some(cover.clone()), pages };
    let letter = letter(
        core,
        core.ids.next_id(),
        cover,
        Payload::RejectedCommand(book),
        mismatch.to_string(),
        details,
        1,
        Producer { component: submission.key.domain.as_str(), kind: "aggregate" },
    );
    with_time(letter, submission.at)
}

fn with_time(mut letter: DeadLetter, at: Option<Nanos>) -> DeadLetter {
    if let Some(at) = at {
        letter.letter.metadata.insert(AT.to_owned(), at.to_string());
    }
    letter
}

/// The id of the letter of a reaction's command.
pub(crate) fn command_letter_id(provenance: &Provenance) -> DeadLetterId {
    Uuid::new_v5(&FAILURES, &provenance.dedup().0)
}

/// The id that a letter of a branch has on main, where nothing else makes one (row B6).
pub(crate) fn merged_id(id: DeadLetterId) -> DeadLetterId {
    Uuid::new_v5(&FAILURES, &[b"merged", id.as_bytes().as_slice()].concat())
}

/// The id of the next letter of the same failure, where the first one went with its branch.
pub(super) fn next_id(id: DeadLetterId) -> DeadLetterId {
    Uuid::new_v5(&FAILURES, id.as_bytes())
}

/// A command that was rejected, and whose source could not be told, or had no answer to it (rows K3, K5); or a `Compensate`
/// that could not be delivered (row E3).
pub(crate) fn undone_command(
    core: &Core,
    id: DeadLetterId,
    book: proto::CommandBook,
    reason: String,
    attempts: u32,
    transient: bool,
) -> DeadLetter {
    let cover = book.cover.clone().unwrap_or_default();
    let component =
        book.pages.first().and_then(provenance_of).map(|it| it.source_component.clone()).unwrap_or_default();
    let kind = core.kind_of(&component);
    let details = RejectionDetails::EventProcessingFailed(proto::EventProcessingFailedDetails {
        error: reason.clone(),
        retry_count: attempts.saturating_sub(1),
        is_transient: transient,
    });
    let producer = Producer { component: &component, kind: kind.as_str() };
    letter(core, id, cover, Payload::RejectedCommand(book), reason, details, attempts, producer)
}

fn provenance_of(page: &proto::CommandPage) -> Option<&proto::AngzarrDeferredSequence> {
    match page.header.as_ref()?.sequence_type.as_ref()? {
        SequenceType::AngzarrDeferred(deferred) => Some(deferred),
        _ => None,
    }
}

/// A command of a saga or process manager that could not be done (rows G3, K3).
pub(crate) fn reaction_command(
    core: &Core,
    kind: ComponentKind,
    reaction: &ReactionCommand<'_>,
    error: &Error,
    attempts: u32,
) -> DeadLetter {
    let book = reaction.book();
    let cover = book.cover.clone().unwrap_or_default();
    let details = RejectionDetails::EventProcessingFailed(proto::EventProcessingFailedDetails {
        error: error.to_string(),
        retry_count: attempts.saturating_sub(1),
        is_transient: error.is_retryable(),
    });
    let id = command_letter_id(reaction.provenance);
    let letter = letter(
        core,
        id,
        cover,
        Payload::RejectedCommand(book),
        error.to_string(),
        details,
        attempts,
        Producer { component: reaction.provenance.component.as_str(), kind: kind.as_str() },
    );
    with_time(letter, reaction.command.at)
}

/// A fact of a saga or process manager that could not be recorded (row G6).
#[allow(clippy::too_many_arguments)]
pub(crate) fn reaction_fact(
    core: &Core,
    kind: ComponentKind,
    provenance: &Provenance,
    edition: &Edition,
    headers: &Headers,
    fact: &AnyFact,
    external_id: &str,
    error: &Error,
    attempts: u32,
) -> DeadLetter {
    let key = StreamKey { domain: Name::new(fact.domain()), edition: edition.name().clone(), root: fact.root() };
    let cover = cover_on(&key, edition, headers);
    let external = proto::ExternalDeferredSequence { external_id: external_id.to_owned(), ..Default::default() };
    let page = proto::EventPage {
        header: Some(proto::PageHeader {
            sequence_type: Some(SequenceType::ExternalDeferred(external)),
            sync_mode: None,
        }),
        payload: Some(proto::event_page::Payload::Event(any_of(fact.type_name(), &fact.payload))),
        ..Default::default()
    };
    let book = proto::EventBook { cover: Some(cover.clone()), pages: vec![page], ..Default::default() };
    let failure = EventFailure { reason: error.to_string(), tries: attempts, transient: error.is_retryable() };
    let id = Uuid::new_v5(&FAILURES, &provenance.dedup_as(b'f').0);
    let producer = Producer { component: &provenance.component, kind: kind.as_str() };
    let details = failure.details(attempts);
    letter(core, id, cover, Payload::RejectedEvents(book), failure.reason, details, attempts, producer)
}

/// A timeout whose method keeps failing (row P5). The letter holds the intent, to be put back.
pub(crate) fn failed_timeout(
    core: &Core,
    intent: &Intent,
    cover: proto::Cover,
    name: &str,
    reason: &str,
    attempts: u32,
) -> DeadLetter {
    let page = proto::EventPage {
        payload: Some(proto::event_page::Payload::Event(any_of(TIMEOUT, &intent.work))),
        ..Default::default()
    };
    let domain = cover.domain.clone();
    let book = proto::EventBook { cover: Some(cover.clone()), pages: vec![page], ..Default::default() };
    let failure = EventFailure { reason: reason.to_owned(), tries: attempts, transient: true };
    let id = Uuid::new_v5(&FAILURES, format!("timeout\0{}\0{name}\0{}", intent.stream, intent.due).as_bytes());
    let producer = Producer { component: &domain, kind: ComponentKind::ProcessManager.as_str() };
    let details = failure.details(attempts);
    letter(core, id, cover, Payload::RejectedEvents(book), failure.reason, details, attempts, producer)
}

/// What the event of a letter of a timeout is called.
pub(crate) const TIMEOUT: &str = "angzarr.Timeout";

/// Why a component could not handle an event.
pub(crate) struct EventFailure {
    pub(crate) reason: String,
    /// How often it was tried; 0 for an event that waits behind another.
    pub(crate) tries: u32,
    pub(crate) transient: bool,
}

impl EventFailure {
    pub(crate) fn new(error: &ReactionError, tries: u32) -> Self {
        Self { reason: error.message().to_owned(), tries, transient: !error.is_permanent() }
    }

    fn details(&self, tries: u32) -> RejectionDetails {
        RejectionDetails::EventProcessingFailed(proto::EventProcessingFailedDetails {
            error: self.reason.clone(),
            retry_count: tries.saturating_sub(1),
            is_transient: self.transient,
        })
    }
}

/// The id of the letter of an event that a component could not handle. A stream of an edition may be discarded and begin
/// anew: there the position tells the new event from the old one (row B5).
pub(crate) fn letter_id(component: &str, stream: &StreamKey, sequence: u32, position: u64) -> DeadLetterId {
    let mut name = format!("{component}\0{stream}\0{sequence}");
    if !stream.is_main() {
        name.push_str(&format!("\0{position}"));
    }
    Uuid::new_v5(&FAILURES, name.as_bytes())
}

/// An event that a component could not handle (rows D4, J2).
pub(crate) fn failed_event(
    core: &Core,
    component: &str,
    kind: ComponentKind,
    LogEvent { stream, event }: &LogEvent,
    failure: &EventFailure,
) -> DeadLetter {
    let cover = cover_on(stream, &Edition::of(&stream.edition, event.headers.divergences()), &event.headers);
    let book = proto::EventBook {
        cover: Some(cover.clone()),
        snapshot: None,
        pages: vec![event_page(event)],
        next_sequence: event.sequence + 1,
    };
    let mut letter = letter(
        core,
        letter_id(component, stream, event.sequence, event.position),
        cover,
        Payload::RejectedEvents(book),
        failure.reason.clone(),
        failure.details(failure.tries),
        failure.tries,
        Producer { component, kind: kind.as_str() },
    );
    letter.letter.metadata.insert(POSITION.to_owned(), event.position.to_string());
    letter
}

/// The letter of an event that failed again when it was retried.
pub(crate) fn failed_again(letter: &DeadLetter, failure: &EventFailure) -> DeadLetter {
    let mut again = letter.clone();
    again.attempts = letter.attempts.saturating_add(failure.tries);
    again.letter.rejection_reason.clone_from(&failure.reason);
    again.letter.rejection_details = Some(failure.details(again.attempts));
    again
}

/// The event of a letter that [`failed_event`] wrote.
///
/// # Errors
/// The letter holds no event that can be read.
pub(crate) fn parked_event(letter: &DeadLetter) -> Result<LogEvent> {
    let unreadable = || Error::invalid_argument("dead letter", format!("{} holds no readable event", letter.id));
    event_in(letter).ok_or_else(unreadable)
}

fn event_in(letter: &DeadLetter) -> Option<LogEvent> {
    use proto::{EventPageExt as _, TimestampExt as _};
    let (stream, sequence) = letter.event_place()?;
    let Some(Payload::RejectedEvents(book)) = &letter.letter.payload else { return None };
    let cover = book.cover.as_ref()?;
    let page = book.pages.first()?;
    let payload = page.event()?;
    let event = StoredEvent {
        position: letter.letter.metadata.get(POSITION).and_then(|text| text.parse().ok()).unwrap_or(0),
        sequence,
        created_at: page.created_at.as_ref().map_or(0, |time| time.to_unix_nanos_saturating()),
        type_name: Name::new(proto::type_name_of(&payload.type_url)),
        schema_version: page.schema_version_or_one(),
        payload: payload.value.clone().into(),
        headers: Headers::new(cover.correlation_id.as_str(), cover.ext.clone())
            .with_divergences(edition_of(cover).named_divergences()),
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
    let occurred_at = core.now();
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
