//! What the runtime holds of a stream whose owner is in another process: its history, in the form of today (rows N, U1).
//!
//! In: stored events, and the snapshot that they follow. Out: what the component is sent; a snapshot that it has made of it. Never: a
//! snapshot of what is not stored yet, or a failure of the command because there is none (row N4).

use std::any::Any;

use angzarr_proto as proto;
use prost::Message as _;
use proto::command_handler_service_client::CommandHandlerServiceClient;
use proto::{EventPageExt as _, TimestampExt as _};

use super::client::{ANSWER_BYTES, Client, HANDLER, Trouble};
use crate::command::event_page;
use crate::declare::{SnapshotCodec, State};
use crate::stream::{Retention, StoredEvent, StoredSnapshot, StreamKey, TraceContext};

/// The state of a component in another process, as far as it is known here: the events that it is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What the pages follow.
    pub(super) base: Option<proto::Snapshot>,
    pub(super) pages: Vec<proto::EventPage>,
    /// The base, where it was made just now and is not stored yet.
    fresh: Option<StoredSnapshot>,
}

/// The state is the component's, of a type that is known with the answer only: it is stored as the `Any` that it is.
pub(super) const REPLAYED: SnapshotCodec = SnapshotCodec {
    name: "replay",
    encode: |_| Err("its component makes its snapshots".to_owned()),
    decode: |bytes| {
        let state = prost_types::Any::decode(bytes).map_err(|error| error.to_string())?;
        let base = Some(proto::Snapshot { state: Some(state), ..Default::default() });
        Ok(Box::new(History { base, ..History::default() }))
    },
};

/// Events of one call at most, and about how many bytes.
const EVENTS: usize = 1_000;
const BYTES: usize = 2 << 20;

/// Streams whose snapshot was not to be had that are remembered.
const FAILED: usize = 4_096;

impl Client {
    /// Folds one event into the history. The framework's own notes are no business of the component.
    pub(crate) fn remember(&self, state: &mut State, event: &StoredEvent) {
        if let Some(history) = state.downcast_mut::<History>()
            && !event.type_name.starts_with("angzarr.")
        {
            history.pages.push(event_page(event));
        }
    }

    /// The place of the snapshot that a history begins with.
    pub(crate) fn begin_with(&self, state: &mut State, snapshot: &StoredSnapshot) {
        if let Some(base) = state.downcast_mut::<History>().and_then(|history| history.base.as_mut()) {
            base.sequence = snapshot.sequence;
            base.retention = snapshot.retention as i32;
            base.created_at = Some(prost_types::Timestamp::from_unix_nanos(snapshot.created_at));
        }
    }

    /// The snapshot that is to be stored.
    pub(crate) fn fresh_snapshot(&self, state: &(dyn Any + Send + Sync)) -> Option<StoredSnapshot> {
        state.downcast_ref::<History>().and_then(|history| history.fresh.clone())
    }

    /// Has the component replay a history that has grown by `every` events, and goes on with the state that it answers. `snapshot` is
    /// that snapshot but for its state, which holds all of the history.
    ///
    /// # Errors
    /// Why there is none: then the history stays as it was, and the stream is left alone for as many events.
    pub(crate) async fn condense(
        &self,
        key: &StreamKey,
        state: &mut State,
        snapshot: StoredSnapshot,
        every: u32,
        trace: Option<TraceContext>,
    ) -> Result<(), String> {
        let Some(history) = state.downcast_mut::<History>() else { return Ok(()) };
        let behind = history.base.as_ref().map_or(0, |base| base.sequence.saturating_add(1));
        let next = snapshot.sequence.saturating_add(1);
        if next.saturating_sub(behind) < every || self.failed_at(key).is_some_and(|at| next.saturating_sub(at) < every)
        {
            return Ok(());
        }
        match self.replayed(history, trace).await {
            Ok(state) => {
                let encoded = state.encode_to_vec();
                let fresh = StoredSnapshot { state: encoded.into(), ..snapshot };
                history.base = Some(proto::Snapshot {
                    sequence: fresh.sequence,
                    state: Some(state),
                    retention: Retention::Default as i32,
                    created_at: Some(prost_types::Timestamp::from_unix_nanos(fresh.created_at)),
                });
                history.pages.clear();
                history.fresh = Some(fresh);
                Ok(())
            }
            Err(reason) => {
                let mut failed = self.failed_snapshots().lock();
                if failed.len() >= FAILED {
                    failed.clear(); // they are tried once too often
                }
                failed.insert(key.clone(), next);
                Err(reason)
            }
        }
    }

    /// A stream is not left alone any longer: what was in the way is gone.
    pub(crate) fn try_again(&self, key: &StreamKey) {
        self.failed_snapshots().lock().remove(key);
    }

    /// Where a snapshot of a stream was not to be had.
    fn failed_at(&self, key: &StreamKey) -> Option<u32> {
        self.failed_snapshots().lock().get(key).copied()
    }

    /// The state behind the whole history, in portions that a component can take.
    async fn replayed(&self, history: &History, trace: Option<TraceContext>) -> Result<prost_types::Any, String> {
        let mut base = history.base.clone();
        let mut rest = history.pages.as_slice();
        loop {
            let mut bytes = 0;
            let fits = |page: &&proto::EventPage| {
                bytes += page.encoded_len();
                bytes <= BYTES
            };
            let count = rest.iter().take(EVENTS).take_while(fits).count().max(1).min(rest.len());
            let (portion, later) = rest.split_at(count);
            let request = proto::ReplayRequest { base_snapshot: base, events: portion.to_vec() };
            let answer = self
                .call((HANDLER, "Replay"), trace, request, |channel, request| async move {
                    let mut client = CommandHandlerServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
                    client.replay(request).await
                })
                .await
                .map_err(|trouble| match trouble {
                    Trouble::OutOfReach(reason) | Trouble::NotOffered(reason) => reason,
                    Trouble::Refused(status) => {
                        let (name, address) = (self.name(), self.address());
                        format!("`{name}` at {address} failed: {:?}: {}", status.code(), status.message())
                    }
                })?;
            let state = answer
                .state
                .filter(|state| !proto::type_name_of(&state.type_url).is_empty())
                .ok_or_else(|| format!("`{}` at {} answered no state", self.name(), self.address()))?;
            if later.is_empty() {
                return Ok(state);
            }
            let sequence = portion.last().and_then(|page| page.sequence()).unwrap_or_default();
            base = Some(proto::Snapshot { sequence, state: Some(state), ..Default::default() });
            rest = later;
        }
    }
}
