//! What the hardware allows: the same work without a framework.

pub mod grpc;
pub mod memory;
pub mod postgres;
pub mod sqlite;

/// What a raw limit of a database stores of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Everything that an event store has to know, in one table: domain, edition, root, type, version, correlation id.
    /// Targets are shares of this one.
    Facts,
    /// Numbers only, as if somebody else knew what they stand for: less than any event store can do with.
    Lean,
}
