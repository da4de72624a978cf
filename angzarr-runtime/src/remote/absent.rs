//! What stands for components in other languages in a build without the feature `remote`: nothing.

use crate::command::Core;
use crate::declare::{Emission, ReactionError};
use crate::stream::{StoredEvent, StreamKey};

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum Client {}

impl Client {
    pub(crate) async fn react(&self, _: &Core, _: &StreamKey, _: &StoredEvent) -> Result<Vec<Emission>, ReactionError> {
        match *self {}
    }

    pub(crate) async fn project(
        &self,
        _: &StreamKey,
        _: Vec<StoredEvent>,
        _: bool,
    ) -> Result<Option<prost_types::Any>, ReactionError> {
        match *self {}
    }
}
