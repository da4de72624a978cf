//! Transport: wakes subscribers, and carries events to consumers that want them brought.
//!
//! In: the position of a commit; what the relay publishes. Out: wake-ups, messages. Never: the truth; whoever consumes
//! reads the store where something is missing, whatever the transport loses, doubles, delays or reorders (row R7).
//!
//! - The `relay` reads the log from its cursor and publishes (rows R2, R3). It runs only for a transport that carries
//!   events.
//! - The `inbox` makes of what a transport delivers what is true: each event once, in the order of its stream, none
//!   missing. A [`Feed`] is an inbox with a name, for code of your own.
//! - The `letters` go to a transport with topics after they were stored (row D3).
//! - `Nats` (cargo feature `nats`) and `Amqp` (cargo feature `amqp`) carry all of it to other processes and to programs in
//!   other languages; what a message looks like stands in `wire`.
//! - Sagas and projectors of this process need neither: they follow the log itself, and are woken.

#[cfg(feature = "amqp")]
pub mod amqp;
#[cfg(any(feature = "nats", feature = "amqp"))]
mod certificates;
mod error;
mod feed;
mod inbox;
mod letters;
mod local;
#[cfg(feature = "nats")]
pub mod nats;
mod publication;
mod relay;
#[cfg(any(feature = "nats", feature = "amqp"))]
mod wake;
#[cfg(any(feature = "nats", feature = "amqp"))]
pub mod wire;

#[cfg(feature = "amqp")]
pub use amqp::Amqp;
pub use error::{TransportError, TransportErrorKind};
pub use feed::{Feed, OpenFeed};
pub use local::Local;
#[cfg(feature = "nats")]
pub use nats::Nats;
pub use publication::{Delivery, Publication};
pub use relay::RelayStatus;

pub(crate) use inbox::Taken;
pub(crate) use relay::{Publishing, Relay};

use std::sync::Arc;

use tokio::sync::watch;
use uuid::Uuid;

use crate::dead_letter::DeadLetter;
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
/// 4. Publications of one stream are handed over in the order in which they are given. (Doubles after a failed publish, and
///    what was on the way to a consumer whose connection broke, may come behind newer ones; consumers sort that out.)
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

    /// Whether it has a place for dead letters (row D3). For one that has not, nothing is noted.
    fn carries_letters(&self) -> bool {
        false
    }

    /// Publishes dead letters of a store, each on the topic `{prefix}.dlq.{domain}`, and resolves when all of them are
    /// confirmed. Called after they were stored, and again until it went well; so a letter may come twice.
    ///
    /// # Errors
    /// Not every letter was confirmed; all that were not by [`TransportError::confirmed`] come again.
    fn publish_letters<'a>(
        &'a self,
        _store: Uuid,
        _letters: &'a [DeadLetter],
    ) -> BoxFuture<'a, Result<(), TransportError>> {
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

/// The transport that a URL names.
pub(crate) fn by_url(url: &str) -> Result<Arc<dyn Transport>, String> {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    match scheme {
        "local" if matches!(url, "local" | "local:") => Ok(Arc::new(Local::new())),
        #[cfg(feature = "nats")]
        "nats" | "tls" => Ok(Arc::new(Nats::by_url(url)?)),
        #[cfg(not(feature = "nats"))]
        "nats" | "tls" => Err(missing_feature(url, "nats")),
        #[cfg(feature = "amqp")]
        "amqp" | "amqps" => Ok(Arc::new(Amqp::by_url(url)?)),
        #[cfg(not(feature = "amqp"))]
        "amqp" | "amqps" => Err(missing_feature(url, "amqp")),
        _ => Err(format!("`{}` is no transport of this version; write `local:`, `nats://…` or `amqp://…`", shown(url))),
    }
}

#[cfg(not(all(feature = "nats", feature = "amqp")))]
fn missing_feature(url: &str, feature: &str) -> String {
    format!("`{}` needs the cargo feature `{feature}` of angzarr-runtime", shown(url))
}

/// A URL without the user and password that may stand in it.
fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        None => url.to_owned(),
    }
}

/// A durable consumer is known by its name.
#[cfg(any(feature = "nats", feature = "amqp"))]
fn check_consumer_name(transport: &dyn Transport, name: &str) -> Result<(), TransportError> {
    if !name.is_empty() {
        return Ok(());
    }
    Err(TransportError::new(TransportErrorKind::Refused, transport.describe(), "a consumer needs a name"))
}

/// The options behind the `?` of a URL, as they stand there.
#[cfg(any(feature = "nats", feature = "amqp"))]
fn url_options(options: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = options.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(key, value)| (key.to_owned(), value.to_owned()))
}

/// The value of an option, its `%` decoded.
#[cfg(any(feature = "nats", feature = "amqp"))]
fn url_decoded(value: &str) -> Result<String, String> {
    let text = percent_encoding::percent_decode_str(value).decode_utf8();
    text.map(|text| text.into_owned()).map_err(|_| format!("`{value}` is no UTF-8 text when its % are decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        by_url(url).err().expect("it cannot work")
    }

    #[test]
    fn a_url_names_a_transport_or_says_why_not() {
        assert_eq!(by_url("local:").unwrap().describe(), "local");
        assert!(error("smoke://ada:secret@hill").contains("`smoke://hill` is no transport"));
        assert!(error("local:x").contains("write `local:`"));
    }

    #[cfg(feature = "nats")]
    #[test]
    fn nats_by_url() {
        let nats = by_url("nats://ada:secret@127.0.0.1:4223,nats://other?prefix=shop.eu&replicas=3").unwrap();
        assert_eq!(nats.describe(), "nats 127.0.0.1:4223,other:4222, prefix shop.eu");
        assert!(error("nats://127.0.0.1?colour=red").contains("`colour` is no option"));
        assert!(error("nats://127.0.0.1?replicas=many").contains("is no number"));
        assert!(error("nats://127.0.0.1?prefix=a%20b").contains("is no prefix"));
        assert!(error("nats://127.0.0.1?prefix=%ff").contains("no UTF-8"));
        assert!(error("tls://127.0.0.1?client_key=/k.pem").contains("needs `client_certificate`"));
        assert!(error("tls://127.0.0.1?root_certificates=").contains("names no file"));
    }

    #[cfg(feature = "amqp")]
    #[test]
    fn amqp_by_url() {
        let amqp = by_url("amqp://ada:secret@127.0.0.1/shop?prefix=shop.eu&queues=8&heartbeat=3").unwrap();
        assert_eq!(amqp.describe(), "amqp 127.0.0.1:5672, prefix shop.eu");
        assert!(error("amqp://127.0.0.1?queues=many").contains("is no number"));
        assert!(error("amqp://127.0.0.1?prefix=a*").contains("is no prefix"));
        assert!(error("amqp:nonsense").contains("makes no sense"));
        assert!(error("amqps://127.0.0.1?client_certificate=/c.pem").contains("needs `client_key`"));
    }

    #[cfg(not(feature = "nats"))]
    #[test]
    fn a_transport_that_is_not_built_in_names_its_feature() {
        assert!(error("nats://127.0.0.1").contains("the cargo feature `nats`"));
    }
}
