//! Transport: tells subscribers that there is something to read.
//!
//! In: the position of a commit. Out: wake-ups. Never: the truth; a subscriber reads the store, whatever the transport
//! loses, doubles or reorders (row R7).

mod local;

pub use local::Local;

use tokio::sync::watch;

/// Wakes subscribers, in this process or in others.
///
/// # The promises of every transport
/// 1. After [`announce`](Self::announce), listeners see a change sooner or later; it may be late, doubled or merged with
///    others.
/// 2. Losing an announcement costs latency only: subscribers look by themselves now and then.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transport",
    label = "not a transport",
    note = "write `.transport(Local::new())`, or `.transport_url(\"local:\")` for a transport by URL"
)]
pub trait Transport: Send + Sync + 'static {
    /// What this is, for logs and `config`.
    fn describe(&self) -> String;

    /// Says that events up to `position` are stored. Never blocks.
    fn announce(&self, position: u64);

    /// A receiver of wake-ups; its value is the newest announced position.
    fn listen(&self) -> watch::Receiver<u64>;
}
