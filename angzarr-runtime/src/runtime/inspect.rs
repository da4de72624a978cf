//! A store as tools see it: opened for questions, with the program's own way of reading it.
//!
//! In: a builder, then names instead of types. Out: streams, events, states as text. Never: a component that runs, or a
//! write.

use uuid::Uuid;

use super::Builder;
use crate::command::Core;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::storage::Storage;
use crate::stream::{AsOf, Edition, Nanos, StreamKey};

/// An open store and what is declared about it.
pub(crate) struct Inspection {
    core: Core,
}

/// A state without its type.
pub(crate) struct ShownState {
    pub(crate) stream: StreamKey,
    /// Rust name of the state.
    pub(crate) name: &'static str,
    /// Its fields; `None` for a state without `Debug`.
    pub(crate) text: Option<String>,
    pub(crate) next_sequence: u32,
    pub(crate) last_created_at: Nanos,
}

impl Inspection {
    /// Opens the store. Components need no instances: none of them runs.
    pub(crate) async fn open(mut builder: Builder) -> Result<Self> {
        let registry = builder.check_without_instances()?;
        let storage = builder.open_read_only().await?;
        Ok(Self { core: builder.core(registry, storage) })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.core.registry
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        self.core.storage.as_ref()
    }

    /// The state of a root, by the name of its domain.
    pub(crate) async fn state(&self, domain: &str, root: Uuid, edition: &Edition, as_of: AsOf) -> Result<ShownState> {
        let aggregate = self.core.registry.state_of(domain).ok_or_else(|| self.core.unknown_stream_domain(domain))?;
        let stream = self.core.key(aggregate, edition, root)?;
        let loaded = self.core.load(aggregate, &stream, edition, as_of).await?;
        Ok(ShownState {
            stream,
            name: aggregate.descriptor.name,
            text: aggregate.descriptor.debug_state.map(|debug| debug(loaded.state.as_ref())),
            next_sequence: loaded.next_sequence,
            last_created_at: loaded.last_created_at,
        })
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.core.storage.close().await.map_err(Error::from)
    }
}
