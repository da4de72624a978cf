//! Load: snapshot and events become a state (rows T, N, U1, B1, B2).
//!
//! In: a stream and a point in its time. Out: the state at that point, equal to a plain replay of every event. Never: a
//! write.

use smallvec::SmallVec;

use super::decide::COMPLETED;
use super::pipeline::Core;
use super::snapshot;
use super::state_cache::UNWEIGHED;
use crate::declare::{SnapshotPolicy, State};
use crate::error::{Error, Result, Subject};
use crate::registry::{Aggregate, Registry};
use crate::storage::{StreamRead, StreamSlice};
use crate::stream::upcast::{UpcastError, Upcasted};
use crate::stream::{AsOf, Edition, Name, Nanos, StoredEvent, StoredSnapshot, StreamKey};
use crate::telemetry;

/// A state with what the next append needs to know.
pub(crate) struct Loaded {
    pub(crate) state: State,
    /// The stream's next sequence at the point of the load.
    pub(crate) next_sequence: u32,
    /// `created_at` of the last event.
    pub(crate) last_created_at: Nanos,
    /// For a stream of an edition that nothing was stored on yet: where it leaves the main timeline.
    pub(crate) diverges_at: Option<u32>,
    /// The process manager has said that it is over (row P7). No snapshot is taken from then on, so that a replay always
    /// comes across the note.
    pub(crate) complete: bool,
    /// Bytes that were folded into the state: payloads of events, and the snapshot that it began with.
    pub(crate) folded_bytes: u64,
    /// Number of those bytes at which the state is weighed again.
    pub(crate) weigh_at: u64,
    /// It is only what another process is asked with: never kept.
    pub(crate) is_history: bool,
}

/// What is stored of a stream up to a point, in order: what it inherits from main, then its own.
pub(crate) struct Past {
    /// The state to begin with, and where it comes from.
    pub(crate) snapshot: Option<(State, StoredSnapshot)>,
    /// Events behind the snapshot, with the stream that they are stored in.
    pub(crate) parts: SmallVec<[(StreamKey, Vec<StoredEvent>); 1]>,
    /// The stream's next sequence at the point.
    pub(crate) next_sequence: u32,
    /// For a stream of an edition that nothing was stored on yet: where it leaves the main timeline.
    pub(crate) diverges_at: Option<u32>,
}

impl Core {
    /// The state of a stream as of a point.
    pub(crate) async fn load(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        edition: &Edition,
        as_of: AsOf,
    ) -> Result<Loaded> {
        if as_of == AsOf::Head
            && let Some(loaded) = self.beside_main(aggregate, key, edition).await?
        {
            telemetry::at_hand(key, loaded.next_sequence);
            return Ok(loaded);
        }
        self.load_from(aggregate, key, edition, as_of, aggregate.descriptor.snapshot.as_ref()).await
    }

    /// The same from the store, without snapshots where there is no policy.
    pub(super) async fn load_from(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        edition: &Edition,
        as_of: AsOf,
        policy: Option<&SnapshotPolicy>,
    ) -> Result<Loaded> {
        let past = self.past(aggregate, key, edition, as_of, policy).await?;
        let snapshot = past.snapshot.as_ref().map(|(_, snapshot)| snapshot.sequence);
        let events = past.parts.iter().map(|(_, events)| events.len()).sum();
        let loaded = self.fold(aggregate, key, past).await?;
        telemetry::folded(key, snapshot, events, loaded.next_sequence);
        Ok(loaded)
    }

    /// A branch that has nothing of its own yet begins with the state that main has at hand, if it leaves main right there (rows B1,
    /// B2). Whoever works on main is not waited for.
    async fn beside_main(&self, aggregate: &Aggregate, key: &StreamKey, edition: &Edition) -> Result<Option<Loaded>> {
        let Some(clone) = aggregate.descriptor.clone_state.filter(|_| !key.is_main()) else { return Ok(None) };
        let main = key.on_main();
        let at_hand = |at: Option<u32>| {
            let slot = self.cache.slot(&main);
            let guard = slot.state.try_lock().ok()?;
            let loaded = guard.as_ref().filter(|loaded| at.is_none_or(|at| loaded.next_sequence == at))?;
            Some(at.map(|at| Loaded {
                state: clone(loaded.state.as_ref()),
                last_created_at: loaded.last_created_at,
                diverges_at: Some(at),
                complete: loaded.complete,
                folded_bytes: loaded.folded_bytes,
                next_sequence: at,
                ..Loaded::new(aggregate)
            }))
        };
        if at_hand(None).is_none() {
            return Ok(None);
        }
        let tail = StreamRead { from: u32::MAX, ..StreamRead::all() };
        let own = self.storage.read_stream(key, tail).await?;
        if own.next_sequence > 0 || own.diverged_at.is_some() {
            return Ok(None);
        }
        let head = self.head(&main).await?;
        // One that cannot be is told where every other one is.
        let at = edition.divergence(&key.domain).unwrap_or(head);
        Ok(if at > head { None } else { at_hand(Some(at)).flatten() })
    }

    /// Reads a stream up to a point. An edition's own events follow on what it inherits from main (rows B1, B2). A snapshot
    /// is used only if it can be decoded (row N4); without a policy none is.
    pub(crate) async fn past(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        edition: &Edition,
        as_of: AsOf,
        policy: Option<&SnapshotPolicy>,
    ) -> Result<Past> {
        let (to, until) = match as_of {
            AsOf::Head => (None, None),
            AsOf::Sequence(to) => (Some(to), None),
            AsOf::Time(until) => (None, Some(until)),
        };
        let read = StreamRead { to, until, ..StreamRead::all() };
        let mut past = self.part(aggregate, key, edition, read, policy).await?;
        if as_of != AsOf::Head {
            let last = past.parts.iter().rev().find_map(|(_, events)| events.last()).map(|event| event.sequence);
            let last = last.or(past.snapshot.as_ref().map(|(_, snapshot)| snapshot.sequence));
            past.next_sequence = last.map_or(0, |last| last + 1);
        }
        Ok(past)
    }

    /// A part of a stream, inherited events included. The next sequence is that of the whole stream.
    pub(crate) async fn part(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        edition: &Edition,
        read: StreamRead,
        policy: Option<&SnapshotPolicy>,
    ) -> Result<Past> {
        let (snapshot, own) = self.read(aggregate, key, read.clone(), policy).await?;
        let mut past = Past { snapshot, parts: SmallVec::new(), next_sequence: own.next_sequence, diverges_at: None };
        if !key.is_main() {
            self.check_divergence(key, edition, own.diverged_at)?;
            let stored = own.diverged_at.or((own.next_sequence > 0).then_some(0));
            if past.snapshot.is_none() && stored != Some(0) {
                self.inherit(aggregate, key, edition, stored, read, policy, &mut past).await?;
            }
        }
        past.parts.push((key.clone(), own.events));
        Ok(past)
    }

    /// A stream leaves the main timeline once (row B7).
    fn check_divergence(&self, key: &StreamKey, edition: &Edition, stored: Option<u32>) -> Result<()> {
        match (stored, edition.divergence(&key.domain)) {
            (Some(stored), Some(wanted)) if wanted != stored => Err(Error::invalid_argument(
                "cover.edition.divergences",
                format!("{key} left the main timeline at {stored}; it cannot leave it at {wanted} as well"),
            )),
            _ => Ok(()),
        }
    }

    /// What a stream of an edition has of main: everything before the place where it left, or would leave now.
    #[allow(clippy::too_many_arguments)]
    async fn inherit(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        edition: &Edition,
        stored: Option<u32>,
        read: StreamRead,
        policy: Option<&SnapshotPolicy>,
        past: &mut Past,
    ) -> Result<()> {
        let main = key.on_main();
        let at = match stored.or_else(|| edition.divergence(&key.domain)) {
            Some(at) => at,
            // Nothing is stored of it yet: it goes on where main is.
            None => self.head(&main).await?,
        };
        if stored.is_none() {
            let head = if edition.divergence(&key.domain).is_some() { self.head(&main).await? } else { at };
            if at > head {
                return Err(Error::invalid_argument(
                    "cover.edition.divergences",
                    format!("{main} has {head} events; an edition cannot leave it at {at}"),
                ));
            }
            past.diverges_at = Some(at);
            past.next_sequence = at;
        }
        let Some(before) = at.checked_sub(1) else { return Ok(()) };
        let read = StreamRead { to: Some(read.to.map_or(before, |to| to.min(before))), ..read };
        if read.to < Some(read.from) {
            return Ok(()); // a part behind the place where it left
        }
        let (snapshot, inherited) = self.read(aggregate, &main, read, policy).await?;
        past.snapshot = snapshot;
        past.parts.push((main, inherited.events));
        Ok(())
    }

    /// The next sequence of a stream.
    pub(super) async fn head(&self, key: &StreamKey) -> Result<u32> {
        let none = StreamRead { from: u32::MAX, ..StreamRead::all() };
        Ok(self.storage.read_stream(key, none).await?.next_sequence)
    }

    /// One part of a past, with its snapshot decoded.
    async fn read(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        mut read: StreamRead,
        policy: Option<&SnapshotPolicy>,
    ) -> Result<(Option<(State, StoredSnapshot)>, StreamSlice)> {
        let Some(policy) = policy else { return Ok((None, self.storage.read_stream(key, read).await?)) };
        let wanted = (aggregate.snapshot_type.clone(), aggregate.descriptor.state_version);
        read.snapshot = Some(wanted);
        let mut slice = self.storage.read_stream(key, read.clone()).await?;
        if let Some(sequence) = slice.foreign_snapshot {
            let version = aggregate.descriptor.state_version;
            tracing::warn!(stream = %key, sequence, version, "snapshot ignored: it is of another state or version");
        }
        let Some(snapshot) = slice.snapshot.take() else { return Ok((None, slice)) };
        let sequence = snapshot.sequence;
        let error = if sequence < slice.next_sequence {
            match snapshot::decode(&policy.codec, &snapshot.state) {
                Ok(state) => return Ok((Some((state, snapshot)), slice)),
                Err(error) => error,
            }
        } else {
            format!("the stream has {} events", slice.next_sequence)
        };
        tracing::warn!(stream = %key, sequence, error, "snapshot ignored: unreadable");
        read.snapshot = None;
        Ok((None, self.storage.read_stream(key, read).await?))
    }

    async fn fold(&self, aggregate: &Aggregate, key: &StreamKey, past: Past) -> Result<Loaded> {
        let mut loaded = Loaded { diverges_at: past.diverges_at, ..Loaded::new(aggregate) };
        if let Some((state, snapshot)) = past.snapshot {
            loaded.state = state;
            if let Some(remote) = &aggregate.remote {
                remote.begin_with(&mut loaded.state, &snapshot);
            }
            loaded.next_sequence = snapshot.sequence + 1;
            loaded.last_created_at = snapshot.created_at;
            loaded.folded_bytes = snapshot.state.len() as u64;
        }
        for (key, events) in past.parts {
            match self.all_today(&key, &events).await? {
                None => self.registry.fold(aggregate, &key, &mut loaded, events)?,
                Some(today) => {
                    for (event, today) in events.iter().zip(today) {
                        self.registry.fold_one(aggregate, &key, &mut loaded, event, today)?;
                    }
                }
            }
        }
        if loaded.next_sequence != past.next_sequence {
            return Err(hole(key, loaded.next_sequence, past.next_sequence));
        }
        Ok(loaded)
    }

    /// A stored event as it is today, whoever knows that (row U1).
    pub(crate) async fn today(&self, key: &StreamKey, event: StoredEvent) -> Result<Upcasted> {
        match self.all_today(key, std::slice::from_ref(&event)).await?.and_then(|mut all| all.pop()) {
            Some(today) => Ok(today),
            None => self.upcast(key, event),
        }
    }

    /// The same for events of one stream at once; `None` where nobody elsewhere has to be asked.
    async fn all_today(&self, key: &StreamKey, events: &[StoredEvent]) -> Result<Option<Vec<Upcasted>>> {
        match self.registry.elsewhere.get(key.domain.as_str()) {
            // Boxed: a call is a large future, and every load would carry the room for one.
            Some(Some((upcaster, _))) => Ok(Some(Box::pin(upcaster.upcast(key, events)).await?)),
            _ => Ok(None),
        }
    }

    /// Brings a stored event to the version that the program knows (row U1).
    pub(crate) fn upcast(&self, key: &StreamKey, event: StoredEvent) -> Result<Upcasted> {
        self.registry.upcast(key, event)
    }
}

// What needs no store: a client that has the domain linked folds what it is sent the same way.
impl Registry {
    /// Folds the next events of a stream, in order, without a hole.
    pub(crate) fn fold(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        loaded: &mut Loaded,
        events: Vec<StoredEvent>,
    ) -> Result<()> {
        for event in events {
            self.count(key, loaded, &event)?;
            self.apply_stored(aggregate, key, &mut loaded.state, event)?;
        }
        Ok(())
    }

    /// The same for one event that is known as it is today.
    fn fold_one(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        loaded: &mut Loaded,
        event: &StoredEvent,
        today: Upcasted,
    ) -> Result<()> {
        self.count(key, loaded, event)?;
        self.apply_today(aggregate, key, &mut loaded.state, today)
    }

    /// The place of an event: behind the one before it.
    fn count(&self, key: &StreamKey, loaded: &mut Loaded, event: &StoredEvent) -> Result<()> {
        if event.sequence != loaded.next_sequence {
            return Err(hole(key, loaded.next_sequence, event.sequence));
        }
        loaded.next_sequence += 1;
        loaded.last_created_at = event.created_at;
        loaded.folded_bytes += event.payload.len() as u64;
        loaded.complete |= event.type_name == COMPLETED;
        Ok(())
    }

    /// Folds one stored event, upcast, into a state.
    pub(crate) fn apply_stored(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        state: &mut State,
        event: StoredEvent,
    ) -> Result<()> {
        self.apply_today(aggregate, key, state, self.upcast(key, event)?)
    }

    fn apply_today(&self, aggregate: &Aggregate, key: &StreamKey, state: &mut State, today: Upcasted) -> Result<()> {
        for event in today {
            if let Some(remote) = &aggregate.remote {
                remote.remember(state, &event);
                continue;
            }
            let Some(apply) = aggregate.appliers.get(&event.type_name) else {
                if event.type_name.starts_with("angzarr.") {
                    continue; // the framework's own notes in a stream are no business of the state
                }
                return Err(unreadable(
                    key,
                    event.sequence,
                    &event.type_name,
                    format!(
                        "`{}` has no `#[apply]` for it; a program that stored it had one",
                        aggregate.descriptor.name
                    ),
                ));
            };
            let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                (apply.apply)(state.as_mut(), &event.payload)
            }));
            match applied {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(unreadable(key, event.sequence, &event.type_name, error.to_string())),
                Err(_) => {
                    return Err(unreadable(
                        key,
                        event.sequence,
                        &event.type_name,
                        format!("its `#[apply]` at {} panicked", apply.location),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Brings a stored event to the version that the program knows (row U1).
    fn upcast(&self, key: &StreamKey, event: StoredEvent) -> Result<Upcasted> {
        // Its versions are the business of its owner, unless somebody here has said more about it.
        if !self.elsewhere.is_empty()
            && self.elsewhere.contains_key(key.domain.as_str())
            && !self.upcasters.know(&event.type_name)
        {
            return Ok(Upcasted::Same(event));
        }
        let (sequence, type_name) = (event.sequence, event.type_name.clone());
        self.upcasters.upcast(event).map_err(|error| match error {
            UpcastError::TooNew { stored, known } => Error::SchemaTooNew {
                stream: Box::new(key.clone()),
                sequence,
                type_name: type_name.to_string(),
                stored,
                known,
                subject: Subject::default(),
            },
            UpcastError::Undecodable(error) => unreadable(key, sequence, &type_name, error.to_string()),
            UpcastError::Panicked { upcaster, text } => {
                let message = format!("the upcaster `{}` at {} panicked: {text}", upcaster.function, upcaster.location);
                unreadable(key, sequence, &type_name, message)
            }
        })
    }
}

/// A state that leaves out an event is wrong: better none.
fn hole(key: &StreamKey, from: u32, to: u32) -> Error {
    let message = format!("the event is missing: the store goes on at {to}");
    unreadable(key, from, &Name::from_static("unknown"), message)
}

fn unreadable(stream: &StreamKey, sequence: u32, type_name: &Name, message: String) -> Error {
    Error::UnreadableEvent {
        stream: Box::new(stream.clone()),
        sequence,
        type_name: type_name.to_string(),
        message,
        subject: Subject::default(),
    }
}

impl Loaded {
    /// The state before the first event.
    pub(crate) fn new(aggregate: &Aggregate) -> Self {
        Self {
            state: (aggregate.descriptor.new_state)(),
            next_sequence: 0,
            last_created_at: Nanos::MIN,
            diverges_at: None,
            complete: false,
            folded_bytes: 0,
            weigh_at: UNWEIGHED,
            is_history: aggregate.remote.is_some(),
        }
    }

    /// What may stay in the cache: a state that nothing has touched, and whose place on the timeline is stored. Where a
    /// branch begins is only fixed by its first event (row B1).
    pub(crate) fn kept_if(self, untouched: bool) -> Option<Self> {
        (untouched && self.diverges_at.is_none() && !self.is_history).then_some(self)
    }
}
