//! Transport: wakes subscribers, and carries events to consumers that want them brought.
//!
//! In: the position of a commit; what the relay publishes. Out: wake-ups, messages. Never: the truth; whoever consumes
//! reads the store where something is missing, whatever the transport loses, doubles, delays or reorders (row R7).
//!
//! - The `relay` reads the log from its cursor and publishes (rows R2, R3). It runs only for a transport that carries
//!   events.
//! - The `inbox` makes of what a transport delivers what is true: each event once, in the order of its stream, none
//!   missing. A [`Feed`] is an inbox with a name, for code of your own.
//! - Sagas and projectors of this process need neither: they follow the log itself, and are woken.

mod error;
mod feed;
mod inbox;
mod local;
mod publication;
mod relay;

pub use error::{TransportError, TransportErrorKind};
pub use feed::{Feed, OpenFeed};
pub use local::Local;
pub use publication::{Delivery, Publication};
pub use relay::RelayStatus;

pub(crate) use inbox::Taken;
pub(crate) use relay::{Publishing, Relay};

use tokio::sync::watch;
use uuid::Uuid;

use crate::storage::BoxFuture;

/// Wakes subscribers, in this process or in others, and carries events if it can.
///
/// # The promises of every transport
/// 1. After [`announce`](Self::announce), listeners see a change sooner or later; it may be late, doubled or merged with
///    others.
/// 2. Losing an announcement costs latency only: subscribers look by themselves now and then.
///
/// # And of one that carries events
/// 3. [`publish`](Self::publish) answers `Ok` only after the transport has taken every publication of the batch as safely
///    as it takes anything: for a broker, after its confirmation.
/// 4. Publications of one stream are handed over in the order in which they are given. (Doubles after a failed publish
///    may come behind newer ones; consumers sort that out.)
/// 5. Consumers of different names are each offered every publication. What two consumers of one name get, each all of them
///    or each a share, is up to the transport.
/// 6. What was delivered and not acknowledged may come again. What was acknowledged may too.
///
/// Anything else may go wrong: a consumer that is too slow may miss messages, and so may one that was away.
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

    /// Whether it carries events. One that only wakes has no relay: nothing is read for nobody.
    fn carries_events(&self) -> bool {
        false
    }

    /// Publishes a batch, and resolves when all of it is confirmed (promise 3). Called by the relay, one batch at a time.
    ///
    /// A publication has a stable [id](Publication::id), by which a broker can drop doubles, and a
    /// [key](Publication::partition_key), by which it can keep streams in order.
    ///
    /// # Errors
    /// Not everything was confirmed. What was, in an unbroken run from the beginning of the batch, is said by
    /// [`TransportError::confirmed`]; everything behind comes again.
    fn publish<'a>(&'a self, _batch: &'a [Publication]) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async { Err(TransportError::only_wakes(self.describe())) })
    }

    /// The position of the newest event of this store that the transport has confirmed, if it can tell: asked once at the
    /// start, where the runtime keeps no cursor of its own (row R3).
    ///
    /// # Errors
    /// The transport cannot be asked now; it is asked again.
    fn newest(&self, _store: Uuid) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        Box::pin(async { Ok(None) })
    }

    /// Begins to consume, under a name by which a durable transport knows what this consumer still has to get.
    ///
    /// # Errors
    /// The transport is out of reach, or refuses the name.
    fn consume<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async { Err(TransportError::only_wakes(self.describe())) })
    }
}

/// What a transport delivers to one consumer. Dropping it ends the delivery.
pub trait Consumer: Send {
    /// The next message; waits for one. A future that is dropped before it is ready has taken nothing.
    ///
    /// # Errors
    /// The connection is lost: this consumer is of no more use, [`Transport::consume`] gives a new one.
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>>;

    /// Says that a message need not come again.
    ///
    /// # Errors
    /// The connection is lost. The message may come again.
    fn acknowledge(&mut self, tag: u64) -> BoxFuture<'_, Result<(), TransportError>>;
}
