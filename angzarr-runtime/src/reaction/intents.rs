//! Intents: what was decided and stored, and still has to be done (rows P1, P5, K1, K5, E3).
//!
//! In: intents that are due. Out: each carried out by the one write that settles it; tried again with growing pauses; in the
//! dead letters when the budget is spent. Never: two at work on one intent; whoever decided it has the first try.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use angzarr_proto as proto;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::CascadeLink;
use super::notification::Undelivered;
use super::ownership::INTENTS;
use crate::command::{Core, panic_text};
use crate::dead_letter::{self, DeadLetter, Resolution};
use crate::declare::time_of;
use crate::error::Error;
use crate::storage::{BoxFuture, Extras, Intent, IntentFilter, IntentId, IntentKind, Settle};
use crate::stream::{Name, StreamKey};
use crate::telemetry;

/// Intents that are looked at together.
const PORTION: usize = 512;
/// Streams whose intents are carried out at a time.
const STREAMS_AT_ONCE: usize = 64;
/// How often somebody looks without being woken: another process may have written.
const LOOK: Duration = Duration::from_secs(1);

/// Who is at work on which intent, and that there is something to do.
#[derive(Default)]
pub(crate) struct IntentDesk {
    claimed: Arc<Mutex<HashSet<IntentId>>>,
    /// Since when those are known that another process may be about to carry out.
    known: Mutex<HashMap<IntentId, Instant>>,
    changed: Notify,
}

/// An intent that somebody is at work on.
pub(super) struct Claim {
    desk: Arc<Mutex<HashSet<IntentId>>>,
    id: IntentId,
    /// It was claimed already: by whoever called.
    is_second: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_second {
            self.desk.lock().remove(&self.id);
        }
    }
}

impl IntentDesk {
    /// Keeps others away from an intent until this is dropped.
    pub(super) fn claim(&self, id: IntentId) -> Claim {
        let is_second = !self.claimed.lock().insert(id);
        Claim { desk: self.claimed.clone(), id, is_second }
    }

    /// The same, unless somebody has it.
    fn try_claim(&self, id: IntentId) -> Option<Claim> {
        self.claimed.lock().insert(id).then(|| Claim { desk: self.claimed.clone(), id, is_second: false })
    }

    /// Those that whoever has decided them, another process maybe, is about to carry out: what was not known for a while. A timeout
    /// nobody carries out but who is looking for it.
    fn leave_alone(&self, found: &[Intent], is_shared: bool) -> HashSet<IntentId> {
        let mut left_alone = HashSet::new();
        if is_shared {
            let mut known = self.known.lock();
            let before = std::mem::take(&mut *known);
            let now = Instant::now();
            for intent in found.iter().filter(|it| it.kind != IntentKind::Timeout && it.attempts == 0) {
                let since = before.get(&intent.id).copied().unwrap_or(now);
                known.insert(intent.id, since);
                if now - since < LOOK {
                    left_alone.insert(intent.id);
                }
            }
        }
        left_alone
    }

    /// There is something new to do, or to wait for.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }
}

impl Core {
    /// Carries out what is due until the stop signal.
    pub(crate) async fn carry_out_intents(&self, mut stop: watch::Receiver<bool>) {
        let mut pause = Duration::from_millis(50);
        while !*stop.borrow() {
            if !self.ownership.has(INTENTS) {
                self.ownership.left(INTENTS);
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    _ = stop.changed() => {}
                }
                continue;
            }
            let round = AssertUnwindSafe(self.carry_out_due()).catch_unwind().await;
            let wait = match round.unwrap_or_else(|panic| Err(panic_text(panic.as_ref()).to_owned())) {
                Ok(next) => {
                    pause = Duration::from_millis(50);
                    next
                }
                Err(reason) => {
                    telemetry::intents_held_back(&reason);
                    pause = (pause * 2).min(Duration::from_secs(5));
                    Some(pause)
                }
            };
            let wait = wait.unwrap_or(LOOK).min(LOOK);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.intents.changed.notified() => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// One portion of what is due; how long until there is more to do, if that is known.
    async fn carry_out_due(&self) -> Result<Option<Duration>, String> {
        let now = self.now();
        let due = IntentFilter { due_until: Some(now), limit: Some(PORTION), ..IntentFilter::default() };
        let found = self.storage.intents(&due).await.map_err(|error| error.to_string())?;
        let is_full = found.len() == PORTION;
        // Those of one stream in their order, many streams at once.
        let mut lanes: Vec<(StreamKey, Vec<(Intent, Claim)>)> = Vec::new();
        let left_alone = self.intents.leave_alone(&found, self.ownership.is_shared());
        for intent in found {
            if left_alone.contains(&intent.id) {
                continue;
            }
            let Some(claim) = self.intents.try_claim(intent.id) else { continue };
            match lanes.iter_mut().find(|(stream, _)| *stream == intent.stream) {
                Some((_, lane)) => lane.push((intent, claim)),
                None => lanes.push((intent.stream.clone(), vec![(intent, claim)])),
            }
        }
        let worked = !lanes.is_empty();
        stream::iter(lanes)
            .for_each_concurrent(STREAMS_AT_ONCE, |(_, lane)| async move {
                for (intent, _claim) in lane {
                    // Whoever had it until now may have done it.
                    match self.storage.intent(intent.id).await {
                        Ok(Some(still)) if still == intent => self.carry_out(&intent, None).await,
                        _ => {}
                    }
                }
            })
            .await;
        if is_full && worked {
            return Ok(Some(Duration::ZERO));
        }
        let next = IntentFilter { limit: Some(1), ..IntentFilter::default() };
        let next = self.storage.intents(&next).await.map_err(|error| error.to_string())?;
        let Some(next) = next.first() else { return Ok(None) };
        // An injected clock may go at its own pace: it is looked at often while something is scheduled.
        let until = time_of(next.due).duration_since(self.clock.now()).unwrap_or_default();
        Ok(Some(until.clamp(Duration::from_millis(5), self.clock.look_again())))
    }

    /// Carries out one intent. What fails is tried again later, or given up.
    ///
    /// In a box, because what is sent may be rejected, and the rejection is an intent again.
    pub(super) fn carry_out<'a>(&'a self, intent: &'a Intent, link: Option<&'a CascadeLink>) -> BoxFuture<'a, ()> {
        Box::pin(self.carry_out_once(intent, link))
    }

    async fn carry_out_once(&self, intent: &Intent, link: Option<&CascadeLink>) {
        let outcome = match intent.kind {
            IntentKind::Command | IntentKind::Fact => self.send_intent(intent, link).await,
            IntentKind::Notification => self.notify(intent, link).await.map(drop),
            IntentKind::Compensation => self.undo(intent).await.map(drop),
            IntentKind::Timeout => self.fire(intent).await,
        };
        let held = match outcome {
            Ok(()) => return,
            Err(Undelivered::Held(reason)) => reason,
            Err(Undelivered::Failed { reason, permanent }) => {
                let attempts = intent.attempts.saturating_add(1);
                telemetry::intent_failed(intent, attempts, &reason);
                let done = if permanent || attempts > self.reaction_attempts {
                    self.give_up(intent, &reason, attempts).await
                } else {
                    self.put_off(intent, attempts).await
                };
                match done {
                    Ok(()) => return,
                    Err(reason) => reason,
                }
            }
        };
        // It is still in the store, and comes again.
        telemetry::intent_held_back(intent, &held);
    }

    /// Tries it again later, unless it was settled or moved meanwhile (row K5: growing pauses).
    async fn put_off(&self, intent: &Intent, attempts: u32) -> Result<(), String> {
        let delay = self.reaction_delays().nth(attempts.saturating_sub(1) as usize).unwrap_or(self.reaction_backoff.1);
        let due = self.now().saturating_add(i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX));
        let again = Intent { due, attempts, ..intent.clone() };
        let settle = Settle { id: intent.id, due: intent.due };
        self.write_extras(Extras { intents: vec![again], settles: vec![settle], ..Extras::default() }).await?;
        self.intents.wake();
        Ok(())
    }

    async fn give_up(&self, intent: &Intent, reason: &str, attempts: u32) -> Result<(), String> {
        match intent.kind {
            IntentKind::Timeout => self.give_up_timeout(intent, reason, attempts).await,
            _ => self.give_up_delivery(intent, reason, attempts).await,
        }
    }

    /// Whether nothing that is due is left to do.
    pub(super) async fn intents_settled(&self) -> bool {
        let due = IntentFilter { due_until: Some(self.now()), limit: Some(1), ..IntentFilter::default() };
        let none_due = self.storage.intents(&due).await.is_ok_and(|due| due.is_empty());
        none_due && self.intents.claimed.lock().is_empty()
    }
}

impl Core {
    /// Puts the timeout of a letter back; it is due at once (row D2).
    pub(crate) async fn schedule_again(&self, letter: &DeadLetter, book: &proto::EventBook) -> Result<(), Error> {
        use proto::{CoverExt as _, EventPageExt as _};
        let unreadable = || Error::invalid_argument("dead letter", format!("{} holds no readable timeout", letter.id));
        let cover = book.cover.as_ref().ok_or_else(unreadable)?;
        let work = book.pages.first().and_then(|page| page.event()).ok_or_else(unreadable)?;
        let root = cover.root_bytes().map(Uuid::from_bytes).ok_or_else(unreadable)?;
        let stream = StreamKey {
            domain: Name::new(&cover.domain),
            edition: crate::command::edition_of(cover).name().clone(),
            root,
        };
        // Under its own id, so that its process can still move it or take it back.
        let id = super::plan::timeout_of(&stream, &work.value).ok_or_else(unreadable)?;
        let (kind, due) = (IntentKind::Timeout, self.now());
        let intent = Intent { id, kind, stream, due, attempts: 0, work: work.value.clone().into() };
        self.put_back(letter, intent).await
    }

    /// The work of a letter is to be done, and the letter is resolved; if it fails again, there is another one.
    pub(crate) async fn put_back(&self, letter: &DeadLetter, intent: Intent) -> Result<(), Error> {
        let component = letter.letter.source_component.clone();
        let message = |message| Error::Component { component, message };
        self.write_extras(Extras { intents: vec![intent], ..Extras::default() }).await.map_err(message)?;
        dead_letter::resolve(self, letter.id, Resolution::Retried { at: self.now() }).await?;
        self.intents.wake();
        Ok(())
    }
}

/// Namespace of the ids of intents that stand for a part of something.
pub(super) fn intent_id(parts: &[&[u8]]) -> Uuid {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(part);
        name.push(0);
    }
    Uuid::new_v5(&super::notification::INTENTS, &name)
}
