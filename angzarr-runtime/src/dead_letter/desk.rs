//! What an operator does with dead letters (row D2).

use angzarr_proto as proto;
use proto::angzarr_dead_letter::Payload;

use super::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution, parked_event};
use crate::declare::nanos_of;
use crate::error::{Error, Result};
use crate::runtime::Runtime;

/// Lists, shows, retries and discards dead letters. From [`Runtime::dead_letters`].
#[derive(Clone)]
pub struct DeadLetters {
    runtime: Runtime,
}

impl DeadLetters {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// The letters that match, oldest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(&self, filter: &DeadLetterFilter) -> Result<Vec<DeadLetter>> {
        Ok(self.runtime.core().storage.dead_letters(filter).await?)
    }

    /// One letter, whole.
    ///
    /// # Errors
    /// The store fails.
    pub async fn show(&self, id: DeadLetterId) -> Result<Option<DeadLetter>> {
        Ok(self.runtime.core().storage.dead_letter(id).await?)
    }

    /// Runs the work of a letter again. A command goes through the same pipeline: at the head, whatever sequence it
    /// expected, since an operator decided so. An event of a projector is handled again; of a stream's letters the oldest
    /// comes first.
    ///
    /// # Errors
    /// The letter does not exist or is resolved, an older letter of the same stream is open, or the work fails again; then
    /// the letter stays open.
    pub async fn retry(&self, id: DeadLetterId) -> Result<()> {
        let letter = self.open(id).await?;
        match &letter.letter.payload {
            Some(Payload::RejectedCommand(book)) => {
                self.runtime
                    .handle_command(proto::CommandRequest {
                        command: Some(at_the_head(book.clone())),
                        ..Default::default()
                    })
                    .await?;
                self.resolve(id, Resolution::Retried { at: self.now() }).await
            }
            Some(Payload::RejectedEvents(_)) => self.retry_event(&letter).await,
            None => Err(Error::invalid_argument("dead letter", format!("{id} holds neither a command nor an event"))),
        }
    }

    async fn retry_event(&self, letter: &DeadLetter) -> Result<()> {
        let unreadable = || Error::invalid_argument("dead letter", format!("{} holds no readable event", letter.id));
        let item = parked_event(letter).ok_or_else(unreadable)?;
        let component = letter.letter.source_component.as_str();
        let Some(projector) = self.runtime.projector(component) else {
            return Err(Error::not_offered(
                "the retry of a saga's event",
                "only commands and events of projectors can be retried; discard the letter and send the saga's commands yourself",
            ));
        };
        let filter =
            DeadLetterFilter { component: Some(component.to_owned()), limit: Some(usize::MAX), ..Default::default() };
        let older = self
            .list(&filter)
            .await?
            .into_iter()
            .filter_map(|other| parked_event(&other).map(|event| (other.id, event)))
            .filter(|(_, other)| other.stream == item.stream && other.event.sequence < item.event.sequence)
            .min_by_key(|(_, other)| other.event.sequence);
        if let Some((older, event)) = older {
            return Err(Error::invalid_argument(
                "dead letter",
                format!("{older} of the same stream is older (#{}): retry or discard it first", event.event.sequence),
            ));
        }
        projector
            .retry_parked(self.runtime.core(), &item)
            .await
            .map_err(|error| Error::Component { component: component.to_owned(), message: error.to_string() })?;
        self.resolve(letter.id, Resolution::Retried { at: self.now() }).await?;
        projector.release(self.runtime.core(), &item.stream).await
    }

    /// Decides that the work will not be done; the reason is kept.
    ///
    /// # Errors
    /// The letter does not exist or is resolved, the reason is empty, or the store fails.
    pub async fn discard(&self, id: DeadLetterId, reason: impl Into<String>) -> Result<()> {
        let reason = reason.into();
        if reason.trim().is_empty() {
            return Err(Error::invalid_argument("reason", "missing; say why this will not be done"));
        }
        let letter = self.open(id).await?;
        self.resolve(id, Resolution::Discarded { at: self.now(), reason }).await?;
        if let (Some(item), Some(projector)) =
            (parked_event(&letter), self.runtime.projector(&letter.letter.source_component))
        {
            projector.release(self.runtime.core(), &item.stream).await?;
        }
        Ok(())
    }

    async fn open(&self, id: DeadLetterId) -> Result<DeadLetter> {
        match self.show(id).await? {
            Some(letter) if letter.resolution.is_none() => Ok(letter),
            Some(_) => Err(Error::invalid_argument("dead letter", format!("{id} is resolved already"))),
            None => Err(Error::invalid_argument("dead letter", format!("{id} does not exist"))),
        }
    }

    async fn resolve(&self, id: DeadLetterId, resolution: Resolution) -> Result<()> {
        if self.runtime.core().storage.resolve_dead_letter(id, resolution).await? {
            return Ok(());
        }
        Err(Error::invalid_argument("dead letter", format!("{id} was resolved by somebody else in the meantime")))
    }

    fn now(&self) -> i64 {
        nanos_of(self.runtime.core().clock.now())
    }
}

/// The same commands without the sequences that they expected.
fn at_the_head(mut book: proto::CommandBook) -> proto::CommandBook {
    for page in &mut book.pages {
        if let Some(header) = &mut page.header
            && let Some(proto::page_header::SequenceType::Sequence(_)) = header.sequence_type
        {
            header.sequence_type = None;
        }
    }
    book
}
