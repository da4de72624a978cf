//! Flights that nobody follows are no mistake.
//!
//! In: what the runtime tells. Out: the same, without the hint that a flight has no correlation id: aircraft are followed only
//! where that was asked for, and never those whose tail number the log does not have. Never: any other warning left out.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// A stable text of the runtime.
const SKIPPED: &str = "event skipped: it has no correlation id, and a process is known by one";

/// Leaves out the hint.
pub(crate) struct NotFollowed;

impl<S: Subscriber> Layer<S> for NotFollowed {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let mut hint = Hint::default();
        event.record(&mut hint);
        !(hint.of_days && hint.skipped)
    }
}

#[derive(Default)]
struct Hint {
    of_days: bool,
    skipped: bool,
}

impl Visit for Hint {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.of_days |= field.name() == "component" && value == "day";
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.skipped |= field.name() == "message" && format!("{value:?}") == SKIPPED;
    }
}
