//! Who of the processes that share a store does what (row R5).
//!
//! In: the leases of the store. Out: for each share of a component's work, whether this process may do it now. Never: a share
//! that two may work on at a time; whoever cannot renew in time stops before another may begin.
//!
//! A *share* is a partition of a saga or process manager, a whole projector, the relay, or the carrying out of intents. Each
//! process tells by a lease of its own that it lives, and takes its fair part of the shares: as many as there are shares for each
//! living process. Who has more gives back, after finishing the batch at hand.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::command::Core;
use crate::storage::{Leases, StorageError};
use crate::stream::{Headers, Name, StreamKey};
use crate::telemetry;

/// The relay's share.
pub(crate) const RELAY: &str = "angzarr.relay";
/// The share of carrying out intents.
pub(crate) const INTENTS: &str = "angzarr.intents";
/// The checkpoint that holds how many partitions a store's sagas and process managers have.
pub(crate) const PARTITIONS: &str = "angzarr.partitions";
/// Why a batch stops in the middle.
pub(super) const TAKEN_OVER: &str = "this process does not have the share any more; whoever has it goes on";
/// The lease by which a process says that it lives.
const ALIVE: &str = "angzarr.process/";

/// What this process may work on.
pub(crate) struct Ownership {
    /// `None` where it has the store to itself.
    shared: Option<Shared>,
    changed: watch::Sender<()>,
}

struct Shared {
    me: Uuid,
    partitions: u32,
    time: Duration,
    state: Mutex<State>,
}

struct State {
    /// Every share that there is.
    all: Vec<Name>,
    held: BTreeSet<Name>,
    /// Of those the ones that are to be given back when nobody works on them any more.
    leaving: BTreeSet<Name>,
    /// The leases are good until then, with a margin.
    until: Instant,
}

impl Ownership {
    /// Everything is this process's.
    pub(crate) fn whole() -> Self {
        Self { shared: None, changed: watch::Sender::new(()) }
    }

    /// Nothing is, before it was taken.
    pub(crate) fn shared(partitions: u32, time: Duration) -> Self {
        let state = State { all: Vec::new(), held: BTreeSet::new(), leaving: BTreeSet::new(), until: Instant::now() };
        let shared = Shared { me: Uuid::new_v4(), partitions: partitions.max(1), time, state: Mutex::new(state) };
        Self { shared: Some(shared), changed: watch::Sender::new(()) }
    }

    /// Whether other processes may be at work on the same store.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// By what other processes know this one.
    pub(crate) fn me(&self) -> Option<Uuid> {
        self.shared.as_ref().map(|shared| shared.me)
    }

    pub(crate) fn is_me(&self, process: Uuid) -> bool {
        self.me() == Some(process)
    }

    /// Into how many partitions the work of sagas and process managers is divided.
    pub(crate) fn partitions(&self) -> u32 {
        self.shared.as_ref().map_or(1, |shared| shared.partitions)
    }

    /// The partition of a stream.
    pub(crate) fn partition_of(&self, key: &StreamKey) -> u32 {
        self.place([key.domain.as_bytes(), key.edition.as_bytes(), key.root.as_bytes()])
    }

    /// The partition of a process: it has one owner, wherever its triggers come from (row P4).
    pub(crate) fn partition_of_process(&self, key: &StreamKey, headers: &Headers) -> u32 {
        self.place([key.edition.as_bytes(), headers.correlation_id().as_bytes(), &[]])
    }

    /// The same on every machine and in every version: checkpoints depend on it (FNV-1a).
    fn place(&self, parts: [&[u8]; 3]) -> u32 {
        let partitions = self.partitions();
        if partitions == 1 {
            return 0;
        }
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for part in parts {
            for byte in part.iter().chain(&[0xff]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        // The high bits are better mixed than the low ones.
        u32::try_from((hash >> 32) % u64::from(partitions)).unwrap_or(0)
    }

    /// Whether this process may work on a share now.
    pub(crate) fn has(&self, share: &str) -> bool {
        let Some(shared) = &self.shared else { return true };
        let state = shared.state.lock();
        Instant::now() < state.until && state.held.contains(share) && !state.leaving.contains(share)
    }

    /// The same for a partition of a saga's or process manager's work.
    pub(crate) fn has_partition(&self, component: &'static str, partition: u32) -> bool {
        !self.is_shared() || self.has(&self.share_of(component, partition))
    }

    /// What the share of a partition is called, and its checkpoint.
    pub(crate) fn share_of(&self, component: &'static str, partition: u32) -> Name {
        match self.partitions() {
            1 => Name::from_static(component),
            _ => Name::from(format!("{component}/{partition}")),
        }
    }

    /// Who works on a share has stopped, or never began.
    pub(crate) fn left(&self, share: &str) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock();
        if state.leaving.remove(share) {
            state.held.remove(share);
            drop(state);
            self.changed.send_replace(());
        }
    }

    /// Tells when something was taken or has to be given back.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Says which shares there are.
    pub(crate) fn divide(&self, shares: Vec<Name>) {
        if let Some(shared) = &self.shared {
            shared.state.lock().all = shares;
        }
    }
}

impl Shared {
    /// Renews what is held, and takes or gives back what is fair.
    async fn round(&self, leases: &dyn Leases) -> Result<bool, StorageError> {
        let alive = format!("{ALIVE}{}", self.me);
        let mine: Vec<Name> = self.state.lock().held.iter().cloned().collect();
        let mut names = vec![alive];
        names.extend(mine.iter().map(Name::to_string));
        // Counted from before the question: the store may have answered later than it renewed.
        let began = Instant::now();
        let answers = leases.hold(self.me, &names, self.time).await?;
        let lost: Vec<&Name> =
            mine.iter().zip(answers.iter().skip(1)).filter(|(_, kept)| !**kept).map(|(it, _)| it).collect();
        let mut changed = !lost.is_empty();
        {
            let mut state = self.state.lock();
            state.until = began + self.time * 3 / 4;
            for name in lost {
                telemetry::share_lost(name);
                state.held.remove(name);
                state.leaving.remove(name);
            }
        }
        let held = leases.list().await?;
        let processes = held.iter().filter(|lease| lease.name.starts_with(ALIVE)).count().max(1);
        let wanted = {
            let mut state = self.state.lock();
            let fair = state.all.len().div_ceil(processes);
            let staying: Vec<Name> = state.held.difference(&state.leaving).cloned().collect();
            if staying.len() > fair {
                // Those at the end: which ones does not matter.
                state.leaving.extend(staying.into_iter().skip(fair));
                changed = true;
                Vec::new()
            } else {
                let is_free = |name: &&Name| {
                    !state.held.contains(*name)
                        && !held.iter().any(|lease| lease.name == ***name && lease.holder != self.me)
                };
                let free: Vec<String> = state.all.iter().filter(is_free).map(Name::to_string).collect();
                // Processes that come at once begin at different places.
                let start = usize::from(self.me.as_bytes()[0]) % free.len().max(1);
                free.iter().cycle().skip(start).take(free.len().min(fair - staying.len())).cloned().collect()
            }
        };
        if !wanted.is_empty() {
            let began = Instant::now();
            let answers = leases.hold(self.me, &wanted, self.time).await?;
            let mut state = self.state.lock();
            state.until = state.until.min(began + self.time * 3 / 4);
            for (name, _) in wanted.iter().zip(answers).filter(|(_, taken)| *taken) {
                telemetry::share_taken(name);
                state.held.insert(Name::new(name));
                changed = true;
            }
        }
        Ok(changed)
    }

    /// Gives back what nobody works on any more.
    async fn release(&self, leases: &dyn Leases, given_back: &mut BTreeSet<Name>) -> Result<(), StorageError> {
        if given_back.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = given_back.iter().map(Name::to_string).collect();
        leases.release(self.me, &names).await?;
        for name in std::mem::take(given_back) {
            telemetry::share_given_back(&name);
        }
        Ok(())
    }
}

impl Core {
    /// Takes shares for the first time, so that a process that is alone begins at once.
    pub(crate) async fn take_first_shares(&self) -> Result<(), StorageError> {
        if let (Some(shared), Some(leases)) = (&self.ownership.shared, self.storage.leases()) {
            shared.round(leases).await?;
        }
        Ok(())
    }

    /// Keeps what this process has, and takes over what the dead have left, until the stop signal. Then, when everybody has
    /// stopped, gives everything back.
    pub(crate) async fn keep_shares(&self, mut stop: watch::Receiver<bool>) {
        let (Some(shared), Some(leases)) = (&self.ownership.shared, self.storage.leases()) else { return };
        let mut changed = self.ownership.changes();
        let mut before: BTreeSet<Name> = BTreeSet::new();
        let mut given_back = BTreeSet::new();
        loop {
            changed.borrow_and_update();
            let held = shared.state.lock().held.clone();
            given_back.extend(before.difference(&held).cloned());
            given_back.retain(|name| !held.contains(name));
            let round = async {
                shared.release(leases, &mut given_back).await?;
                shared.round(leases).await
            };
            match round.await {
                Ok(true) => self.ownership.changed.send_replace(()),
                Ok(false) => {}
                Err(error) => telemetry::shares_in_doubt(&error),
            }
            before = shared.state.lock().held.clone();
            changed.borrow_and_update();
            if *stop.borrow() {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(shared.time / 4) => {}
                // Something was given back: others should not have to wait for it.
                _ = changed.changed() => {}
                _ = stop.changed() => break,
            }
        }
    }

    /// The end of this process's part: others take over at once.
    pub(crate) async fn give_back_shares(&self) {
        let (Some(shared), Some(leases)) = (&self.ownership.shared, self.storage.leases()) else { return };
        let held = std::mem::take(&mut shared.state.lock().held);
        let mut names: Vec<String> = held.iter().map(Name::to_string).collect();
        names.push(format!("{ALIVE}{}", shared.me));
        if let Err(error) = leases.release(shared.me, &names).await {
            // They run out by themselves.
            telemetry::shares_in_doubt(&error);
        }
    }
}
