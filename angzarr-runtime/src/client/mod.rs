//! The typed client of a runtime that is served elsewhere, behind the feature `client`.
//!
//! In: what a caller says about a command, a fact or a question, with the builders of [`Runtime`](crate::Runtime). Out: typed
//! answers and errors, as the runtime itself has them as far as the wire carries them. Never: a command sent twice that could be
//! done twice.
//!
//! ```no_run
//! use angzarr_runtime::prelude::*;
//! use angzarr_runtime::Client;
//! # #[derive(Clone, PartialEq, prost::Message)] pub struct Withdraw { #[prost(int64, tag = "1")] pub amount: i64 }
//! # angzarr_runtime::name_messages!("bank": Withdraw);
//!
//! /// The domain lives in the other process; one that is linked into this one will do as well.
//! #[aggregate(domain = "account", remote, handles(Withdraw))]
//! pub struct Account;
//!
//! # async fn example() -> Result<(), angzarr_runtime::ClientError> {
//! let client = Client::connect("http://127.0.0.1:50051").await?;
//! let answer = client.send::<Account>(root("account", "Ada"), Withdraw { amount: 5 }).expect_sequence(3).retry().await?;
//! println!("the next event will be #{}", answer.next_sequence());
//! # Ok(()) }
//! ```
//!
//! # What is sent again
//! Within the deadline and the number of attempts, after a pause that grows:
//! - what the server answers with a `RetryInfo`, and never before the time it names. A sequence mismatch (row M1) is none of those:
//!   it needs a decision, or [`retry`](crate::SendCommand::retry), which says that the command goes for the fresh state too;
//! - what never left, because there was no connection;
//! - a question, and what has an external id (rows C10, F2), if the connection is lost before the answer comes. Anything else that
//!   is lost then is done or not done, and [`ClientError::Lost`] says so.

mod answer;
mod answered;
mod builder;
mod calls;
mod error;
mod send;
mod state;
mod subscription;

pub use answer::Answer;
pub use answered::Answered;
pub use builder::ClientBuilder;
pub use error::ClientError;
pub use subscription::Subscription;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use angzarr_proto as proto;
use uuid::Uuid;

use crate::command::{PreviewCommand, RecordFact, SendCommand, StateQuery};
use crate::declare::{Aggregate, CommandTo, Domain, Message};
use crate::error::Error;
use crate::registry::Registry;
use calls::{Line, Repeat};

/// A connection to a runtime that is served elsewhere. Cheap to clone; clones share the connection, which comes back by itself.
#[derive(Clone)]
pub struct Client {
    line: Line,
    /// What this program declares, once somebody asks for a state.
    registry: Arc<OnceLock<Registry>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.line.url()).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to a server: `http://host:50051`, or `https://…` with the roots of the system.
    ///
    /// # Errors
    /// The URL is none, or nobody answers there.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ClientError> {
        Self::builder(url).connect().await
    }

    /// Describes a connection: TLS, token, deadline, sizes.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    /// The same connection with another deadline for each call.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { line: self.line.with_deadline(deadline), registry: self.registry.clone() }
    }

    /// Sends a command to an aggregate, remote or linked. Await the answer; say more about it before (expected sequence, sync
    /// mode, …). Its time is the server's: `at` is not offered.
    pub fn send<A: Domain>(&self, root: Uuid, command: impl CommandTo<A>) -> SendCommand<A, impl CommandTo<A>, Self> {
        SendCommand::new(self.clone(), root, command)
    }

    /// Records a fact: something that has happened outside and cannot be rejected (rows F). Say more about it before (external
    /// id, …), then await the answer.
    pub fn fact<A: Domain, E: Message>(&self, root: Uuid, fact: E) -> RecordFact<A, E, Self> {
        RecordFact::new(self.clone(), root, fact)
    }

    /// What a command would do. Stores nothing. Await it.
    pub fn preview<A: Domain>(
        &self,
        root: Uuid,
        command: impl CommandTo<A>,
    ) -> PreviewCommand<A, impl CommandTo<A>, Self> {
        PreviewCommand::new(self.clone(), root, command)
    }

    /// The state of an aggregate that is linked into this program, now or then; folded here, with this program's `#[apply]`s and
    /// upcasters, from what the server has stored. Await it. An aggregate that is declared `remote` has no state here:
    /// ```compile_fail,E0277
    /// # use angzarr_runtime::prelude::*;
    /// # #[derive(Clone, PartialEq, prost::Message)] pub struct Withdraw {}
    /// # angzarr_runtime::name_messages!("bank": Withdraw);
    /// #[aggregate(domain = "account", remote, handles(Withdraw))]
    /// pub struct Account;
    ///
    /// # async fn example(client: angzarr_runtime::Client, ada: Uuid) {
    /// client.state::<Account>(ada).await; // `Account` is not an aggregate of this program
    /// # }
    /// # fn main() {}
    /// ```
    pub fn state<A: Aggregate>(&self, root: Uuid) -> StateQuery<A, Self> {
        StateQuery::new(self.clone(), root)
    }

    /// The state of a process: of the process manager `P`, for a correlation id (row P1). Await it.
    pub fn process<P: Aggregate>(&self, correlation_id: &str) -> StateQuery<P, Self> {
        self.state(crate::stream::root(P::DOMAIN, correlation_id))
    }

    /// Every event book of a workflow, across domains, as it is stored (row I4).
    ///
    /// # Errors
    /// The id is malformed, or there is no answer.
    pub async fn books_by_correlation(&self, correlation_id: &str) -> Result<Vec<proto::EventBook>, ClientError> {
        if correlation_id.is_empty() {
            // Without it the question would be another one.
            return Err(Error::invalid_argument("correlation_id", "empty; say which workflow").into());
        }
        let cover = proto::Cover { correlation_id: correlation_id.to_owned(), ..Default::default() };
        let pieces = self.line.books(proto::Query { cover: Some(cover), selection: None }).await?;
        let mut books: Vec<proto::EventBook> = Vec::new();
        for piece in pieces {
            match books.last_mut() {
                // A book that is large comes in pieces.
                Some(last) if last.cover == piece.cover => {
                    last.pages.extend(piece.pages);
                    last.next_sequence = piece.next_sequence;
                }
                _ => books.push(piece),
            }
        }
        Ok(books)
    }

    /// The events of a workflow from its beginning, and then as they happen.
    ///
    /// # Errors
    /// The id is malformed, or there is no answer.
    pub async fn subscribe(&self, correlation_id: &str) -> Result<Subscription, ClientError> {
        if correlation_id.is_empty() {
            return Err(Error::invalid_argument("correlation_id", "empty; `subscribe_all` is for every event").into());
        }
        self.line.subscribe(correlation_id, None).await
    }

    /// Every event from now on, or behind a position of the log; 0 for all. Where it has gone live says
    /// [`Subscription::position`].
    ///
    /// # Errors
    /// There is no such position, or no answer.
    pub async fn subscribe_all(&self, after: Option<u64>) -> Result<Subscription, ClientError> {
        self.line.subscribe("", after).await
    }

    /// The dynamic entry: a `CommandRequest` as it is.
    ///
    /// # Errors
    /// What the runtime behind the server refuses, or there is no answer.
    pub async fn handle_command(&self, request: proto::CommandRequest) -> Result<proto::CommandResponse, ClientError> {
        use proto::PageHeaderExt as _;
        let headers =
            request.command.iter().flat_map(|book| book.pages.first()).filter_map(|page| page.header.as_ref());
        let is_known = headers.into_iter().any(|it| it.external_id().is_some() || it.provenance().is_some());
        self.line.command(request, Repeat::if_known(is_known)).await
    }

    /// What this program declares, for whoever folds.
    fn registry(&self) -> Result<&Registry, ClientError> {
        if let Some(registry) = self.registry.get() {
            return Ok(registry);
        }
        let registry = Registry::collect().map_err(Error::from)?;
        Ok(self.registry.get_or_init(|| registry))
    }
}
