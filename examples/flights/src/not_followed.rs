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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the paper").write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_the_hint_is_left_out() {
        let paper = Paper::default();
        let written = paper.clone();
        let shown = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || written.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(NotFollowed).with(shown), || {
            tracing::warn!(component = "day", sequence = 0, "{SKIPPED}");
            tracing::warn!(component = "night", "{SKIPPED}");
            tracing::warn!(component = "day", "event dead-lettered");
            tracing::error!("something else");
        });
        let text = String::from_utf8(paper.0.lock().expect("the paper").clone()).expect("text");
        let lines: Vec<_> = text.lines().map(|line| line.contains("component=\"day\"")).collect();
        assert_eq!(lines, [false, true, false], "{text}");
    }
}
