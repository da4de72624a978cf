//! The address of a stream.

use prost_types::Any;

use crate::{AnyExt, Cover, DomainDivergence, Edition, UnpackError, Uuid};

/// The name that the main timeline goes by, where it is spelled out.
pub const MAIN_TIMELINE: &str = "angzarr";

impl Uuid {
    /// The identifier, if it has its 16 bytes.
    ///
    /// ```
    /// use angzarr_proto::Uuid;
    ///
    /// assert_eq!(Uuid::from([1; 16]).to_bytes(), Some([1; 16]));
    /// assert_eq!(Uuid { value: vec![1, 2] }.to_bytes(), None);
    /// ```
    pub fn to_bytes(&self) -> Option<[u8; 16]> {
        self.value.as_slice().try_into().ok()
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self { value: bytes.to_vec() }
    }
}

impl Edition {
    /// An edition by its name.
    ///
    /// ```
    /// use angzarr_proto::Edition;
    ///
    /// let edition = Edition::named("bonus").diverge("account", 2);
    /// assert_eq!(edition.divergence("account"), Some(2));
    /// assert_eq!(edition.divergence("order"), None);
    /// ```
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), divergences: Vec::new() }
    }

    /// Says where a domain leaves the main timeline: the first sequence that belongs to the edition. The last word on a
    /// domain counts.
    #[must_use]
    pub fn diverge(mut self, domain: impl Into<String>, sequence: u32) -> Self {
        let domain = domain.into();
        self.divergences.retain(|known| known.domain != domain);
        self.divergences.push(DomainDivergence { domain, sequence });
        self
    }

    /// Where a domain leaves the main timeline, if that was said. If it was said twice, the last word counts.
    pub fn divergence(&self, domain: &str) -> Option<u32> {
        self.divergences
            .iter()
            .rev()
            .find(|divergence| divergence.domain == domain)
            .map(|divergence| divergence.sequence)
    }

    /// Whether this is no edition at all, but the main timeline.
    ///
    /// ```
    /// use angzarr_proto::Edition;
    ///
    /// assert!(Edition::named("").is_main_timeline());
    /// assert!(Edition::named("angzarr").is_main_timeline());
    /// assert!(!Edition::named("Angzarr").is_main_timeline());
    /// ```
    pub fn is_main_timeline(&self) -> bool {
        self.name.is_empty() || self.name == MAIN_TIMELINE
    }
}

impl From<&str> for Edition {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}

impl From<String> for Edition {
    fn from(name: String) -> Self {
        Self::named(name)
    }
}

/// What can be done with a [`Cover`].
pub trait CoverExt: Sized {
    /// The cover of one aggregate on the main timeline.
    ///
    /// ```
    /// use angzarr_proto::{Cover, CoverExt};
    ///
    /// let cover = Cover::of("account", [7; 16]);
    /// assert_eq!(cover.domain, "account");
    /// assert_eq!(cover.root_bytes(), Some([7; 16]));
    /// assert!(cover.is_main_timeline());
    /// ```
    fn of(domain: impl Into<String>, root: [u8; 16]) -> Self;

    /// The same cover with a correlation id.
    ///
    /// ```
    /// use angzarr_proto::{Cover, CoverExt};
    ///
    /// let cover = Cover::of("account", [7; 16]).with_correlation("transfer-7");
    /// assert_eq!(cover.correlation(), Some("transfer-7"));
    /// ```
    #[must_use]
    fn with_correlation(self, correlation_id: impl Into<String>) -> Self;

    /// The same cover in an edition, given by name or as an [`Edition`]. The main timeline is written as no edition.
    ///
    /// ```
    /// use angzarr_proto::{Cover, CoverExt, Edition};
    ///
    /// let cover = Cover::of("account", [7; 16]).with_edition(Edition::named("bonus").diverge("account", 2));
    /// assert_eq!(cover.edition_name(), Some("bonus"));
    /// assert_eq!(cover.with_edition("angzarr").edition, None);
    /// ```
    #[must_use]
    fn with_edition(self, edition: impl Into<Edition>) -> Self;

    /// The same cover, saying in `ext` what it was caused by.
    ///
    /// ```
    /// use angzarr_proto::{Cover, CoverExt};
    ///
    /// let order = Cover::of("order", [1; 16]);
    /// let stock = Cover::of("stock", [2; 16]).with_parent(&order);
    /// assert_eq!(stock.unpack_parent_cover()?, Some(order));
    /// # Ok::<(), angzarr_proto::UnpackError>(())
    /// ```
    #[must_use]
    fn with_parent(self, parent: &Cover) -> Self;

    /// The root, if there is one and it has its 16 bytes.
    fn root_bytes(&self) -> Option<[u8; 16]>;

    /// The name of the edition; none on the main timeline, in whichever way that is written.
    fn edition_name(&self) -> Option<&str>;

    /// Whether the main timeline is meant: no edition, one without a name, or one named `angzarr`.
    fn is_main_timeline(&self) -> bool;

    /// The correlation id, unless it is empty.
    fn correlation(&self) -> Option<&str>;

    /// Whether both covers speak of the same stream: domain, root and edition. Cause and correlation do not matter.
    ///
    /// ```
    /// use angzarr_proto::{Cover, CoverExt};
    ///
    /// let cover = Cover::of("account", [7; 16]);
    /// assert!(cover.is_same_stream(&cover.clone().with_correlation("c").with_edition("angzarr")));
    /// assert!(!cover.is_same_stream(&cover.clone().with_edition("what-if")));
    /// ```
    fn is_same_stream(&self, other: &Cover) -> bool;

    /// Packs another cover into `ext`, in place of what was there. It is packed as it is: a parent that names its own
    /// parent carries the whole line along.
    fn pack_parent_cover(&mut self, parent: &Cover);

    /// The cover that was packed into `ext`; none if `ext` is unset or holds something else.
    ///
    /// # Errors
    /// When a cover was packed, but its bytes are malformed.
    fn unpack_parent_cover(&self) -> Result<Option<Cover>, UnpackError>;
}

impl CoverExt for Cover {
    fn of(domain: impl Into<String>, root: [u8; 16]) -> Self {
        Self { root: Some(root.into()), domain: domain.into(), ..Self::default() }
    }

    fn with_correlation(mut self, correlation_id: impl Into<String>) -> Self {
        self.correlation_id = correlation_id.into();
        self
    }

    fn with_edition(mut self, edition: impl Into<Edition>) -> Self {
        self.edition = Some(edition.into()).filter(|edition| !edition.is_main_timeline());
        self
    }

    fn with_parent(mut self, parent: &Cover) -> Self {
        self.pack_parent_cover(parent);
        self
    }

    fn root_bytes(&self) -> Option<[u8; 16]> {
        self.root.as_ref().and_then(Uuid::to_bytes)
    }

    fn edition_name(&self) -> Option<&str> {
        self.edition.as_ref().filter(|edition| !edition.is_main_timeline()).map(|edition| edition.name.as_str())
    }

    fn is_main_timeline(&self) -> bool {
        self.edition_name().is_none()
    }

    fn correlation(&self) -> Option<&str> {
        Some(self.correlation_id.as_str()).filter(|id| !id.is_empty())
    }

    fn is_same_stream(&self, other: &Cover) -> bool {
        self.domain == other.domain && self.root == other.root && self.edition_name() == other.edition_name()
    }

    fn pack_parent_cover(&mut self, parent: &Cover) {
        self.ext = Some(Any::pack(parent));
    }

    fn unpack_parent_cover(&self) -> Result<Option<Cover>, UnpackError> {
        self.ext.as_ref().filter(|ext| ext.is::<Cover>()).map(AnyExt::unpack).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    #[test]
    fn every_spelling_of_the_main_timeline() {
        let mut cover = Cover::of("d", [0; 16]);
        for edition in [
            None,
            Some(Edition::default()),
            Some(Edition::named("")),
            Some(Edition::named("angzarr")),
            Some(Edition::named("angzarr").diverge("d", 3)),
        ] {
            cover.edition = edition;
            assert!(cover.is_main_timeline());
            assert_eq!(cover.edition_name(), None);
        }
        for name in ["Angzarr", " ", "what-if"] {
            cover.edition = Some(name.into());
            assert!(!cover.is_main_timeline());
            assert_eq!(cover.edition_name(), Some(name));
        }
    }

    #[test]
    fn roots_of_any_other_length_are_none() {
        for length in (0..40).filter(|length| *length != 16) {
            let cover = Cover { root: Some(Uuid { value: vec![0; length] }), ..Cover::default() };
            assert_eq!(cover.root_bytes(), None, "{length}");
        }
        assert_eq!(Cover::default().root_bytes(), None);
    }

    #[test]
    fn the_last_divergence_counts() {
        let edition = Edition::named("e").diverge("a", 1).diverge("b", 2).diverge("a", 3);
        assert_eq!(edition.divergences.len(), 2);
        assert_eq!(edition.divergence("a"), Some(3));

        let doubled = Edition {
            divergences: [1, 4].map(|sequence| DomainDivergence { domain: "a".into(), sequence }).to_vec(),
            ..Edition::default()
        };
        assert_eq!(doubled.divergence("a"), Some(4));
    }

    #[test]
    fn parents() {
        let parent = Cover::of("order", [1; 16]).with_correlation("c");
        let mut cover = Cover::of("stock", [2; 16]);
        assert_eq!(cover.unpack_parent_cover(), Ok(None));

        cover.pack_parent_cover(&parent);
        assert_eq!(cover.unpack_parent_cover(), Ok(Some(parent.clone())));
        assert!(cover.is_same_stream(&Cover::of("stock", [2; 16])));

        cover.ext.as_mut().unwrap().type_url = "elsewhere/angzarr.Cover".into();
        assert_eq!(cover.unpack_parent_cover(), Ok(Some(parent)));

        cover.ext = Some(Any::pack(&Target::default()));
        assert_eq!(cover.unpack_parent_cover(), Ok(None));

        cover.ext = Some(Any { type_url: "x/angzarr.Cover".into(), value: vec![0xff] });
        assert!(cover.unpack_parent_cover().is_err());
    }

    #[test]
    fn an_empty_correlation_is_none() {
        assert_eq!(Cover::default().correlation(), None);
        assert_eq!(Cover::default().with_correlation("c").correlation(), Some("c"));
    }
}
