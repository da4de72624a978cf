//! PostgreSQL servers of the tests' own: some are killed and started again, others show certificates.

#![allow(missing_docs)]

#[allow(unreachable_pub)]
#[path = "../../src/certificates.rs"]
mod certificates;
mod cluster;
// The jobs of the fleet: an aggregate, a saga, a process manager with a timer, a projector, none of them idempotent.
#[path = "../../programs/fleet/domain.rs"]
mod domain;
// By its path: with the crate of it the components of the other tests would come along.
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/line.rs"]
mod line;
mod restarts;
mod tls;
