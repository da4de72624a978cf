//! Parked streams: what a projector could not handle waits in the dead letters, in order (rows J2, D1, D2).
//!
//! In: an event that failed or waits behind one, and what an operator decided. Out: letters; rows, once the oldest letter
//! of a stream is resolved and the stream catches up. Never: a younger event of a stream before an older one.

use super::projector::{Failure, ProjectorRunner, Turn};
use super::subscription::ComponentKind;
use crate::command::{Because, Core};
use crate::dead_letter::{self, DeadLetter, DeadLetterFilter, DeadLetterId, EventFailure, Resolution};
use crate::error::{Error, Result};
use crate::stream::{LogEvent, StreamKey};
use crate::telemetry;

impl Turn {
    /// Whether everything before a parked event was handled. While a read model is built anew, its event must not run before
    /// the older ones of its stream.
    fn has_come_to(&self, letter: &DeadLetter) -> bool {
        dead_letter::parked_event(letter).is_ok_and(|item| item.event.position <= self.reached)
    }
}

impl ProjectorRunner {
    /// Whether the event waits behind one that an operator has to decide on. An older one does not: it comes again, because
    /// the read model is built anew. The store has the last word: a stream whose letters are all resolved goes on, even if
    /// nobody could say so at the time.
    pub(super) async fn is_parked(&self, core: &Core, item: &LogEvent) -> Result<bool, String> {
        let (stream, sequence) = (&item.stream, item.event.sequence);
        if !self.seems_parked(stream, sequence) {
            return Ok(false);
        }
        let oldest = core.storage.oldest_parked(self.name, stream).await.map_err(|error| error.to_string())?;
        let mut parked = self.parked.lock();
        let Some(letter) = oldest else {
            parked.remove(stream);
            return Ok(false);
        };
        let oldest = letter.event_place().map_or(0, |(_, sequence)| sequence);
        parked.insert(stream.clone(), oldest);
        Ok(oldest <= sequence)
    }

    fn seems_parked(&self, stream: &StreamKey, sequence: u32) -> bool {
        let parked = self.parked.lock();
        !parked.is_empty() && parked.get(stream).is_some_and(|oldest| *oldest <= sequence)
    }

    /// The event goes to the dead letters, durably, before the checkpoint moves past it.
    pub(super) async fn park(&self, core: &Core, item: &LogEvent, failure: &EventFailure) -> Result<(), String> {
        // A letter of a branch that is gone would park the one that begins anew (row B5).
        let pass = core.pass_for(Some(&Because::of(item))).await.map_err(|error| error.to_string())?;
        let Some(_pass) = pass else { return Ok(()) };
        let letter = dead_letter::failed_event(core, self.name, ComponentKind::Projector, item, failure);
        let reason = &failure.reason;
        let parked = format!("parked: {reason}");
        let answers = match self.is_local() {
            true => Vec::new(),
            false => core.missed(self.name, &item.stream, &item.event, &parked),
        };
        let open = dead_letter::store_and_tell(core, letter, answers).await.map_err(|error| error.to_string())?;
        self.tell(core, item, Err(if open { parked } else { "discarded by an operator".to_owned() }));
        // One that an operator has discarded is skipped: nobody would ever let its stream go on.
        if open {
            let sequence = item.event.sequence;
            let mut parked = self.parked.lock();
            parked.entry(item.stream.clone()).and_modify(|oldest| *oldest = sequence.min(*oldest)).or_insert(sequence);
            drop(parked);
            match failure.tries {
                0 => telemetry::parked_behind(self.at(item)),
                _ => telemetry::parked(self.at(item), reason),
            }
        }
        Ok(())
    }

    /// The same for an event that comes after one that failed.
    pub(super) async fn park_behind(&self, core: &Core, item: &LogEvent) -> Result<(), String> {
        let reason = "an earlier event of this stream is parked".to_owned();
        self.park(core, item, &EventFailure { reason, tries: 0, transient: false }).await
    }

    /// Tries a parked event again, and those behind it until one fails.
    pub(crate) async fn retry(&self, core: &Core, id: DeadLetterId) -> Result<()> {
        let turn = self.turn.lock().await;
        // Looked at again, because somebody else may have had the turn.
        let letter = dead_letter::open(core, id).await?;
        let oldest = self.oldest_beside(core, &letter).await?;
        if let Some(older) = oldest.filter(|oldest| oldest.id != id) {
            return Err(Error::invalid_argument(
                "dead letter",
                format!("{} of the same stream is older: retry or discard it first", older.id),
            ));
        }
        if !turn.has_come_to(&letter) {
            return Err(Error::Component {
                component: self.name.to_owned(),
                message: format!("it has not come to the event of {id} again yet; retry it then"),
            });
        }
        if let Some(failure) = self.run(core, &letter).await? {
            return Err(Error::Component { component: self.name.to_owned(), message: failure.reason });
        }
        self.catch_up(core, &turn, &letter).await
    }

    /// Gives a parked event up. If it was the oldest of its stream, those behind it are tried.
    pub(crate) async fn discard(&self, core: &Core, id: DeadLetterId, reason: String) -> Result<()> {
        let turn = self.turn.lock().await;
        let letter = dead_letter::open(core, id).await?;
        let oldest = self.oldest_beside(core, &letter).await?;
        dead_letter::resolve(core, id, Resolution::Discarded { at: core.now(), reason }).await?;
        match oldest {
            Some(oldest) if oldest.id == id => self.catch_up(core, &turn, &letter).await,
            _ => Ok(()),
        }
    }

    async fn oldest_beside(&self, core: &Core, letter: &DeadLetter) -> Result<Option<DeadLetter>> {
        match letter.event_place() {
            Some((stream, _)) => Ok(core.storage.oldest_parked(self.name, &stream).await?),
            None => Ok(None),
        }
    }

    /// Runs the letters of a stream in order until one fails; without one the stream is free.
    pub(super) async fn catch_up(&self, core: &Core, turn: &Turn, resolved: &DeadLetter) -> Result<()> {
        let Some((stream, _)) = resolved.event_place() else { return Ok(()) };
        while let Some(letter) = core.storage.oldest_parked(self.name, &stream).await? {
            if !turn.has_come_to(&letter) {
                return Ok(());
            }
            if let Some(failure) = self.run(core, &letter).await? {
                telemetry::stays_parked(self.name, &letter, &failure.reason);
                return Ok(());
            }
        }
        self.parked.lock().remove(&stream);
        Ok(())
    }

    /// Runs a letter's event and resolves the letter; if the handler fails again, the letter takes that in.
    ///
    /// With a read model the event takes effect once, whatever happens in between: the letter's own checkpoint is
    /// committed with the rows. Without one it may run again if the process dies before the letter is resolved.
    async fn run(&self, core: &Core, letter: &DeadLetter) -> Result<Option<EventFailure>> {
        let component = |message: String| Error::Component { component: self.name.to_owned(), message };
        let name = self.letter_name(letter.id);
        let live = self.live();
        let done = match &live.read_model {
            Some(model) => model.checkpoint(&name).await.map_err(|error| component(error.to_string()))?.is_some(),
            None => false,
        };
        if !done {
            let item = dead_letter::parked_event(letter)?;
            let span = telemetry::reaction_span(self.at(&item));
            match telemetry::within(span, self.once(core, &live, &item, &name, None)).await {
                Ok(_) => {}
                Err(Failure::Handler(error)) => {
                    let failure = EventFailure::new(&error, 1);
                    dead_letter::store(core, dead_letter::failed_again(letter, &failure)).await?;
                    return Ok(Some(failure));
                }
                Err(Failure::Outage(reason)) => return Err(component(reason)),
            }
        }
        dead_letter::resolve_retried(core, letter.id).await?;
        Ok(None)
    }

    /// Every open letter of it.
    pub(super) async fn open_letters(&self, core: &Core) -> Result<Vec<DeadLetter>> {
        let filter = DeadLetterFilter {
            component: Some(self.name.to_owned()),
            limit: Some(i64::MAX as usize),
            ..DeadLetterFilter::default()
        };
        Ok(core.storage.dead_letters(&filter).await?)
    }

    /// Which streams are parked. The store is asked for the sequences when an event comes.
    pub(super) async fn find_parked(&self, core: &Core) -> Result<()> {
        let parked = core.storage.parked_streams(self.name).await?;
        *self.parked.lock() = parked.into_iter().map(|stream| (stream, 0)).collect();
        Ok(())
    }

    /// Resolves the letters whose events the read model holds by their own checkpoints: a retry, or the switch of a rebuild,
    /// was interrupted before it could.
    pub(super) async fn resolve_done(&self, core: &Core) -> Result<()> {
        let live = self.live();
        let Some(model) = &live.read_model else { return Ok(()) };
        for letter in self.open_letters(core).await? {
            let name = self.letter_name(letter.id);
            let done = model.checkpoint(&name).await.map_err(|error| Error::Component {
                component: self.name.to_owned(),
                message: format!("its read model does not tell which letters were retried: {error}"),
            })?;
            if done.is_some() {
                dead_letter::resolve_retried(core, letter.id).await?;
            }
        }
        Ok(())
    }

    /// The name of the checkpoint that says that a letter was run.
    pub(super) fn letter_name(&self, letter: DeadLetterId) -> String {
        format!("{} letter {letter}", self.name)
    }
}
