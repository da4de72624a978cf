//! Dead letters: what could not be done, kept with all that is needed to do it again (rows D).
//!
//! In: a failed command or events, with the reason. Out: durable letters that an operator can list, show, retry and
//! discard. Never: a decision whether something deserves to be one; that is made where it failed.

mod desk;
mod letter;

pub use desk::DeadLetters;
pub(crate) use letter::{
    EventFailure, TIMEOUT, command_letter_id, failed_again, failed_event, failed_timeout, letter_id, merged_id,
    parked_event, reaction_command, reaction_fact, sequence_mismatch, undone_command,
};

use angzarr_proto as proto;
use uuid::Uuid;

use crate::command::Core;
use crate::declare::nanos_of;
use crate::error::{Error, Result};
use crate::storage::{Answer, EditionDiscard, Extras, StorageError, StorageErrorKind, Write, WriteError};
use crate::stream::{Name, Nanos, StreamKey};

/// Identifies a dead letter. The same failure of the same work has the same id, so that a repeat adds no second letter.
pub type DeadLetterId = Uuid;

/// A dead letter as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Its id.
    pub id: DeadLetterId,
    /// The whole command or events, the reason and the details, as the wire contract has them.
    pub letter: proto::AngzarrDeadLetter,
    /// How often the work was tried; 0 for an event that only waits behind an earlier one.
    pub attempts: u32,
    /// When it was put here.
    pub occurred_at: Nanos,
    /// What became of it; `None` while it is open.
    pub resolution: Option<Resolution>,
}

impl DeadLetter {
    /// Domain of the failed message.
    pub fn domain(&self) -> &str {
        self.letter.cover.as_ref().map_or("", |cover| cover.domain.as_str())
    }

    /// Stream and sequence of the first event, where the letter holds events.
    pub(crate) fn event_place(&self) -> Option<(StreamKey, u32)> {
        use proto::{CoverExt as _, EventPageExt as _};
        let Some(proto::angzarr_dead_letter::Payload::RejectedEvents(book)) = &self.letter.payload else { return None };
        let cover = book.cover.as_ref()?;
        let stream = StreamKey {
            domain: Name::new(&cover.domain),
            edition: Name::new(cover.edition_name().unwrap_or_default()),
            root: Uuid::from_bytes(cover.root_bytes()?),
        };
        Some((stream, book.pages.first()?.sequence()?))
    }

    /// Whether it was discarded together with the edition that it is about.
    fn went_with_its_branch(&self) -> bool {
        let Some(Resolution::Discarded { reason, .. }) = &self.resolution else { return false };
        self.editions().any(|edition| *reason == EditionDiscard::reason_of(edition))
    }

    /// The editions that it is about: that of the failed message, and that of the event which the message is for.
    fn editions(&self) -> impl Iterator<Item = &str> {
        use proto::CoverExt as _;
        let cover = self.letter.cover.as_ref();
        let source = self.source().and_then(|deferred| deferred.source.as_ref());
        cover.into_iter().chain(source).filter_map(|cover| cover.edition_name())
    }

    /// Where the first command of it comes from.
    fn source(&self) -> Option<&proto::AngzarrDeferredSequence> {
        use proto::PageHeaderExt as _;
        let Some(proto::angzarr_dead_letter::Payload::RejectedCommand(book)) = &self.letter.payload else {
            return None;
        };
        book.pages.first()?.header.as_ref()?.provenance()
    }

    /// Whether it is of no more use once an edition is gone, everywhere or in one domain (row B5).
    pub(crate) fn goes_with(&self, edition: &str, domain: Option<&str>) -> bool {
        use proto::CoverExt as _;
        let is_of = |cover: &proto::Cover| {
            cover.edition_name() == Some(edition) && domain.is_none_or(|domain| cover.domain == domain)
        };
        self.letter.cover.as_ref().is_some_and(is_of)
            || self.source().and_then(|deferred| deferred.source.as_ref()).is_some_and(is_of)
    }

    /// Whether this one, of work that failed again, replaces `stored` of the same id.
    pub(crate) fn replaces(&self, stored: &Self) -> bool {
        match stored.resolution {
            None => self.attempts > stored.attempts,
            Some(Resolution::Retried { .. }) => true,
            Some(Resolution::Discarded { .. }) => false,
        }
    }
}

/// What became of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It was run again and went through.
    Retried {
        /// When.
        at: Nanos,
    },
    /// An operator decided that it will not be done.
    Discarded {
        /// When.
        at: Nanos,
        /// Why (row D2: the reason is kept).
        reason: String,
    },
}

/// Which dead letters to list. The default lists every open one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of this domain.
    pub domain: Option<String>,
    /// Only of this component.
    pub component: Option<String>,
    /// Only with this correlation id.
    pub correlation_id: Option<String>,
    /// Resolved ones too.
    pub include_resolved: bool,
    /// At most so many; `None` for 1,000.
    pub limit: Option<usize>,
}

impl Core {
    /// What the clock says.
    pub(crate) fn now(&self) -> Nanos {
        nanos_of(self.clock.now())
    }
}

/// The id under which a failure is kept, and the letter that is there. A branch that was discarded may begin anew: its
/// failures are others than those of letters that were discarded with it (row B5).
pub(crate) async fn in_use(
    core: &Core,
    mut id: DeadLetterId,
) -> Result<(DeadLetterId, Option<DeadLetter>), StorageError> {
    loop {
        match core.storage.dead_letter(id).await? {
            Some(letter) if letter.went_with_its_branch() => id = letter::next_id(id),
            found => return Ok((id, found)),
        }
    }
}

/// Stores a letter, durably, before what it is about counts as handled (row D1). `false` if an operator has discarded it
/// before: then the work will not be done.
pub(crate) async fn store(core: &Core, letter: DeadLetter) -> Result<bool, StorageError> {
    store_and_tell(core, letter, Vec::new()).await
}

/// The same, and in the same step those who wait for it in other processes are told.
pub(crate) async fn store_and_tell(
    core: &Core,
    letter: DeadLetter,
    answers: Vec<Answer>,
) -> Result<bool, StorageError> {
    if let Some(DeadLetter { resolution: Some(Resolution::Discarded { .. }), .. }) =
        core.storage.dead_letter(letter.id).await?
    {
        return Ok(false);
    }
    let write = Write::extras(Extras { dead_letters: vec![letter], answers, ..Extras::default() });
    match core.writer.commit(write).await {
        Ok(_) => Ok(true),
        Err(WriteError::Storage(error)) => Err(error),
        Err(other) => Err(StorageError::new(StorageErrorKind::Failed, "storage", other.to_string())),
    }
}

/// A letter that is open.
pub(crate) async fn open(core: &Core, id: DeadLetterId) -> Result<DeadLetter> {
    match core.storage.dead_letter(id).await? {
        Some(letter) if letter.resolution.is_none() => Ok(letter),
        Some(_) => Err(Error::invalid_argument("dead letter", format!("{id} is resolved already"))),
        None => Err(Error::invalid_argument("dead letter", format!("{id} does not exist"))),
    }
}

/// Says that the work of a letter was done. Where its own checkpoint says so, another process may have found that as well.
pub(crate) async fn resolve_retried(core: &Core, id: DeadLetterId) -> Result<()> {
    let resolved = resolve(core, id, Resolution::Retried { at: core.now() }).await;
    if resolved.is_err()
        && let Some(letter) = core.storage.dead_letter(id).await?
        && matches!(letter.resolution, Some(Resolution::Retried { .. }))
    {
        return Ok(());
    }
    resolved
}

/// Says what became of an open letter.
pub(crate) async fn resolve(core: &Core, id: DeadLetterId, resolution: Resolution) -> Result<()> {
    if core.storage.resolve_dead_letter(id, resolution).await? {
        return Ok(());
    }
    Err(Error::invalid_argument("dead letter", format!("{id} was resolved by somebody else in the meantime")))
}
