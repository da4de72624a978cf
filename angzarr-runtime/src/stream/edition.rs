//! Editions: branches of the timeline (contract rows B).

use std::collections::HashMap;

use super::Name;
use super::limits::shorten;
use crate::error::Error;

/// The timeline that a command or a query speaks of, with optional explicit divergence points.
///
/// ```
/// use angzarr_runtime::Edition;
/// let what_if = Edition::named("bonus").diverge("account", 2);
/// assert_eq!(what_if.name(), "bonus");
/// assert_eq!(what_if.divergence("account"), Some(2));
/// assert!(Edition::main().is_main());
/// assert!(Edition::named("angzarr").is_main());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edition {
    name: Name,
    divergences: Vec<(Name, u32)>,
}

impl Edition {
    /// The main timeline.
    pub fn main() -> Self {
        Self::default()
    }

    /// A branch by name. `""` and `"angzarr"` are the main timeline.
    pub fn named(name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        let name = if name == "angzarr" { Name::default() } else { Name::new(name) };
        Self { name, divergences: Vec::new() }
    }

    /// Says that streams of `domain` leave the main timeline before `sequence` (row B2).
    #[must_use]
    pub fn diverge(mut self, domain: impl AsRef<str>, sequence: u32) -> Self {
        self.divergences.push((Name::new(domain.as_ref()), sequence));
        self
    }

    /// The name; empty for the main timeline.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether this is the main timeline.
    pub fn is_main(&self) -> bool {
        self.name.is_empty()
    }

    /// The explicit divergence point of `domain`, if one was given.
    pub fn divergence(&self, domain: &str) -> Option<u32> {
        self.divergences.iter().find(|(name, _)| name == domain).map(|(_, sequence)| *sequence)
    }

    /// A domain leaves the main timeline at one place.
    pub(crate) fn check_divergences(&self) -> Result<(), Error> {
        let mut seen = HashMap::with_capacity(self.divergences.len());
        for (domain, sequence) in self.divergences() {
            if let Some(other) = seen.insert(domain, sequence) {
                let message = format!("`{}` is there twice, with {other} and {sequence}", shorten(domain));
                return Err(Error::invalid_argument("cover.edition.divergences", message));
            }
        }
        Ok(())
    }

    /// The same as events carry it (row B4).
    pub(crate) fn named_divergences(&self) -> Vec<(Name, u32)> {
        self.divergences.clone()
    }

    /// The edition of a stream whose event carries these divergence points (row B4).
    pub(crate) fn of(name: &Name, divergences: &[(Name, u32)]) -> Self {
        Self { name: name.clone(), divergences: divergences.to_vec() }
    }

    /// Every explicit divergence point.
    pub fn divergences(&self) -> impl Iterator<Item = (&str, u32)> {
        self.divergences.iter().map(|(domain, sequence)| (domain.as_str(), *sequence))
    }
}

impl From<&str> for Edition {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}
