//! What stands for components in other languages in a build without the feature `remote`: nothing.

use std::any::Any;
use std::time::Duration;

use angzarr_proto as proto;
use bytes::Bytes;

use crate::command::{Ahead, Core, Refusal, Situation};
use crate::declare::{Emission, EmittedEvent, ReactionError, State, TimeoutChange};
use crate::error::Error;
use crate::stream::upcast::Upcasted;
use crate::stream::{StoredEvent, StoredSnapshot, StreamKey, TraceContext};

/// There is none.
#[derive(Clone, Debug)]
pub(crate) struct Client(Never);

/// Nobody is asked.
pub(crate) struct Question(Never);

#[derive(Clone, Copy, Debug)]
enum Never {}

pub(crate) struct Answered {
    pub(crate) events: Vec<EmittedEvent>,
    pub(crate) emissions: Vec<Emission>,
    pub(crate) timeouts: Vec<TimeoutChange>,
    pub(crate) complete: bool,
    pub(crate) instead: Option<Instead>,
}

#[allow(dead_code)]
pub(crate) enum Instead {
    Revocation(proto::RevocationResponse),
    Notification(Box<proto::Notification>),
}

impl Client {
    pub(crate) fn address(&self) -> &str {
        match self.0 {}
    }

    pub(crate) fn deadline(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) async fn react(&self, _: &Core, _: &StreamKey, _: &StoredEvent) -> Result<Vec<Emission>, ReactionError> {
        match self.0 {}
    }

    pub(crate) async fn project(
        &self,
        _: &StreamKey,
        _: Vec<StoredEvent>,
        _: bool,
    ) -> Result<Option<prost_types::Any>, ReactionError> {
        match self.0 {}
    }

    pub(crate) async fn upcast(&self, _: &StreamKey, _: &[StoredEvent]) -> crate::Result<Vec<Upcasted>> {
        match self.0 {}
    }

    pub(crate) fn remember(&self, _: &mut State, _: &StoredEvent) {
        match self.0 {}
    }

    pub(crate) fn try_again(&self, _: &StreamKey) {
        match self.0 {}
    }

    pub(crate) fn begin_with(&self, _: &mut State, _: &StoredSnapshot) {
        match self.0 {}
    }

    pub(crate) fn fresh_snapshot(&self, _: &(dyn Any + Send + Sync)) -> Option<StoredSnapshot> {
        match self.0 {}
    }

    pub(crate) async fn condense(
        &self,
        _: &StreamKey,
        _: &mut State,
        _: StoredSnapshot,
        _: u32,
        _: Option<TraceContext>,
    ) -> Result<(), String> {
        match self.0 {}
    }

    pub(crate) fn command(&self, _: proto::CommandPage) -> Question {
        match self.0 {}
    }

    pub(crate) fn fact(&self, _: &str, _: &Bytes) -> Question {
        match self.0 {}
    }

    pub(crate) fn rejection(&self, _: proto::Notification) -> Question {
        match self.0 {}
    }

    pub(crate) fn compensation(&self, _: &proto::Compensate) -> Question {
        match self.0 {}
    }

    pub(crate) fn trigger(&self, _: proto::EventBook) -> Question {
        match self.0 {}
    }
}

impl Question {
    pub(crate) async fn ask(&self, _: Situation<'_>) -> Ahead {
        match self.0 {}
    }

    pub(crate) fn take(&self) -> Result<Answered, Refusal> {
        match self.0 {}
    }

    pub(crate) fn refuses_snapshot(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn ends_process(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn take_back(&self, _: Vec<String>) {
        match self.0 {}
    }

    pub(crate) fn fail(&self, _: Error) {
        match self.0 {}
    }
}

impl Answered {
    pub(crate) fn events_or_rejection(self) -> Result<Vec<EmittedEvent>, Refusal> {
        Ok(self.events)
    }
}
