//! What the whole-system tests share: a small domain, stores to run it on, and stores that fail on purpose.
//!
//! In: nothing. Out: [`Rig`], which starts a runtime over a [`Store`] and shows what its components saw. Never: an
//! assertion about the runtime; those stand in `tests/contract`, one file for each group of contract rows.

// Test code explains itself by the row in the name of the test; messages are their own documentation.
#![allow(missing_docs)]

pub mod account;
pub mod brittle;
pub mod certificates;
pub mod faults;
pub mod ledger;
pub mod line;
pub mod messages;
pub mod notes;
pub mod paper;
pub mod person;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod reactions;
pub mod rig;
pub mod store;
pub mod storm;
pub mod time;

pub use faults::{Fault, Faults};
pub use rig::Rig;
pub use store::Store;
pub use storm::{Storm, Weather};
