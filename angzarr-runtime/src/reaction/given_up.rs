//! Deliveries that were given up: their letters hold them (rows K5, D1, D2).
//!
//! In: a notification or a compensation whose budget is spent; a letter. Out: its letter; the delivery again. Never: a
//! delivery by itself; that is what [`notification`](super::notification) does.

use angzarr_proto as proto;
use prost::Message as _;
use uuid::Uuid;

use super::notification::NotificationWork;
use super::revocation::COMPENSATE;
use crate::command::{Core, edition_of};
use crate::dead_letter::{self, DeadLetter};
use crate::storage::{Extras, Intent, IntentKind, Settle};
use crate::stream::{Name, StreamKey};

/// Where a letter keeps the intent that it stands for.
const INTENT: &str = "intent";
const INTENT_KIND: &str = "intent_kind";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// A retry of the letter delivers it again.
pub(super) fn keep_delivery(letter: &mut proto::AngzarrDeadLetter, intent: &Intent) {
    letter.metadata.insert(INTENT.to_owned(), hex(&intent.work));
    letter.metadata.insert(INTENT_KIND.to_owned(), intent.kind.as_str().to_owned());
}

/// The delivery that a letter stands for, due when the letter was written; `None` for a letter of anything else.
pub(super) fn delivery_in(letter: &DeadLetter) -> Option<Intent> {
    use proto::{CommandPageExt as _, CoverExt as _};
    let Some(proto::angzarr_dead_letter::Payload::RejectedCommand(book)) = &letter.letter.payload else {
        return None;
    };
    let command = book.pages.first()?.command()?;
    let is_compensation = proto::type_name_of(&command.type_url) == COMPENSATE;
    let metadata = &letter.letter.metadata;
    let (kind, work) = match metadata.get(INTENT_KIND).map(String::as_str) {
        Some("notification") => (IntentKind::Notification, from_hex(metadata.get(INTENT)?)?),
        _ if is_compensation => (IntentKind::Compensation, book.encode_to_vec()),
        _ => return None,
    };
    let stream = match kind {
        IntentKind::Notification => NotificationWork::decode(work.as_slice()).ok()?.about()?.provenance.source,
        _ => {
            let cover = book.cover.as_ref()?;
            let edition = edition_of(cover).name().clone();
            StreamKey { domain: Name::new(&cover.domain), edition, root: Uuid::from_bytes(cover.root_bytes()?) }
        }
    };
    Some(Intent { id: letter.id, kind, stream, due: letter.occurred_at, attempts: 0, work: work.into() })
}

impl Core {
    /// A delivery whose budget is spent, or that can never succeed (row K5).
    pub(super) async fn give_up_delivery(&self, intent: &Intent, reason: &str, attempts: u32) -> Result<(), String> {
        let book = match intent.kind {
            IntentKind::Compensation => proto::CommandBook::decode(intent.work.clone()).ok(),
            _ => NotificationWork::decode(intent.work.clone()).ok().and_then(|it| it.rejected_command),
        };
        let settle = Settle { id: intent.id, due: intent.due };
        let mut letter =
            dead_letter::undone_command(self, intent.id, book.unwrap_or_default(), reason.to_owned(), attempts, true);
        keep_delivery(&mut letter.letter, intent);
        self.store_letter(letter, Some(settle), Extras::default()).await.map(drop)
    }

    /// The delivery that a letter stands for, to be tried again (row D2).
    pub(crate) fn delivery_of(&self, letter: &DeadLetter) -> Option<Intent> {
        delivery_in(letter).map(|intent| Intent { due: self.now(), ..intent })
    }
}
