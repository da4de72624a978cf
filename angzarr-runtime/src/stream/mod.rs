//! What a stream is: names, keys, events, snapshots, editions, views of the past, upcasting.
//!
//! In: nothing but data. Out: the types that every other part speaks in. Never: storage or handlers.

mod edition;
pub(crate) mod event;
mod key;
pub(crate) mod limits;
mod name;
mod trace;
pub(crate) mod upcast;
mod view;
pub(crate) mod wait_mark;

pub use edition::Edition;
pub use event::{HeaderFields, Headers, LogEvent, Nanos, Retention, StoredEvent, StoredSnapshot};
pub use key::{StreamKey, root};
pub use limits::Limits;
pub use name::Name;
pub use trace::{NoTraceContext, TraceContext};
pub use view::{AsOf, Versioned};
pub use wait_mark::WaitMark;
