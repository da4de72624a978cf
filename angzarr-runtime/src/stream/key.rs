//! What a stream is: the events of one aggregate root on one timeline (contract: *stream*).

use std::fmt;

use uuid::Uuid;

use super::Name;

/// Identifies one stream: (domain, edition, root). The edition of the main timeline is the empty name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// The domain of the aggregate.
    pub domain: Name,
    /// The timeline; empty is the main one.
    pub edition: Name,
    /// The aggregate root.
    pub root: Uuid,
}

impl StreamKey {
    /// A stream on the main timeline.
    pub fn main(domain: impl Into<Name>, root: Uuid) -> Self {
        Self { domain: domain.into(), edition: Name::default(), root }
    }

    /// Whether this stream is on the main timeline.
    pub fn is_main(&self) -> bool {
        self.edition.is_empty()
    }

    /// The same root on the main timeline.
    pub fn on_main(&self) -> Self {
        Self { domain: self.domain.clone(), edition: Name::default(), root: self.root }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_main() {
            write!(f, "{}/{}", self.domain, self.root)
        } else {
            write!(f, "{}@{}/{}", self.domain, self.edition, self.root)
        }
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A stable root from a natural key: the same (domain, key) always gives the same root.
///
/// ```
/// use angzarr_runtime::root;
/// assert_eq!(root("account", "IBAN DE89"), root("account", "IBAN DE89"));
/// assert_ne!(root("account", "1"), root("order", "1"));
/// ```
pub fn root(domain: &str, key: impl AsRef<str>) -> Uuid {
    // A namespace of our own, so that our roots never equal a v5 id that somebody else derived from the same text.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6e0f_6a1c_52a7_5d0e_9b6d_0a46_9a7c_41d3);
    let domain = Uuid::new_v5(&NAMESPACE, domain.as_bytes());
    Uuid::new_v5(&domain, key.as_ref().as_bytes())
}
