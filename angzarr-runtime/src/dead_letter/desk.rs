//! What an operator does with dead letters (row D2).

use angzarr_proto as proto;
use proto::angzarr_dead_letter::Payload;
use proto::page_header::SequenceType;

use super::letter::{AT, TIMEOUT};
use super::{DeadLetter, DeadLetterFilter, DeadLetterId, Resolution};
use crate::command::detached;
use crate::error::{Error, Result};
use crate::reaction::Component;
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
    /// expected, since an operator decided so; it runs once, however often its letter is retried. An event of a saga or a
    /// projector is handled again. Of a projector's parked stream the oldest letter comes first, and those behind it
    /// follow until one of them fails (row J2).
    ///
    /// An event takes effect once in a read model that keeps the checkpoint, and a saga's commands run once. A projector
    /// without such a read model may see the event again if the process dies before the letter is resolved.
    ///
    /// # Errors
    /// The letter does not exist or is resolved, an older letter of the same stream is open, or the work fails again; then
    /// the letter stays open. So it does where a projector that builds its read model anew has not come to the event yet,
    /// and where the runtime is shutting down.
    pub async fn retry(&self, id: DeadLetterId) -> Result<()> {
        let desk = self.clone();
        detached(async move { desk.run_again(id).await }).await
    }

    async fn run_again(&self, id: DeadLetterId) -> Result<()> {
        let core = self.runtime.core();
        let _in_flight = core.begin()?;
        let letter = super::open(core, id).await?;
        if let Some(delivery) = core.delivery_of(&letter) {
            return core.put_back(&letter, delivery).await;
        }
        match letter.letter.payload {
            Some(Payload::RejectedCommand(book)) => {
                let request = proto::CommandRequest { command: Some(at_the_head(book, id)), ..Default::default() };
                let at = letter.letter.metadata.get(AT).and_then(|text| text.parse().ok());
                core.handle_command(&request, at, None).await?;
                super::resolve(core, id, Resolution::Retried { at: core.now() }).await
            }
            Some(Payload::RejectedEvents(ref book)) if is_fact(book) => {
                let events = Some(book.clone());
                core.handle_event(&proto::EventRequest { events, route_to_handler: true, ..Default::default() })
                    .await?;
                super::resolve(core, id, Resolution::Retried { at: core.now() }).await
            }
            Some(Payload::RejectedEvents(ref book)) if is_timeout(book) => core.schedule_again(&letter, book).await,
            Some(Payload::RejectedEvents(_)) => {
                let name = letter.letter.source_component.as_str();
                match self.runtime.component(name) {
                    Some(Component::Projector(projector)) => projector.retry(core, id).await,
                    Some(Component::Saga(saga)) => saga.retry(core, id).await,
                    Some(Component::ProcessManager(process)) => process.retry(core, id).await,
                    None => Err(Error::invalid_argument(
                        "dead letter",
                        format!("{id} is of `{name}`, which is not linked into this program; run one that has it"),
                    )),
                }
            }
            None => Err(Error::invalid_argument("dead letter", format!("{id} holds neither a command nor an event"))),
        }
    }

    /// Decides that the work will not be done; the reason is kept. A parked stream goes on behind its oldest letter as
    /// with [`retry`](Self::retry).
    ///
    /// # Errors
    /// The letter does not exist or is resolved, the reason is empty, the runtime is shutting down, or the store fails.
    pub async fn discard(&self, id: DeadLetterId, reason: impl Into<String>) -> Result<()> {
        let reason = reason.into();
        if reason.trim().is_empty() {
            return Err(Error::invalid_argument("reason", "missing; say why this will not be done"));
        }
        let desk = self.clone();
        let discard = async move {
            let core = desk.runtime.core();
            let _in_flight = core.begin()?;
            let letter = super::open(core, id).await?;
            match desk.runtime.component(&letter.letter.source_component) {
                Some(Component::Projector(projector)) => projector.discard(core, id, reason).await,
                _ => super::resolve(core, id, Resolution::Discarded { at: core.now(), reason }).await,
            }
        };
        detached(discard).await
    }
}

fn first_header(book: &proto::EventBook) -> Option<&SequenceType> {
    book.pages.first()?.header.as_ref()?.sequence_type.as_ref()
}

/// Whether a letter's events are facts that could not be recorded.
fn is_fact(book: &proto::EventBook) -> bool {
    matches!(first_header(book), Some(SequenceType::ExternalDeferred(_)))
}

fn is_timeout(book: &proto::EventBook) -> bool {
    use proto::EventPageExt as _;
    let event = book.pages.first().and_then(|page| page.event());
    event.is_some_and(|event| proto::type_name_of(&event.type_url) == TIMEOUT)
}

/// The same commands without the sequences that they expected, as one that runs once: by the external id or the
/// provenance that it had, otherwise by its letter.
fn at_the_head(mut book: proto::CommandBook, letter: DeadLetterId) -> proto::CommandBook {
    for page in &mut book.pages {
        let sequence_type = &mut page.header.get_or_insert_default().sequence_type;
        if matches!(sequence_type, None | Some(SequenceType::Sequence(_))) {
            // Nothing but the id, because it has to pass the limit of ids.
            let external_id = letter.to_string();
            let external = proto::ExternalDeferredSequence { external_id, ..Default::default() };
            *sequence_type = Some(SequenceType::ExternalDeferred(external));
        }
    }
    book
}
