//! Components in other languages, as they are said on the builder.

use std::panic::Location;

use super::Builder;
use crate::registry::{Problem, Registry};
use crate::remote::{Declaration, Remote};

impl Builder {
    /// The aggregate of a domain in another process, behind a `CommandHandlerService` of the contract. Commands for the domain go
    /// the way of every command; where a handler would run the component is asked, with the history of the stream. What it answers
    /// gets its sequences here and is stored here; FAILED_PRECONDITION, INVALID_ARGUMENT and NOT_FOUND are its rejections
    /// (row C4). While it is out of reach commands are answered with
    /// [`Error::OutOfReach`](crate::Error::OutOfReach), which may be retried, and those of sagas wait.
    #[must_use]
    #[track_caller]
    pub fn remote_aggregate(self, domain: &str, at: impl Into<Remote>) -> Self {
        self.remote(Declaration::aggregate(domain, &at.into(), Location::caller()))
    }

    /// A saga in another process, behind a `SagaService` of the contract: events of `domain` go there, and the commands and facts
    /// that it answers with are delivered as those of every saga (rows G). While it is out of reach its events wait, and
    /// [`SubscriptionStatus::stalled`](crate::SubscriptionStatus::stalled) says why.
    ///
    /// ```
    /// # use angzarr_runtime::prelude::*;
    /// let builder = Runtime::builder().remote_saga("shipping", "order", "http://127.0.0.1:7002");
    /// # let _ = builder;
    /// ```
    #[must_use]
    #[track_caller]
    pub fn remote_saga(self, name: &str, domain: &str, at: impl Into<Remote>) -> Self {
        self.remote(Declaration::saga(name, domain, &at.into(), Location::caller()))
    }

    /// A process manager in another process, behind a `ProcessManagerService` of the contract. `name` is the domain of its own
    /// stream as well: its events are stored here, and each trigger comes with them. An event, the notification that a command
    /// of its was rejected, or a timeout wakes it (rows P).
    ///
    /// - **A timeout** (row P5) is a fact that the process addresses to itself: in `facts` a book with its own domain, in it an
    ///   `angzarr.Notification` with `sent_at`, the time at which it is to be told, and a `payload` of its choice. It comes back
    ///   as a trigger of one page, as a rejection does, once, across restarts and whatever process it is in by then. The type of
    ///   the payload is the timeout's name: the same type again moves it, without `sent_at` it is taken back. The contract has
    ///   points in time only; `created_at` of the trigger is the runtime's time.
    /// - **The end** (row P7) is an event without content in `process_events` whose type is `angzarr.ProcessManagerCompleted`:
    ///   timeouts are taken back, later triggers of its correlation id are ignored and counted.
    ///
    /// The contract has no place for a timeout of another component, for one without a payload, for a time that its commands' events
    /// are stored with, and for an end with a reason: what tries to say such a thing is a permanent failure that says why. And it has no
    /// `Replay` for process managers: each trigger comes with the whole history of its process.
    #[must_use]
    #[track_caller]
    pub fn remote_process_manager<D: AsRef<str>>(
        self,
        name: &str,
        domains: impl IntoIterator<Item = D>,
        at: impl Into<Remote>,
    ) -> Self {
        self.remote(Declaration::process_manager(name, domains, &at.into(), Location::caller()))
    }

    /// A projector in another process, behind a `ProjectorService` of the contract. It gets every event of its domains on the main
    /// timeline at least once, in the order of its stream (row J1); its read model is its own business, and by sequence it knows
    /// what it has seen. One event that it refuses parks its stream (row J2).
    #[must_use]
    #[track_caller]
    pub fn remote_projector<D: AsRef<str>>(
        self,
        name: &str,
        domains: impl IntoIterator<Item = D>,
        at: impl Into<Remote>,
    ) -> Self {
        self.remote(Declaration::projector(name, domains, &at.into(), Location::caller()))
    }

    /// The upcaster of a domain whose owner is elsewhere, behind an `UpcasterService` of the contract. Whoever reads stored events of
    /// the domain gets what it answers, with one call for each read (row U1); it runs its whole chain. What it answers keeps the
    /// sequence of the event that it is for: none is a dropped event, several are a split one (row U4). New events have the
    /// `schema_version` that the owner gives them. While it is out of reach nothing of the domain is read in the form of today.
    #[must_use]
    #[track_caller]
    pub fn remote_upcaster(self, domain: &str, at: impl Into<Remote>) -> Self {
        self.remote(Declaration::upcaster(domain, &at.into(), Location::caller()))
    }

    fn remote(mut self, declared: Result<Declaration, Problem>) -> Self {
        match declared {
            Ok(declaration) => self.remotes.push(declaration),
            Err(problem) => self.problems.push(problem),
        }
        self
    }

    pub(super) fn add_remotes(&self, registry: &mut Registry, problems: &mut Vec<Problem>) {
        let (last, first): (Vec<_>, Vec<_>) = self.remotes.iter().partition(|it| it.comes_last());
        for declaration in first.into_iter().chain(last) {
            declaration.register(registry, problems);
        }
    }
}
