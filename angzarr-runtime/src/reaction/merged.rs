//! What is still to be done in a branch, for its merged events on main (row B6).
//!
//! In: an intent or a dead letter of a branch. Out: the same as if the branch had been main. Never: work that the branch has
//! done already; that is known on main by its dedup key.

use angzarr_proto as proto;
use proto::angzarr_dead_letter::Payload;
use proto::page_header::SequenceType;

use super::{given_up, notification, plan};
use crate::command::{Provenance, external_id_on_main};
use crate::dead_letter::{self, DeadLetter};
use crate::storage::{Intent, IntentKind};

/// The intent on main; `None` where it cannot be read.
pub(crate) fn on_main(intent: &Intent) -> Option<Intent> {
    let edition = intent.stream.edition.as_str();
    match intent.kind {
        IntentKind::Command | IntentKind::Fact => plan::send_on_main(intent, edition),
        IntentKind::Timeout => plan::timeout_on_main(intent),
        IntentKind::Notification => notification::notification_on_main(intent, edition),
        IntentKind::Compensation => notification::compensation_on_main(intent, edition),
    }
}

/// Lets a book speak of main, and answers the provenance that it has there.
pub(super) fn book_on_main(book: &mut proto::CommandBook, edition: &str) -> Option<Provenance> {
    use proto::PageHeaderExt as _;
    book.cover.as_mut()?.edition = None;
    let header = book.pages.first_mut()?.header.as_mut()?;
    let provenance = Provenance::from_proto(header.provenance()?)?.merged_from(edition);
    header.sequence_type = Some(SequenceType::AngzarrDeferred(provenance.to_proto()));
    Some(provenance)
}

/// The letter on main; `None` where it has no work for main: main's own components come to the merged events by themselves.
pub(crate) fn letter_on_main(letter: &DeadLetter, edition: &str) -> Option<DeadLetter> {
    let mut merged = letter.clone();
    merged.id = dead_letter::merged_id(letter.id);
    merged.letter.cover.as_mut()?.edition = None;
    match merged.letter.payload.as_mut()? {
        Payload::RejectedCommand(book) => {
            if let Some(intent) = given_up::delivery_in(letter) {
                let intent = on_main(&intent)?;
                merged.id = intent.id;
                given_up::keep_delivery(&mut merged.letter, &intent);
                let Some(Payload::RejectedCommand(book)) = merged.letter.payload.as_mut() else { return None };
                book_on_main(book, edition)?;
            } else if let Some(provenance) = book_on_main(book, edition) {
                merged.id = dead_letter::command_letter_id(&provenance);
            }
        }
        Payload::RejectedEvents(book) => {
            book.cover.as_mut()?.edition = None;
            let page = book.pages.first_mut()?;
            if let Some(SequenceType::ExternalDeferred(external)) = page.header.as_mut()?.sequence_type.as_mut() {
                external.external_id = external_id_on_main(&external.external_id, edition);
            } else if let Some(proto::event_page::Payload::Event(event)) = &mut page.payload
                && proto::type_name_of(&event.type_url) == dead_letter::TIMEOUT
            {
                event.value = plan::timeout_work_on_main(&event.value)?;
            } else {
                return None;
            }
        }
    }
    Some(merged)
}
