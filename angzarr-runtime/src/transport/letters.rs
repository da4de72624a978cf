//! Dead letters on their way to a transport with topics (row D3).
//!
//! In: letters that were stored. Out: each on the topic of its domain, at least once. Never: a letter that is on its way
//! instead of in the store; it is there first, and what a crash, an outage or a refusal keeps back is found there again.
//!
//! Whether a letter was published is a checkpoint of its own, stored after the transport has confirmed it: how often its
//! work was tried then, so that the letter of work that failed again is published again. Letters have no position in a log
//! that a cursor could follow, and are few.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::TransportErrorKind;
use super::relay::{PAUSES, in_time, pauses, told};
use crate::command::{Core, panic_text};
use crate::dead_letter::{DeadLetter, DeadLetterFilter, DeadLetterId};
use crate::storage::{Extras, Write};
use crate::stream::Name;
use crate::telemetry;

/// Letters are published in portions of this many.
const PORTION: usize = 64;
/// How often the store is asked for letters that nobody told of: those of a process that died.
const LOOK: Duration = Duration::from_secs(60);

/// What is known of it from outside.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Stored and not published yet, as far as is known.
    pub(super) waiting: AtomicUsize,
    /// What holds them back.
    pub(super) stalled: Mutex<Option<String>>,
}

/// What the task remembers.
struct Round {
    pending: VecDeque<DeadLetterId>,
    /// Published, with the tries that their work had had.
    done: HashMap<DeadLetterId, u32>,
    /// Those that the transport does not take, and why, since the last look.
    refused: HashMap<DeadLetterId, String>,
    look_at: Instant,
}

impl Letters {
    /// Publishes letters as they come, until the stop signal; then what is left, if the transport takes it.
    pub(super) async fn follow(
        &self,
        core: &Core,
        mut stored: mpsc::UnboundedReceiver<DeadLetterId>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut round =
            Round { pending: VecDeque::new(), done: HashMap::new(), refused: HashMap::new(), look_at: Instant::now() };
        let mut tries = pauses();
        loop {
            while let Ok(id) = stored.try_recv() {
                round.pending.push_back(id);
            }
            let step = AssertUnwindSafe(self.step(core, &mut round)).catch_unwind().await;
            let step = step.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(panic.as_ref()))));
            let waiting = round.pending.iter().filter(|id| !round.refused.contains_key(*id)).count();
            self.waiting.store(waiting + round.refused.len(), Ordering::Release);
            let wait = match step {
                Ok(()) => {
                    tries = pauses();
                    *self.stalled.lock() = round.refused.values().next().cloned();
                    if !round.pending.is_empty() || !stored.is_empty() {
                        continue;
                    }
                    round.look_at
                }
                Err(reason) => {
                    let pause = tries.next().unwrap_or(PAUSES.1);
                    telemetry::letters_held_back(round.pending.len(), &reason, pause);
                    *self.stalled.lock() = Some(reason);
                    Instant::now() + pause
                }
            };
            if *stop.borrow() {
                // What is left is found at the next start.
                return;
            }
            let calm = round.pending.is_empty();
            tokio::select! {
                _ = stop.changed() => {}
                () = sleep_until(wait) => {}
                id = stored.recv(), if calm => match id {
                    Some(id) => round.pending.push_back(id),
                    None => sleep_until(wait).await,
                },
            }
        }
    }

    /// Publishes one portion.
    async fn step(&self, core: &Core, round: &mut Round) -> Result<(), String> {
        if round.look_at <= Instant::now() {
            let every = DeadLetterFilter { limit: Some(i32::MAX as usize), ..DeadLetterFilter::default() };
            let open = core.storage.dead_letters(&every).await.map_err(|error| error.to_string())?;
            let mut known = HashMap::with_capacity(open.len());
            for letter in open {
                if is_published(core, round, &letter).await? {
                    known.insert(letter.id, letter.attempts);
                } else if !round.pending.contains(&letter.id) {
                    round.pending.push_back(letter.id);
                }
            }
            // Of those that are resolved nobody speaks any more.
            round.done = known;
            round.refused.clear();
            round.look_at = Instant::now() + LOOK;
        }
        let mut portion = Vec::new();
        for id in round.pending.iter().take(PORTION) {
            // One that is not there was not stored after all, or is on its way into the store: then the next look finds it.
            if let Some(letter) = core.storage.dead_letter(*id).await.map_err(|error| error.to_string())?
                && !portion.iter().any(|it: &DeadLetter| it.id == letter.id)
                && !round.refused.contains_key(id)
                && !is_published(core, round, &letter).await?
            {
                portion.push(letter);
            }
        }
        let taken = round.pending.len().min(PORTION);
        if !portion.is_empty() {
            let published = in_time(core.transport.publish_letters(core.storage.id(), &portion), core).await;
            let confirmed = match &published {
                Ok(()) => portion.len(),
                Err(error) => error.confirmed.min(portion.len()),
            };
            for letter in &portion[..confirmed] {
                round.done.insert(letter.id, letter.attempts);
                let checkpoints = vec![(name_of(letter.id), u64::from(letter.attempts) + 1)];
                // If that is lost, the letter comes twice.
                core.writer.submit(Write::extras(Extras { checkpoints, ..Extras::default() }));
            }
            if let Err(error) = published {
                // Of one letter the others are independent; it is tried again at the next look.
                if error.kind == TransportErrorKind::Refused
                    && !error.is_of_connection()
                    && let Some(letter) = portion.get(confirmed)
                {
                    telemetry::letter_refused(letter, &error);
                    round.refused.insert(letter.id, told(error));
                    round.pending.retain(|id| !portion[..confirmed].iter().any(|letter| letter.id == *id));
                    return Ok(());
                }
                return Err(told(error));
            }
        }
        round.pending.drain(..taken);
        Ok(())
    }
}

async fn is_published(core: &Core, round: &Round, letter: &DeadLetter) -> Result<bool, String> {
    if round.done.get(&letter.id).is_some_and(|attempts| *attempts >= letter.attempts) {
        return Ok(true);
    }
    let stored = core.storage.checkpoint(&name_of(letter.id)).await.map_err(|error| error.to_string())?;
    Ok(stored.is_some_and(|stored| stored > u64::from(letter.attempts)))
}

/// The name of a letter's checkpoint. No component has a point in its name.
fn name_of(id: DeadLetterId) -> Name {
    Name::new(&format!("angzarr.letter.{id}"))
}
