//! What is still to be done in a branch, for its merged events on main (row B6).
//!
//! In: an intent of a branch. Out: the same intent as if the branch had been main. Never: work that the branch has done
//! already; that is known on main by its dedup key.

use angzarr_proto as proto;
use proto::page_header::SequenceType;

use super::{notification, plan};
use crate::command::Provenance;
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
