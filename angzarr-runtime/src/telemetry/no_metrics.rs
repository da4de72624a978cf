//! Without the feature `metrics` nothing is counted.
//!
//! In: what `metrics.rs` takes. Out: nothing. Never: a cost.

use crate::command::{Outcome, Submission};
use crate::error::Result;
use crate::storage::{Write, WriteError, Written};

pub(crate) struct Began;
pub(crate) struct Letters;

pub(crate) fn begins() -> Began {
    Began
}
pub(crate) fn ended(_: Began, _: &Submission<'_>, _: &Result<Outcome>) {}
pub(super) fn state_loaded(_: &str, _: &'static str) {}
pub(super) fn command_retried(_: &'static str) {}
pub(super) fn reaction_failed(_: &str, _: &'static str) {}
pub(super) fn published(_: usize) {}
pub(crate) fn batch_committed(_: usize) {}
pub(crate) fn letters_in(_: &Write) -> Letters {
    Letters
}
pub(crate) fn letters_stored(_: Letters, _: &std::result::Result<Written, WriteError>) {}
