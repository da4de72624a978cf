//! Snapshots that an operator asks for (row N2).

use std::sync::Arc;

use uuid::Uuid;

use super::Runtime;
use crate::command::{Core, encode_state};
use crate::declare::Aggregate;
use crate::error::{Error, Result};
use crate::storage::{Extras, SnapshotWrite, Write, WriteError};
use crate::stream::{AsOf, Edition, Retention, StoredSnapshot};

impl Runtime {
    /// Stores a snapshot of the state as it is now: with [`Retention::Persist`] for good, a business milestone. Answers the
    /// sequence of the last event that it holds; `None` for a stream without events.
    ///
    /// # Errors
    /// The aggregate has no snapshots, the state cannot be encoded, or the store fails.
    pub async fn snapshot<A: Aggregate>(&self, root: Uuid, retention: Retention) -> Result<Option<u32>> {
        let core: &Arc<Core> = &self.inner.core;
        let aggregate = core.aggregate_of::<A>()?;
        let Some(policy) = aggregate.descriptor.snapshot else {
            return Err(Error::invalid_argument(
                "aggregate",
                format!(
                    "`{}` has no snapshots; write `snapshot(every = …)` at its `#[aggregate]`",
                    aggregate.descriptor.name
                ),
            ));
        };
        let edition = Edition::main();
        let key = core.key(aggregate, &edition, root)?;
        let loaded = core.load(aggregate, &key, &edition, AsOf::Head).await?;
        let Some(sequence) = loaded.next_sequence.checked_sub(1) else { return Ok(None) };
        let state = encode_state(&policy.codec, loaded.state.as_ref()).map_err(|message| Error::Component {
            component: aggregate.descriptor.name.to_owned(),
            message: format!("its state cannot be encoded: {message}"),
        })?;
        let snapshot = StoredSnapshot {
            sequence,
            created_at: loaded.last_created_at,
            type_name: aggregate.snapshot_type.clone(),
            state_version: aggregate.descriptor.state_version,
            state: state.into(),
            retention,
        };
        let write = Write::extras(Extras { snapshots: vec![SnapshotWrite { key, snapshot }], ..Extras::default() });
        match core.writer.commit(write).await {
            Ok(_) => Ok(Some(sequence)),
            Err(WriteError::Storage(error)) => Err(error.into()),
            Err(other) => Err(Error::Component { component: "storage".to_owned(), message: other.to_string() }),
        }
    }
}
