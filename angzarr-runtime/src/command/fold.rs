//! Load: snapshot and events become a state (rows T, N, U1, B1, B2).
//!
//! In: a stream and a point in its time. Out: the state at that point, equal to a plain replay of every event. Never: a
//! write.

use super::pipeline::Core;
use super::snapshot;
use super::state_cache::UNWEIGHED;
use crate::declare::State;
use crate::error::{Error, Result, Subject};
use crate::registry::Aggregate;
use crate::storage::{StreamRead, StreamSlice};
use crate::stream::upcast::{UpcastError, Upcasted};
use crate::stream::{AsOf, Edition, Name, Nanos, StoredEvent, StreamKey};

/// A state with what the next append needs to know.
pub(crate) struct Loaded {
    pub(crate) state: State,
    /// The stream's next sequence at the point of the load.
    pub(crate) next_sequence: u32,
    /// `created_at` of the last event.
    pub(crate) last_created_at: Nanos,
    /// For a stream of an edition that nothing was stored on yet: where it leaves the main timeline.
    pub(crate) diverges_at: Option<u32>,
    /// Bytes that were folded into the state: payloads of events, and the snapshot that it began with.
    pub(crate) folded_bytes: u64,
    /// Number of those bytes at which the state is weighed again.
    pub(crate) weigh_at: u64,
}

impl Core {
    /// The state of a stream as of a point. An edition's own events follow on what it inherits from main.
    pub(crate) async fn load(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        edition: &Edition,
        as_of: AsOf,
    ) -> Result<Loaded> {
        if key.is_main() {
            return self.load_from(aggregate, key, None, as_of).await;
        }
        let own = self.storage.read_stream(key, StreamRead { to: Some(0), ..StreamRead::all() }).await?;
        let wanted = edition.divergence(&key.domain);
        if let Some(diverged_at) = own.diverged_at {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != diverged_at) {
                return Err(Error::invalid_argument(
                    "cover.edition.divergences",
                    format!("{key} left the main timeline at {diverged_at}; it cannot leave it at {wanted} as well"),
                ));
            }
            let inherited = self.load_main_before(aggregate, key, diverged_at, as_of).await?;
            return self.load_from(aggregate, key, Some(inherited), as_of).await;
        }
        let main_key = key.on_main();
        let head = self.storage.read_stream(&main_key, StreamRead { to: Some(0), ..StreamRead::all() }).await?;
        let diverges_at = wanted.unwrap_or(head.next_sequence);
        if diverges_at > head.next_sequence {
            return Err(Error::invalid_argument(
                "cover.edition.divergences",
                format!("{main_key} has {} events; an edition cannot leave it at {diverges_at}", head.next_sequence),
            ));
        }
        let mut loaded = self.load_main_before(aggregate, key, diverges_at, as_of).await?;
        loaded.diverges_at = Some(diverges_at);
        Ok(loaded)
    }

    async fn load_main_before(&self, aggregate: &Aggregate, key: &StreamKey, n: u32, as_of: AsOf) -> Result<Loaded> {
        let main_key = key.on_main();
        match (n, as_of) {
            (0, _) => Ok(Loaded::new(aggregate)),
            (_, AsOf::Head) => self.load_from(aggregate, &main_key, None, AsOf::Sequence(n - 1)).await,
            (_, AsOf::Sequence(to)) => self.load_from(aggregate, &main_key, None, AsOf::Sequence(to.min(n - 1))).await,
            (_, AsOf::Time(until)) => {
                let read = StreamRead { to: Some(n - 1), until: Some(until), ..StreamRead::all() };
                let slice = self.storage.read_stream(&main_key, read).await?;
                self.fold(aggregate, &main_key, Loaded::new(aggregate), slice, true)
            }
        }
    }

    async fn load_from(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        base: Option<Loaded>,
        as_of: AsOf,
    ) -> Result<Loaded> {
        let past = as_of != AsOf::Head;
        let mut read = match as_of {
            AsOf::Head => StreamRead::all(),
            AsOf::Sequence(to) => StreamRead { to: Some(to), ..StreamRead::all() },
            AsOf::Time(until) => StreamRead { until: Some(until), ..StreamRead::all() },
        };
        let base_next = base.as_ref().map_or(0, |base| base.next_sequence);
        read.from = base_next;
        if let Some(policy) = &aggregate.descriptor.snapshot {
            read.snapshot = Some((aggregate.snapshot_type.clone(), aggregate.descriptor.state_version));
            let mut slice = self.storage.read_stream(key, read.clone()).await?;
            let Some(snapshot) = slice.snapshot.take() else {
                return self.fold(aggregate, key, base.unwrap_or_else(|| Loaded::new(aggregate)), slice, past);
            };
            match snapshot::decode(&policy.codec, &snapshot.state) {
                Ok(state) => {
                    let from = Loaded {
                        state,
                        next_sequence: snapshot.sequence + 1,
                        last_created_at: snapshot.created_at,
                        folded_bytes: snapshot.state.len() as u64,
                        ..Loaded::new(aggregate)
                    };
                    return self.fold(aggregate, key, from, slice, past);
                }
                Err(error) => {
                    tracing::warn!(stream = %key, sequence = snapshot.sequence, error, "snapshot ignored: unreadable");
                }
            }
            read.snapshot = None;
        }
        let slice = self.storage.read_stream(key, read).await?;
        self.fold(aggregate, key, base.unwrap_or_else(|| Loaded::new(aggregate)), slice, past)
    }

    fn fold(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        mut loaded: Loaded,
        slice: StreamSlice,
        past: bool,
    ) -> Result<Loaded> {
        for event in slice.events {
            let (sequence, created_at) = (event.sequence, event.created_at);
            loaded.folded_bytes += event.payload.len() as u64;
            self.apply_stored(aggregate, key, &mut loaded.state, event)?;
            loaded.next_sequence = sequence + 1;
            loaded.last_created_at = created_at;
        }
        if !past && loaded.next_sequence < slice.next_sequence {
            // The store's last events are all there is behind the snapshot: it knows better than we do.
            loaded.next_sequence = slice.next_sequence;
            loaded.last_created_at = loaded.last_created_at.max(slice.last_created_at);
        }
        Ok(loaded)
    }

    /// Folds one stored event, upcast, into a state.
    pub(crate) fn apply_stored(
        &self,
        aggregate: &Aggregate,
        key: &StreamKey,
        state: &mut State,
        event: StoredEvent,
    ) -> Result<()> {
        for event in self.upcast(key, event)? {
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
    pub(crate) fn upcast(&self, key: &StreamKey, event: StoredEvent) -> Result<Upcasted> {
        let (sequence, type_name) = (event.sequence, event.type_name.clone());
        self.registry.upcasters.upcast(event).map_err(|error| match error {
            UpcastError::TooNew { stored, known } => Error::SchemaTooNew {
                stream: key.clone(),
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

fn unreadable(stream: &StreamKey, sequence: u32, type_name: &Name, message: String) -> Error {
    Error::UnreadableEvent {
        stream: stream.clone(),
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
            folded_bytes: 0,
            weigh_at: UNWEIGHED,
        }
    }

    /// What may stay in the cache: a state that nothing has touched, and whose place on the timeline is stored. Where a
    /// branch begins is only fixed by its first event (row B1).
    pub(crate) fn kept_if(self, untouched: bool) -> Option<Self> {
        (untouched && self.diverges_at.is_none()).then_some(self)
    }
}
