//! Timeouts of process managers in other languages (row P5).
//!
//! In: what a process answers. Out: timeouts that are scheduled, moved or taken back, and the facts that are left. Never: a timeout
//! of another process, or one that is dropped because it says too little.
//!
//! The contract has no message of its own for it, and needs none: a `Notification` that a process addresses to itself, with the
//! time at which it is to be told, comes back as it was when the time has come, the way the rejection of a command comes.

use angzarr_proto as proto;
use prost::Message as _;
use proto::{CoverExt as _, EventPageExt as _, TimestampExt as _};

use super::Client;
use crate::declare::{ReactionError, TimeoutAt, TimeoutChange};
use crate::stream::StreamKey;

const NOTIFICATION: &str = "angzarr.Notification";

impl Client {
    /// Takes the timeouts of a process out of the facts that it answers.
    pub(super) fn timeouts(
        &self,
        own: &StreamKey,
        facts: Vec<proto::EventBook>,
    ) -> Result<(Vec<TimeoutChange>, Vec<proto::EventBook>), ReactionError> {
        let (to_itself, facts): (Vec<_>, Vec<_>) = facts
            .into_iter()
            .partition(|book| book.cover.as_ref().is_some_and(|cover| cover.domain == own.domain.as_str()));
        let mut timeouts = Vec::new();
        for book in to_itself {
            let root = book.cover.as_ref().and_then(|cover| cover.root_bytes());
            for page in &book.pages {
                timeouts.push(self.timeout(page)?);
            }
            if root.is_some_and(|root| root != own.root.into_bytes()) {
                return Err(self.unusable("a timeout of another process; it schedules its own timeouts only"));
            }
        }
        Ok((timeouts, facts))
    }

    fn timeout(&self, page: &proto::EventPage) -> Result<TimeoutChange, ReactionError> {
        let event = page.event().ok_or_else(|| self.unusable("a fact without a payload"))?;
        let type_name = proto::type_name_of(&event.type_url);
        if type_name != NOTIFICATION {
            return Err(self.unusable(format!(
                "the fact `{type_name}` for itself: its own events go into `process_events`, and what it wants to be told later is \
                 an `{NOTIFICATION}`"
            )));
        }
        let notification = proto::Notification::decode(event.value.as_slice())
            .map_err(|error| self.unusable(format!("an `{NOTIFICATION}` that cannot be read: {error}")))?;
        let name = notification.payload.as_ref().map(|payload| proto::type_name_of(&payload.type_url).to_owned());
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
            self.unusable(
                "a timeout without a payload; the type of its payload is the name that it is moved and cancelled by",
            )
        })?;
        let to = notification.sent_at.as_ref().map(|at| TimeoutAt::At(at.to_unix_nanos_saturating()));
        let told = to.is_some().then(|| Box::new(notification));
        Ok(TimeoutChange { told, ..TimeoutChange::new(name, to) })
    }
}
