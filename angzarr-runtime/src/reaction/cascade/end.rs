//! The end of a cascade: what it waits for, and the answer (rows S4, S9, E).
//!
//! In: the events of its command, and what the board, the store and other processes tell. Out: the answer, as the error mode says.
//! Never: an error of the request for what happens behind its commit, or a wait without an end.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::super::process_manager::process_key;
use super::super::told::BegunCascade;
use super::super::wait_board::Passed;
use super::super::{ComponentKind, Missing, WaitResult};
use super::{Cascade, CascadeFailed, CascadeFailure, CascadeLink, DoneCommand, End, REACTION_FAILED};
use crate::command::{CascadeErrorMode, Core, Outcome, Receipt};
use crate::dead_letter::{Resolution, letter_id};
use crate::error::{Code, Error, Result, Subject};
use crate::storage::{IntentFilter, StorageError};
use crate::stream::{LogEvent, StoredEvent, StreamKey, WaitMark};

impl Core {
    /// What reactions in other processes have caused is found by the mark that its events carry, and waited for as well; where the
    /// command's own events do not carry the mark of this cascade, because an earlier one has stored them, by the correlation id
    /// of the workflow too. Whether there was anything new (row R5).
    async fn others_went_on(
        &self,
        outcome: &Outcome,
        cascade: &Arc<Cascade>,
        known: &mut Known,
    ) -> Result<bool, StorageError> {
        let Some(first) = outcome.events.first().filter(|_| self.ownership.is_shared()) else { return Ok(false) };
        let mut found = Vec::new();
        for (place, wait) in known.waits.iter().enumerate() {
            let after =
                known.looked_up_to.get(place).copied().unwrap_or_default().max(first.position.saturating_sub(1));
            found.push((place, self.storage.read_wait(*wait, after).await?));
        }
        let own = cascade.mark().map(|mark| mark.wait());
        let is_own = own.is_some() && first.headers.wait().map(WaitMark::wait) == own;
        let correlation_id = first.headers.correlation_id();
        let mut of_workflow = Vec::new();
        if !is_own && !correlation_id.is_empty() {
            of_workflow = self.storage.read_correlation(correlation_id).await?;
        }
        // Behind the look for events: what has failed of an intent that was open at the beginning of this look is told by now.
        self.hear_of(&known.waits).await?;
        // Nothing fails from here on: what was found once is not looked for again.
        known.looked_up_to.resize(known.waits.len(), 0);
        for (place, events) in &found {
            if let (Some(last), Some(reached)) = (events.last(), known.looked_up_to.get_mut(*place)) {
                *reached = last.event.position;
            }
        }
        let mut news = false;
        for LogEvent { stream, event } in found.into_iter().flat_map(|(_, events)| events).chain(of_workflow) {
            if event.position < first.position || event.isolated || !known.events.insert(event.position) {
                continue;
            }
            known.note(self, &stream, &event);
            if cascade.state.lock().noted.contains(&event.position) {
                continue;
            }
            news = true;
            let link = CascadeLink::at(cascade.clone(), event.headers.wait().map_or(0, |mark| mark.depth));
            if let Some(waiting) = self.waits.expect_caused(self, &stream, &event, &link) {
                cascade.adopt(waiting, &[]);
            }
        }
        if news {
            // What was told before it was noted here. What cannot be read now is read with the next look.
            self.hear_of(&known.waits).await.ok();
        }
        Ok(news)
    }

    /// Of what was passed, as positions say, what others have told, and what waits in the dead letters: a failure of the cascade.
    async fn settle_passed(
        &self,
        outcome: &Outcome,
        cascade: &Cascade,
        stream: &StreamKey,
        result: &mut WaitResult,
    ) -> Result<(), StorageError> {
        if result.passed.is_empty() || cascade.mark().is_none() {
            return Ok(());
        }
        self.hear_of_passed(&outcome.events, stream, result, Some(cascade)).await?;
        if outcome.duplicate {
            // What failed the first time is not a failure of this one: it is told as missing.
            return Ok(());
        }
        // Nobody has told it: whoever ran it may have died on the way.
        let mut letters = Vec::new();
        for Passed { component, sequence, position } in &result.passed {
            letters.push(self.storage.dead_letter(letter_id(component, stream, *sequence, *position)).await?);
        }
        for (passed, letter) in std::mem::take(&mut result.passed).into_iter().zip(letters) {
            let Passed { component, sequence, .. } = passed;
            match letter {
                Some(letter) if !matches!(letter.resolution, Some(Resolution::Retried { .. })) => {
                    cascade.fail(CascadeFailure {
                        component: component.to_owned(),
                        kind: self.kind_of(component),
                        source: stream.clone(),
                        sequence,
                        command_index: None,
                        message: letter.letter.rejection_reason,
                        code: REACTION_FAILED,
                        status: Code::Internal,
                    });
                }
                _ => result.passed.push(passed),
            }
        }
        Ok(())
    }

    /// What reactions of a cascade have decided to send and not sent yet: whoever was about to has died, and somebody else will.
    async fn left_to_send(&self, known: &Known) -> Result<Vec<Missing>, StorageError> {
        if known.waits.is_empty() {
            return Ok(Vec::new());
        }
        let of_streams = known.streams.iter().map(|stream| async {
            let filter = IntentFilter { stream: Some(stream.clone()), ..IntentFilter::default() };
            self.storage.intents(&filter).await
        });
        let mut left = Vec::new();
        for intents in futures_util::future::try_join_all(of_streams).await? {
            for intent in intents {
                // One that failed is tried again later, and not waited for: as within one process.
                if intent.attempts > 0 {
                    continue;
                }
                let Some((found, provenance)) = super::super::plan::mark_of(&intent) else { continue };
                if known.waits.contains(&found.wait()) {
                    left.push(Missing {
                        component: provenance.component.to_string(),
                        kind: self.kind_of(&provenance.component),
                        stream: provenance.source,
                        sequence: provenance.source_seq,
                        reason: Some("not everything was sent when the deadline passed; it will be".to_owned()),
                    });
                }
            }
        }
        Ok(left)
    }

    /// One look for what a cascade still has to wait for, when nothing is left that it knows of.
    async fn look_around(
        &self,
        outcome: &Outcome,
        cascade: &Arc<Cascade>,
        known: &mut Known,
    ) -> Result<Around, StorageError> {
        // In the order in which things happen: what is sent meanwhile is found behind it.
        let left = self.left_to_send(known).await?;
        Ok(if self.others_went_on(outcome, cascade, known).await? { Around::More } else { Around::Left(left) })
    }

    /// Undoes what has succeeded: what this process knows of, and what the store does (row E3). Answers how many commands these are,
    /// and why that may not be all of them.
    async fn undo_all(
        &self,
        cascade: &Cascade,
        known: &Known,
        done: Vec<DoneCommand>,
        is_open: bool,
    ) -> (usize, Option<String>) {
        let until = tokio::time::Instant::now() + self.sync_deadline;
        let mut recorded = Vec::new();
        loop {
            let found = in_time(until, self.to_undo(cascade, known, &done, is_open)).await;
            // What is known is undone, whatever else there may be.
            let (mut all, mut unknown) = match found {
                Ok(all) => (all, None),
                Err(error) => (done.clone(), Some(error)),
            };
            all.retain(|done| !recorded.contains(&done.provenance));
            let patience = || until.max(tokio::time::Instant::now()) + GRACE;
            match in_time(patience(), self.record_compensations(&all)).await {
                Ok(intents) => {
                    recorded.extend(all.into_iter().map(|done| done.provenance));
                    // What takes longer goes on without this request.
                    tokio::time::timeout_at(patience(), self.deliver_compensations(intents)).await.ok();
                }
                Err(error) => unknown = Some(error),
            }
            let Some(error) = unknown else { return (recorded.len(), None) };
            // Another try would have no time.
            if is_past(until - LOOK_AGAIN) {
                return (recorded.len(), Some(error));
            }
            tracing::debug!(error, "what a cascade has to undo is not recorded yet");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn to_undo(
        &self,
        cascade: &Cascade,
        known: &Known,
        done: &[DoneCommand],
        is_open: bool,
    ) -> Result<Vec<DoneCommand>, StorageError> {
        let Some(mark) = cascade.mark() else { return Ok(done.to_vec()) };
        if is_open {
            // First of all: what succeeds behind the look into the store is undone by whoever runs it.
            for wait in &known.waits {
                self.say_undoing(&WaitMark { wait: *wait, ..mark }).await?;
            }
        }
        let mut all = self.succeeded_in(&known.waits).await?;
        for done in done {
            if !all.iter().any(|it: &DoneCommand| it.provenance == done.provenance) {
                all.push(done.clone());
            }
        }
        Ok(all)
    }

    /// Waits for the end of a cascade and makes the answer (rows E). Its command is stored: what cannot be found out of what follows
    /// is missing in the answer, and no error.
    pub(crate) async fn end_cascade(
        &self,
        key: &StreamKey,
        mut outcome: Outcome,
        begun: &BegunCascade,
    ) -> Result<Receipt> {
        let cascade = &begun.cascade;
        let deadline = tokio::time::Instant::now() + self.sync_deadline;
        let mut waited = WaitResult::default();
        let mut next = outcome.waiting.take();
        let mut known = Known::default();
        let own = cascade.mark().map(|mark| mark.wait());
        let first = outcome.events.first().and_then(|event| event.headers.wait()).map(WaitMark::wait);
        // The command was sent before: whoever runs its reactions knows of the wait that it began with.
        let stored = first.filter(|first| self.ownership.is_shared() && own != Some(*first));
        let _joined = stored.map(|wait| self.waits.joins(cascade, wait));
        known.waits = own.into_iter().chain(stored).collect();
        let mut earlier = begun.earlier.as_ref().filter(|_| outcome.duplicate);
        let mut missed_by_earlier = Vec::new();
        if let Some(earlier) = earlier {
            cascade.follow(earlier);
        }
        for event in &outcome.events {
            known.note(self, key, event);
            known.events.insert(event.position);
        }
        let (mut is_first, mut is_last) = (true, false);
        // Why it is not known what follows.
        let mut unknown = None;
        let ended_early = loop {
            if let Some(waiting) = next.take().or_else(|| cascade.state.lock().waiting.pop()) {
                let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                let stream = waiting.stream().clone();
                let mut result = tokio::select! {
                    biased;
                    () = cascade.ended_early() => break true,
                    result = self.waits.wait(waiting, left) => result,
                };
                let until = deadline + GRACE;
                while let Err(error) = in_time(until, self.settle_passed(&outcome, cascade, &stream, &mut result)).await
                {
                    if cascade.must_end() || is_past(deadline) {
                        result.missing_as_unknown(self, &stream, &error);
                        break;
                    }
                    tracing::debug!(error, "a look for what has become of a cascade failed");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                waited.take_in(result, std::mem::take(&mut is_first));
                continue;
            }
            if is_last {
                break cascade.must_end();
            }
            match in_time(deadline + GRACE, self.look_around(&outcome, cascade, &mut known)).await {
                Ok(Around::More) => {
                    // A cascade may grow faster than it is looked at.
                    if is_past(deadline + GRACE) {
                        is_last = true;
                        unknown = Some("it still went on when the deadline passed".to_owned());
                    }
                    continue;
                }
                Ok(Around::Left(left)) if left.is_empty() => {
                    let Some(leader) = earlier.take() else { break cascade.must_end() };
                    // It waits for what this one does not know of.
                    tokio::select! {
                        biased;
                        () = cascade.ended_early() => break true,
                        end = leader.ended() => match end {
                            End::Waited(missing) => missed_by_earlier = missing,
                            End::Early => unknown = Some("an earlier attempt ended without it".to_owned()),
                        },
                        () = tokio::time::sleep_until(deadline + GRACE) => {
                            unknown = Some("an earlier attempt still waited for it when the deadline passed".to_owned());
                        }
                    }
                    continue;
                }
                Ok(Around::Left(left)) if is_past(deadline) => {
                    waited.missing.extend(left);
                    break cascade.must_end();
                }
                Err(error) if is_past(deadline + GRACE) => {
                    unknown = Some(error);
                    break cascade.must_end();
                }
                Ok(Around::Left(_)) => {}
                Err(error) => tracing::debug!(error, "a look for what has become of a cascade failed"),
            }
            tokio::select! {
                biased;
                () = cascade.ended_early() => break true,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        };
        crate::telemetry::waited(&waited);
        waited = self.without_parked(key, &outcome.events, waited).await;
        waited.missing_too(key, missed_by_earlier);
        if let Some(error) = &unknown {
            waited.unknown_behind(self, key, error);
        }
        let is_whole = !ended_early && unknown.is_none();
        cascade.close(&if is_whole { End::Waited(waited.missing.clone()) } else { End::Early });
        let (failures, aborted, undoing, done) = {
            let mut state = cascade.state.lock();
            state.undoing = cascade.mode == CascadeErrorMode::Compensate && !state.failures.is_empty();
            let done = if state.undoing { std::mem::take(&mut state.done) } else { Vec::new() };
            (state.failures.clone(), state.aborted, state.undoing, done)
        };
        // Whose handler failed is told as a failure, not as done.
        waited.done.retain(|(component, sequence)| {
            let mut failures = failures.iter().filter(|failure| failure.command_index.is_none());
            !failures.any(|failure| {
                failure.component == *component && failure.source == *key && failure.sequence == *sequence
            })
        });
        let fails = match cascade.mode {
            CascadeErrorMode::FailFast | CascadeErrorMode::Compensate => !failures.is_empty(),
            CascadeErrorMode::Continue | CascadeErrorMode::DeadLetter => aborted,
        };
        if !fails {
            let listed = if cascade.mode == CascadeErrorMode::Continue { failures } else { Vec::new() };
            return Ok(Receipt::new(key.clone(), outcome, waited).with_failures(listed));
        }
        let (mut compensated, mut not_undone) = (0, None);
        if undoing {
            let is_open = ended_early || unknown.is_some() || !waited.missing.is_empty();
            (compensated, not_undone) = self.undo_all(cascade, &known, done, is_open).await;
        }
        Err(Error::Cascade(Box::new(CascadeFailed {
            stream: key.clone(),
            events: outcome.events.into_vec(),
            failures,
            compensated,
            not_undone,
            subject: Subject::default(),
        })))
    }
}

/// What a look around has found.
enum Around {
    /// Something more to wait for.
    More,
    /// What waits to be sent.
    Left(Vec<Missing>),
}

fn is_past(time: tokio::time::Instant) -> bool {
    tokio::time::Instant::now() >= time
}

/// Something of the store that does not take for ever where the store does.
async fn in_time<T, E: fmt::Display>(
    until: tokio::time::Instant,
    look: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout_at(until, look).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err("the store did not answer in time".to_owned()),
    }
}

impl WaitResult {
    /// What an earlier attempt has not waited for, unless it has happened since.
    fn missing_too(&mut self, key: &StreamKey, missing: Vec<Missing>) {
        for it in missing {
            let is_it = |component: &str, sequence| it.component == component && it.sequence == sequence;
            let is_done =
                it.stream == *key && self.done.iter().any(|(component, sequence)| is_it(component, *sequence));
            let mut listed = self.missing.iter();
            if !is_done && !listed.any(|known| is_it(&known.component, known.sequence) && it.stream == known.stream) {
                self.missing.push(it);
            }
        }
    }

    /// What was passed, and nobody knows how.
    fn missing_as_unknown(&mut self, core: &Core, stream: &StreamKey, why: &str) {
        for Passed { component, sequence, .. } in std::mem::take(&mut self.passed) {
            self.missing.push(Missing {
                component: component.to_owned(),
                kind: core.kind_of(component),
                stream: stream.clone(),
                sequence,
                reason: Some(format!("it has passed the event; whether it has failed is not known: {why}")),
            });
        }
    }

    /// Components are done with the command's events, and nobody knows what they have caused.
    fn unknown_behind(&mut self, core: &Core, stream: &StreamKey, why: &str) {
        let missing = &mut self.missing;
        self.done.retain(|(component, sequence)| {
            let kind = core.kind_of(component);
            if kind != ComponentKind::Projector {
                missing.push(Missing {
                    component: (*component).to_owned(),
                    kind,
                    stream: stream.clone(),
                    sequence: *sequence,
                    reason: Some(format!("it has handled the event; what follows from that is not known: {why}")),
                });
            }
            kind == ComponentKind::Projector
        });
    }
}

/// How often somebody looks whether everything was sent.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long somebody still looks for what has happened until the deadline.
const GRACE: Duration = Duration::from_secs(1);

/// What whoever waits for a cascade has found out.
#[derive(Default)]
struct Known {
    /// By what its events are marked, and to whom others tell of it.
    waits: Vec<Uuid>,
    /// Up to which positions each of these was looked up.
    looked_up_to: Vec<u64>,
    /// The events of it, by position.
    events: HashSet<u64>,
    /// The streams on which its reactions may have decided to send something.
    streams: BTreeSet<StreamKey>,
}

impl Known {
    fn note(&mut self, core: &Core, stream: &StreamKey, event: &StoredEvent) {
        if !core.ownership.is_shared() {
            return;
        }
        self.streams.insert(stream.clone());
        let correlation_id = event.headers.correlation_id();
        if !correlation_id.is_empty() {
            let processes = core.registry.process_managers.values();
            let own = processes.map(|it| process_key(it.descriptor.state.domain, &stream.edition, correlation_id));
            self.streams.extend(own);
        }
    }
}
