//! Components in other processes: the runtime is their coordinator. A program of its own, because `inventory` sees what is linked.

// Tests say what they expect by panicking.
#![allow(missing_docs)]

mod aggregates;
mod domain;
mod elsewhere;
mod process_managers;
mod projectors;
mod python;
mod sagas;
mod snapshots;
// By its path: the library of the tests brings a domain of its own along.
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/time.rs"]
mod time;
mod timeouts;
mod upcasters;
mod wiring;
