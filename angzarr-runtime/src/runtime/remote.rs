//! Components in other languages, as they are said on the builder.

use std::panic::Location;

use super::Builder;
use crate::registry::{Problem, Registry};
use crate::remote::{Declaration, Remote};

impl Builder {
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

    fn remote(mut self, declared: Result<Declaration, Problem>) -> Self {
        match declared {
            Ok(declaration) => self.remotes.push(declaration),
            Err(problem) => self.problems.push(problem),
        }
        self
    }

    pub(super) fn add_remotes(&self, registry: &mut Registry, problems: &mut Vec<Problem>) {
        for declaration in &self.remotes {
            declaration.register(registry, problems);
        }
    }
}
