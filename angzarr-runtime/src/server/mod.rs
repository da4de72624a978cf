//! A gRPC server for callers in any language, behind the feature `server`.
//!
//! In: calls of the coordinator, query and stream services of the contract, over one socket. Out: what the runtime answers, and
//! errors as `google.rpc` has them. Never: a way around the runtime; a service translates, checks nothing twice and stores nothing.
//!
//! ```no_run
//! use angzarr_runtime::prelude::*;
//! use angzarr_runtime::server::Tokens;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().storage(Sqlite::open("bank.db")).build().await?;
//! let server = runtime
//!     .serve("127.0.0.1:50051".parse()?)
//!     .authorize(Tokens::new(["a secret that is long enough"]))
//!     .bind()
//!     .await?;
//! println!("listening on {}", server.local_addr());
//! server.run_until(async { let _ = tokio::signal::ctrl_c().await; }).await?;
//! runtime.shutdown().await?;
//! # Ok(()) }
//! ```
//!
//! # Metadata
//! | of | name | what |
//! |---|---|---|
//! | a request | `authorization` | `Bearer TOKEN`, where [`ServerBuilder::authorize`] asks for one |
//! | a request | `grpc-timeout` | the caller's deadline; gRPC libraries set it |
//! | a query, a subscription | `angzarr-upcast` | `true`: events as the program knows them today, not as they are stored (row U1) |
//! | events for a component | `angzarr-component` | the name of the saga, process manager or projector, where several listen |
//! | a subscription to everything | `angzarr-after` | begin behind this position of the log instead of now; 0 for all |
//! | a book with a snapshot | `angzarr-state-version` | the version of its state's shape, so that nobody takes it for another one (row N4) |
//! | the answer to a subscription | `angzarr-position` | where in the log it has gone live |

mod answers;
mod authorize;
mod builder;
mod calls;
mod commands;
mod components;
mod door;
mod error;
mod queries;
mod reflection;
mod status;
mod streams;
mod traced;

pub use authorize::{Authorize, Call, Denied, Tokens};
pub use builder::{Bound, Server, ServerBuilder};
pub use error::ServeError;

use std::net::SocketAddr;

use crate::Runtime;

use status::completed;

impl Runtime {
    /// Describes a gRPC server in front of this runtime, for callers in any language. It has to be
    /// [bound](ServerBuilder::bind) and [run](Bound::run_until).
    pub fn serve(&self, address: SocketAddr) -> ServerBuilder {
        Server::builder(self.clone()).address(address)
    }
}
