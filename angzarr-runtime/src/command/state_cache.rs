//! States that were folded before, kept for the next command (bounded in bytes).
//!
//! In: the key of a stream. Out: the slot in which its state lives and its commands take turns. Never: an answer that
//! could be wrong: the append checks the version, a stale state costs one reload.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle, Weighter};

use super::Loaded;
use crate::stream::StreamKey;

/// One stream's place in memory. Commands of one stream take turns on its lock.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) state: tokio::sync::Mutex<Option<Loaded>>,
}

#[derive(Clone)]
struct Entry {
    slot: Arc<Slot>,
    weight: u64,
}

/// Hashed by its root: streams of one root in several domains are few, editions of one root may be many.
#[derive(Clone, PartialEq, Eq)]
struct Key(StreamKey);

/// A key to look for.
struct Wanted<'a>(&'a StreamKey);

fn hash<H: Hasher>(key: &StreamKey, state: &mut H) {
    state.write_u128(key.root.as_u128());
    if !key.is_main() {
        key.edition.hash(state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(self.0, state);
    }
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        // The root first: it tells nearly all streams apart.
        self.0.root == key.0.root && self.0.domain == key.0.domain && self.0.edition == key.0.edition
    }
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<Key, Entry> for ByWeight {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// A slot that a command works on may not be thrown out: two slots of one stream would race for nothing.
#[derive(Clone)]
struct KeepBusy;

impl Lifecycle<Key, Entry> for KeepBusy {
    type RequestState = ();
    fn is_pinned(&self, _: &Key, entry: &Entry) -> bool {
        Arc::strong_count(&entry.slot) > 1
    }
}

/// What a slot costs, with a small state in it.
const SLOT_BYTES: u64 = 512;
/// Bytes that are folded into a state before it is worth weighing.
pub(super) const UNWEIGHED: u64 = 256;

pub(crate) struct StateCache {
    cache: Cache<Key, Entry, ByWeight, DefaultHashBuilder, KeepBusy>,
}

impl StateCache {
    /// A cache of at most about `bytes` bytes of states.
    pub(crate) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / 1024).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        Self { cache: Cache::with(items, bytes.max(SLOT_BYTES), ByWeight, DefaultHashBuilder::default(), KeepBusy) }
    }

    pub(crate) fn slot(&self, key: &StreamKey) -> Arc<Slot> {
        if let Some(entry) = self.cache.get(&Wanted(key)) {
            return entry.slot;
        }
        // Held while it is put in: it is busy from its first moment.
        let fresh = Arc::<Slot>::default();
        let fresh = || Ok::<_, std::convert::Infallible>(Entry { slot: fresh.clone(), weight: SLOT_BYTES });
        match self.cache.get_or_insert_with(&Key(key.clone()), fresh) {
            Ok(entry) => entry.slot,
            Err(never) => match never {},
        }
    }

    /// Tells the cache what a state weighs now.
    pub(crate) fn weigh(&self, key: &StreamKey, slot: &Arc<Slot>, state_bytes: u64) {
        self.cache.insert(Key(key.clone()), Entry { slot: slot.clone(), weight: SLOT_BYTES + state_bytes });
    }

    /// Forgets every state of an edition. Nobody may be at work on one.
    pub(crate) fn forget_edition(&self, edition: &str) {
        self.cache.retain(|Key(key), _| key.edition != *edition);
    }

    /// Bytes in use, as weighed.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn is_bounded_in_bytes() {
        let cache = StateCache::new(64 * 1024);
        for n in 0..10_000u128 {
            let key = StreamKey::main("account", Uuid::from_u128(n));
            let slot = cache.slot(&key);
            cache.weigh(&key, &slot, 1_000);
        }
        assert!(cache.bytes() <= 64 * 1024, "{} bytes", cache.bytes());
        assert!(cache.bytes() > 16 * 1024, "{} bytes", cache.bytes());
    }

    #[test]
    fn a_busy_slot_stays() {
        let cache = StateCache::new(16 * 1024);
        let key = StreamKey::main("account", Uuid::from_u128(7));
        let busy = cache.slot(&key);
        for n in 100..10_000u128 {
            cache.slot(&StreamKey::main("account", Uuid::from_u128(n)));
        }
        assert!(Arc::ptr_eq(&busy, &cache.slot(&key)));
    }
}
