//! The end of a branch: merge and discard (rows B5, B6).
//!
//! In: the name of an edition. Out: its events on main, all of them or none; or nothing that is left of it. Never: main
//! itself, and never half a branch.

use std::fmt;

use super::Runtime;
use crate::command::{Core, Provenance, detached};
use crate::dead_letter::{DeadLetterFilter, DeadLetterId, Resolution};
use crate::error::{Error, Result, Subject, nearest};
use crate::reaction::{is_taken_back, letter_on_main, on_main};
use crate::storage::{
    Dedup, EditionDiscard, Extras, Intent, IntentFilter, Settle, StreamFilter, StreamInfo, StreamMerge, StreamRead,
    Write, WriteError,
};
use crate::stream::{Edition, Name, StreamKey};

/// A branch of the timeline. From [`Runtime::edition`].
///
/// What the runtime still has to do for the branch, such as timeouts of its processes, goes where its events go. Who has
/// it in a read model of every edition is not told of its end.
pub struct EditionHandle {
    runtime: Runtime,
    name: Edition,
    domain: Option<Name>,
}

/// What a merge has brought to the main timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// Streams.
    pub streams: usize,
    /// Events.
    pub events: u64,
    /// It had been merged before, and nothing was written: the answer of the first time was lost, for example.
    pub already_merged: bool,
}

/// A stream whose main timeline has gone on since the branch left it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergeConflict {
    /// The stream, on main.
    pub stream: StreamKey,
    /// Where the branch left it.
    pub diverged_at: u32,
    /// Where main is now.
    pub main: u32,
}

impl fmt::Display for MergeConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is at {}, the branch left it at {}", self.stream, self.main, self.diverged_at)
    }
}

/// Streams that are looked at together.
const PAGE: usize = 1_000;

impl EditionHandle {
    pub(crate) fn new(runtime: Runtime, name: &str) -> Self {
        Self { runtime, name: Edition::named(name), domain: None }
    }

    /// Only of one domain, for a discard.
    #[must_use]
    pub fn of_domain(mut self, domain: impl AsRef<str>) -> Self {
        self.domain = Some(Name::new(domain.as_ref()));
        self
    }

    /// Appends the branch's events to the main timeline: of every stream or of none (row B6). They keep their sequences and
    /// times and get new positions: sagas, process managers and projectors of main see them. What the branch's own sagas and
    /// process managers have sent already is known on main, so nothing is done twice; what they had not come to yet is done
    /// on main.
    ///
    /// The branch stays until it is discarded, and may be read and written; its timeouts and what it had still to send now
    /// belong to main. A second merge conflicts, unless the branch has not moved: then it answers that it was merged.
    ///
    /// # Errors
    /// [`Error::MergeConflict`] names every stream whose main timeline has moved past the branch; nothing is written. No such
    /// edition, the main timeline, a domain alone; or the store fails.
    pub async fn merge(self) -> Result<Merged> {
        if self.domain.is_some() {
            let message = "a branch is merged as a whole: what it did in one domain may rest on another";
            return Err(Error::invalid_argument("domain", message));
        }
        let (runtime, edition) = (self.runtime.clone(), self.checked().await?);
        detached(async move {
            let core = runtime.core();
            let _in_flight = core.begin()?;
            let _whole = core.editions.whole(&edition).await;
            core.merge_edition(&edition).await
        })
        .await
    }

    /// Removes the branch's events, with everything that the store has of them; of one domain with
    /// [`of_domain`](Self::of_domain) (row B5). Its name may be used again, for a branch that begins anew.
    ///
    /// # Errors
    /// No such edition, or the main timeline, which cannot be discarded; or the store fails.
    pub async fn discard(self) -> Result<()> {
        let (runtime, domain, edition) = (self.runtime.clone(), self.domain.clone(), self.checked().await?);
        detached(async move {
            let core = runtime.core();
            let _in_flight = core.begin()?;
            let _whole = core.editions.whole(&edition).await;
            core.discard_edition(&edition, domain).await
        })
        .await
    }

    /// The name of an edition that exists.
    async fn checked(&self) -> Result<Name> {
        let core = self.runtime.core();
        if self.name.is_main() {
            let message = "the main timeline can be neither merged nor discarded; name a branch";
            return Err(Error::invalid_argument("edition", message));
        }
        core.limits.check_edition(self.name.name())?;
        let known = core.storage.editions().await?;
        if known.iter().any(|it| it.name == *self.name.name()) {
            return Ok(self.name.name().clone());
        }
        Err(Error::UnknownEdition {
            edition: self.name.name().to_string(),
            nearest: nearest(self.name.name(), known.iter().map(|it| it.name.as_str())),
            subject: Subject::default(),
        })
    }
}

impl Core {
    async fn merge_edition(&self, edition: &Name) -> Result<Merged> {
        // What main's sagas come to from now on, the branch's may have come to before.
        self.doubts.merge_begins();
        let merged = self.merge_as_it_stands(edition).await;
        self.doubts.merge_ended(self.storage.head());
        merged
    }

    async fn merge_as_it_stands(&self, edition: &Name) -> Result<Merged> {
        let mut rounds = 0;
        loop {
            let (plan, done) = self.plan_merge(edition).await?;
            let Some((extras, letters)) = plan else { return Ok(done) };
            rounds += 1;
            match self.writer.commit(Write::extras(extras)).await {
                Ok(_) => {
                    self.letters_went_along(edition, letters).await?;
                    self.transport.announce(self.storage.head());
                    self.intents.wake();
                    return Ok(done);
                }
                Err(WriteError::Storage(error)) => return Err(error.into()),
                // Somebody wrote to main, or carried something out, in this very moment: looked at again, so that every
                // stream that is in the way is named.
                Err(WriteError::Conflict { .. } | WriteError::Settled { .. }) if rounds < self.attempts => {}
                Err(WriteError::Conflict { key, expected, actual }) => {
                    let conflict = MergeConflict { stream: key.on_main(), diverged_at: expected, main: actual };
                    return Err(merge_conflict(edition, vec![conflict]));
                }
                Err(other) => {
                    return Err(Error::Component { component: edition.to_string(), message: other.to_string() });
                }
            }
        }
    }

    /// What a merge writes, with the letters of the branch that it takes along; `None` where it had been merged before.
    async fn plan_merge(&self, edition: &Name) -> Result<(Option<(Extras, Vec<DeadLetterId>)>, Merged)> {
        let mut extras = Extras::default();
        let (mut conflicts, mut merged) = (Vec::new(), Vec::new());
        let mut done = Merged::default();
        for info in self.streams_of(edition, false).await? {
            let main = self.storage.read_stream(&info.key.on_main(), tail()).await?.next_sequence;
            let diverged_at = info.diverged_at.unwrap_or(0);
            let conflict = MergeConflict { stream: info.key.on_main(), diverged_at, main };
            if main != diverged_at {
                let into = if self.was_merged(&info, diverged_at).await? { &mut merged } else { &mut conflicts };
                into.push(conflict);
                continue;
            }
            let keys = self.storage.dedup_keys(&info.key).await?;
            let dedup = keys.into_iter().map(|(dedup, _)| (dedup.clone(), key_on_main(&dedup, edition))).collect();
            done.streams += 1;
            done.events += u64::from(info.next_sequence - diverged_at);
            let next_sequence = info.next_sequence;
            extras.merges.push(StreamMerge { branch: info.key, diverged_at, next_sequence, dedup });
        }
        if conflicts.is_empty() && extras.merges.is_empty() {
            return Ok((None, Merged { streams: merged.len(), already_merged: !merged.is_empty(), ..done }));
        }
        // A branch that has gone on since its merge does not go on from where main is.
        conflicts.extend(merged);
        if !conflicts.is_empty() {
            return Err(merge_conflict(edition, conflicts));
        }
        let unreadable = |what: String| Error::Component { component: edition.to_string(), message: what };
        for intent in self.intents_of(edition).await? {
            extras.settles.push(Settle { id: intent.id, due: intent.due });
            let message = || format!("the {} {} of {} cannot be read", intent.kind, intent.id, intent.stream);
            let merged = on_main(&intent).ok_or_else(|| unreadable(message()))?;
            // A timeout that the branch has taken back is taken back on main.
            match is_taken_back(&merged) {
                true => extras.withdraws.push(merged.id),
                false => extras.intents.push(merged),
            }
        }
        let mut letters = Vec::new();
        let every = DeadLetterFilter { include_resolved: true, limit: Some(i64::MAX as usize), ..Default::default() };
        for letter in self.storage.dead_letters(&every).await?.iter().filter(|it| it.goes_with(edition, None)) {
            // What was tried again has its events; what was given up stays given up.
            if matches!(letter.resolution, Some(Resolution::Retried { .. })) {
                continue;
            }
            if let Some(on_main) = letter_on_main(letter, edition) {
                extras.dead_letters.push(on_main);
                letters.extend(letter.resolution.is_none().then_some(letter.id));
            }
        }
        Ok((Some((extras, letters)), done))
    }

    /// Letters that main has now are no longer the branch's.
    async fn letters_went_along(&self, edition: &Name, letters: Vec<DeadLetterId>) -> Result<()> {
        for id in letters {
            let reason = format!("the edition `{edition}` was merged, and the letter with it");
            // One that an operator has resolved in this moment is theirs.
            self.storage.resolve_dead_letter(id, Resolution::Discarded { at: self.now(), reason }).await?;
        }
        Ok(())
    }

    async fn intents_of(&self, edition: &Name) -> Result<Vec<Intent>> {
        let every = IntentFilter { limit: Some(i64::MAX as usize), ..Default::default() };
        let mut intents = self.storage.intents(&every).await?;
        intents.retain(|intent| intent.stream.edition == *edition);
        Ok(intents)
    }

    async fn discard_edition(&self, edition: &Name, domain: Option<Name>) -> Result<()> {
        let mut extras = Extras::default();
        if let Some(domain) = &domain {
            // Work that other domains did for events of this one: the events that come anew are others.
            for info in self.streams_of(edition, true).await?.iter().filter(|info| info.key.domain != *domain) {
                let keys = self.storage.dedup_keys(&info.key).await?;
                let is_of_discarded = |dedup: &Dedup| {
                    Provenance::of(dedup)
                        .is_some_and(|(_, it)| it.source.edition == *edition && it.source.domain == *domain)
                };
                let forgotten = keys.into_iter().filter(|(dedup, _)| is_of_discarded(dedup));
                extras.forgets.extend(forgotten.map(|(dedup, _)| (info.key.clone(), dedup)));
            }
        }
        // Before the branch goes: whoever is interrupted here discards it again.
        let open = DeadLetterFilter { limit: Some(i64::MAX as usize), ..Default::default() };
        for letter in self.storage.dead_letters(&open).await? {
            // Those of its events go with the discard itself.
            if letter.event_place().is_none() && letter.goes_with(edition, domain.as_deref()) {
                let reason = EditionDiscard::reason_of(edition);
                self.storage.resolve_dead_letter(letter.id, Resolution::Discarded { at: self.now(), reason }).await?;
            }
        }
        extras.discards.push(EditionDiscard { edition: edition.clone(), domain: domain.clone(), at: self.now() });
        let written = self.writer.commit(Write::extras(extras)).await;
        // Whatever the store says: what is not known is read again.
        self.cache.forget_edition(edition);
        match written {
            Ok(_) => {}
            Err(WriteError::Storage(error)) => return Err(error.into()),
            Err(other) => return Err(Error::Component { component: edition.to_string(), message: other.to_string() }),
        }
        self.waits
            .discarded(|key| key.edition == *edition && domain.as_ref().is_none_or(|domain| key.domain == *domain));
        Ok(())
    }

    async fn streams_of(&self, edition: &Name, without_events: bool) -> Result<Vec<StreamInfo>> {
        let filter = StreamFilter { edition: Some(edition.to_string()), without_events, ..StreamFilter::default() };
        let mut streams: Vec<StreamInfo> = Vec::new();
        loop {
            let after = streams.last().map(|info| info.key.clone());
            let page = self.storage.streams(&filter, after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            streams.extend(page);
            if is_last {
                return Ok(streams);
            }
        }
    }

    /// Whether main already has exactly the branch's events where the branch left it.
    async fn was_merged(&self, info: &StreamInfo, diverged_at: u32) -> Result<bool> {
        let read = StreamRead { from: diverged_at, to: info.next_sequence.checked_sub(1), ..StreamRead::all() };
        let branch = self.storage.read_stream(&info.key, read.clone()).await?.events;
        let main = self.storage.read_stream(&info.key.on_main(), read).await?.events;
        let same = |a: &crate::stream::StoredEvent, b: &crate::stream::StoredEvent| {
            (a.sequence, a.created_at, &a.type_name, &a.payload) == (b.sequence, b.created_at, &b.type_name, &b.payload)
        };
        Ok(!branch.is_empty() && branch.len() == main.len() && branch.iter().zip(&main).all(|(a, b)| same(a, b)))
    }
}

/// Nothing but what is known of a whole stream.
fn tail() -> StreamRead {
    StreamRead { from: u32::MAX, ..StreamRead::all() }
}

/// What work is known by on main: its source, if that is of the same branch, is on main then.
fn key_on_main(dedup: &Dedup, edition: &str) -> Dedup {
    match Provenance::of(dedup) {
        Some((kind, provenance)) => provenance.merged_from(edition).dedup_as(kind),
        None => dedup.clone(),
    }
}

fn merge_conflict(edition: &Name, conflicts: Vec<MergeConflict>) -> Error {
    Error::MergeConflict { edition: edition.to_string(), conflicts, subject: Subject::default() }
}
