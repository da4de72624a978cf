//! The contract, row by row: the name of each test begins with the rows that it proves.

// Tests say what they expect by panicking.
#![allow(missing_docs)]

mod commands;
mod correlation;
mod dead_letters;
mod delivery;
mod dynamic_entry;
mod editions;
mod feeds;
mod letter_topics;
mod limits;
mod merge;
mod outbox;
mod projectors;
mod rebuild;
mod recovery;
mod rows;
mod sagas;
mod snapshots;
mod sync_modes;
mod telemetry;
mod temporal;
mod upcasting;
mod writers;
