//! Components in other languages, for documentation and tools.
//!
//! In: the registry. Out: what each of them is, what it listens to or owns, where it is called and how. Never: what it does with which
//! message, which is known there only; or a password that stands in an address.

use std::fmt;
use std::time::Duration;

use crate::declare::{Location, SnapshotPolicy};
use crate::registry::Registry;
use crate::remote::Client;

/// A component that is called in another process.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) kind: Kind,
    pub(crate) name: &'static str,
    /// Whose events it gets; of an aggregate and an upcaster the domain that it is for.
    pub(crate) domains: Vec<&'static str>,
    pub(crate) address: String,
    pub(crate) deadline: Duration,
    /// Events between two snapshots.
    pub(crate) snapshot: Option<u32>,
    /// Where the builder was told.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(crate) location: Location,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Aggregate,
    Saga,
    ProcessManager,
    Projector,
    Upcaster,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::Saga => "saga",
            Self::ProcessManager => "process manager",
            Self::Projector => "projector",
            Self::Upcaster => "upcaster",
        }
    }
}

impl Elsewhere {
    /// All of them: aggregates, sagas, process managers, projectors, upcasters, each by name.
    pub(crate) fn all(registry: &Registry) -> Vec<Self> {
        let of = |kind, name, domains: &[&'static str], at: &Client, snapshot: Option<SnapshotPolicy>, location| {
            let mut domains = domains.to_vec();
            domains.sort_unstable();
            let (address, deadline) = (without_password(at.address()), at.deadline());
            Self { kind, name, domains, address, deadline, snapshot: snapshot.map(|it| it.every), location }
        };
        let aggregates = registry.aggregates.values().filter_map(|it| {
            let descriptor = it.descriptor;
            let (domain, policy) = (descriptor.domain, descriptor.snapshot);
            Some(of(Kind::Aggregate, domain, &[domain], it.remote.as_ref()?, policy, descriptor.location))
        });
        let sagas = registry.sagas.values().filter_map(|it| {
            let descriptor = it.descriptor;
            let domains = &[descriptor.domain];
            Some(of(Kind::Saga, descriptor.name, domains, it.remote.as_ref()?, None, descriptor.location))
        });
        let processes = registry.process_managers.values().filter_map(|it| {
            let (state, sources) = (it.descriptor.state, it.descriptor.sources);
            Some(of(Kind::ProcessManager, state.domain, sources, it.state.remote.as_ref()?, None, state.location))
        });
        let projectors = registry.projectors.values().filter_map(|it| {
            let descriptor = it.descriptor;
            let at = it.remote.as_ref()?;
            Some(of(Kind::Projector, descriptor.name, descriptor.domains, at, None, descriptor.location))
        });
        let upcasters = registry.elsewhere.iter().filter_map(|(domain, upcaster)| {
            let (at, location) = upcaster.as_ref()?;
            Some(of(Kind::Upcaster, domain, &[domain], at, None, *location))
        });
        aggregates.chain(sagas).chain(processes).chain(projectors).chain(upcasters).collect()
    }

    /// Whether events of a domain are brought to it.
    pub(crate) fn listens_to(&self, domain: &str) -> bool {
        matches!(self.kind, Kind::Saga | Kind::ProcessManager | Kind::Projector) && self.domains.contains(&domain)
    }

    /// Whether it has a stream of its own in this domain.
    pub(crate) fn owns(&self, domain: &str) -> bool {
        matches!(self.kind, Kind::Aggregate | Kind::ProcessManager) && self.name == domain
    }
}

/// In one line, for a person.
impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, domains, address, deadline, .. } = self;
        write!(f, "remote {} `{name}`", kind.as_str())?;
        match kind {
            Kind::Aggregate | Kind::Upcaster => {}
            _ => {
                let domains: Vec<_> = domains.iter().map(|domain| format!("`{domain}`")).collect();
                write!(f, ", listens to {},", domains.join(", "))?;
            }
        }
        write!(f, " at {address}, deadline {deadline:?}")?;
        match self.snapshot {
            Some(1) => f.write_str(", a snapshot after every event"),
            Some(every) => write!(f, ", a snapshot every {every} events"),
            None => Ok(()),
        }
    }
}

/// An address as it may be shown.
pub(crate) fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}"),
        None => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_password("http://me:secret@there:1/x@y"), "http://…@there:1/x@y");
        assert_eq!(without_password("http://there:1"), "http://there:1");
    }
}
