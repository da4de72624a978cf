//! Intents, by id and in the order in which they are due.
//!
//! In: intents that are put, settled and taken back. Out: those that are there, in order. Never: a decision whether a write
//! may settle one together with what else it stores; that is made in `state`.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;

use super::super::{Intent, IntentFilter, IntentId, Settle};
use crate::stream::{Nanos, StreamKey};

/// Due time, and a number that grows with each one that is stored.
type Place = (Nanos, u64);

#[derive(Debug, Default)]
pub(super) struct Intents {
    in_order: BTreeMap<Place, Intent>,
    places: HashMap<IntentId, Place, RandomState>,
    stored: u64,
}

impl Intents {
    /// Whether a write may settle it: it is there, with this due time.
    pub(super) fn is_open(&self, settle: &Settle) -> bool {
        self.places.get(&settle.id).is_some_and(|(due, _)| *due == settle.due)
    }

    /// One of the same id is replaced.
    pub(super) fn put(&mut self, intent: Intent) {
        self.remove(intent.id);
        self.stored += 1;
        let place = (intent.due, self.stored);
        self.places.insert(intent.id, place);
        self.in_order.insert(place, intent);
    }

    pub(super) fn remove(&mut self, id: IntentId) {
        if let Some(place) = self.places.remove(&id) {
            self.in_order.remove(&place);
        }
    }

    /// Removes those whose stream is gone.
    pub(super) fn remove_of(&mut self, gone: impl Fn(&StreamKey) -> bool) {
        let places = &mut self.places;
        self.in_order.retain(|_, it| {
            let goes = gone(&it.stream);
            if goes {
                places.remove(&it.id);
            }
            !goes
        });
    }

    pub(super) fn get(&self, id: IntentId) -> Option<Intent> {
        self.places.get(&id).and_then(|place| self.in_order.get(place)).cloned()
    }

    pub(super) fn list(&self, filter: &IntentFilter) -> Vec<Intent> {
        let due = ..=(filter.due_until.unwrap_or(Nanos::MAX), u64::MAX);
        let wanted = |it: &&Intent| {
            filter.kind.is_none_or(|kind| it.kind == kind)
                && filter.stream.as_ref().is_none_or(|stream| it.stream == *stream)
        };
        self.in_order.range(due).map(|(_, it)| it).filter(wanted).take(filter.limit()).cloned().collect()
    }
}
