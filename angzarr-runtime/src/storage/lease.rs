//! Leases: what one process at a time may do, where several share a store (row R5).
//!
//! In: names, and who wants them. Out: who has which, by the store's own clock. Never: a promise that outlives its time; who
//! does not renew has lost.

use std::time::Duration;

use uuid::Uuid;

use super::StorageFuture;

/// The leases of a store that several processes share. From [`Storage::leases`](super::Storage::leases).
///
/// # The promises
/// 1. At any time of the store's clock a name has at most one holder.
/// 2. Whoever holds a name keeps it for `time` after each successful [`hold`](Self::hold), unless they release it.
/// 3. A name that nobody holds any more can be taken by anybody; whoever is first has it.
pub trait Leases: Send + Sync {
    /// Takes or renews leases for `time` from now. The answers come in the order of the names: whether the holder has it.
    fn hold<'a>(&'a self, holder: Uuid, names: &'a [String], time: Duration) -> StorageFuture<'a, Vec<bool>>;

    /// Gives leases back before their time. Those of others are left alone.
    fn release<'a>(&'a self, holder: Uuid, names: &'a [String]) -> StorageFuture<'a, ()>;

    /// Every lease that somebody holds, in order of the name.
    fn list(&self) -> StorageFuture<'_, Vec<Lease>>;
}

/// A name that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The name.
    pub name: String,
    /// Who has it.
    pub holder: Uuid,
    /// For how much longer, if it is not renewed.
    pub left: Duration,
}
