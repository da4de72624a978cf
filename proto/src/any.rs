//! Messages in an `Any`: how they are named, packed and unpacked.

use prost::{DecodeError, Message, Name};
use prost_types::Any;

/// What we write before the type name. Any other prefix is read just as well.
pub const TYPE_URL_PREFIX: &str = "type.googleapis.com/";

/// Why a message could not be taken out of its wrapping.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// Another type is in there.
    #[error("expected a message of type `{expected}`, found `{found}`")]
    #[non_exhaustive]
    TypeMismatch {
        /// The full name of the type that was asked for.
        expected: String,
        /// The full name of the type that is there.
        found: String,
    },
    /// The type is right, the bytes are not.
    #[error("malformed `{type_name}`: {source}")]
    #[non_exhaustive]
    Malformed {
        /// The full name of the type.
        type_name: String,
        /// What is wrong with the bytes.
        source: DecodeError,
    },
    /// There is no message here, or it lies outside of its page.
    #[error("expected a message of type `{expected}`, found no payload in the page")]
    #[non_exhaustive]
    NoPayload {
        /// The full name of the type that was asked for.
        expected: String,
    },
}

/// The full name that a type URL ends with: all that follows the last `/`.
///
/// ```
/// use angzarr_proto::type_name_of;
///
/// assert_eq!(type_name_of("type.googleapis.com/orders.Created"), "orders.Created");
/// assert_eq!(type_name_of("/orders.Created"), "orders.Created");
/// assert_eq!(type_name_of("orders.Created"), "orders.Created");
/// ```
pub fn type_name_of(type_url: &str) -> &str {
    type_url.rsplit_once('/').map_or(type_url, |(_prefix, name)| name)
}

/// The type URL that we write for a full name.
///
/// ```
/// assert_eq!(angzarr_proto::type_url_of("orders.Created"), "type.googleapis.com/orders.Created");
/// ```
pub fn type_url_of(full_name: &str) -> String {
    [TYPE_URL_PREFIX, full_name].concat()
}

/// Packs a message under its own name.
///
/// ```
/// use angzarr_proto::{Target, pack};
///
/// let any = pack(&Target { domain: "orders".into() });
/// assert_eq!(any.type_url, "type.googleapis.com/angzarr.Target");
/// ```
pub fn pack<M: Message + Name>(message: &M) -> Any {
    pack_as(&full_name_of::<M>(), message)
}

/// Packs a message under a given full name, for types that do not know their name themselves.
///
/// ```
/// use angzarr_proto::{Target, pack_as};
///
/// let any = pack_as("orders.Goal", &Target { domain: "orders".into() });
/// assert_eq!(any.type_url, "type.googleapis.com/orders.Goal");
/// ```
pub fn pack_as<M: Message>(full_name: &str, message: &M) -> Any {
    Any { type_url: type_url_of(full_name), value: message.encode_to_vec() }
}

/// The full name of a type. A type without a package has no leading dot, however its name was declared.
pub(crate) fn full_name_of<M: Name>() -> String {
    let mut name = M::full_name();
    if name.starts_with('.') {
        name.remove(0);
    }
    name
}

/// What can be done with an [`Any`].
pub trait AnyExt: Sized {
    /// Packs a message under its own name; see [`pack`].
    fn pack<M: Message + Name>(message: &M) -> Self;

    /// The full name of the packed type.
    ///
    /// ```
    /// use angzarr_proto::{AnyExt, prost_types::Any};
    ///
    /// let any = Any { type_url: "schemas.example/v1/orders.Created".into(), value: vec![] };
    /// assert_eq!(any.type_name(), "orders.Created");
    /// ```
    fn type_name(&self) -> &str;

    /// Whether an `M` is packed. Names are compared exactly, prefixes not at all.
    ///
    /// ```
    /// use angzarr_proto::{AnyExt, Cover, Edition, prost_types::Any};
    ///
    /// assert!(Any::pack(&Cover::default()).is::<Cover>());
    /// assert!(!Any::pack(&Cover::default()).is::<Edition>());
    /// ```
    fn is<M: Name>(&self) -> bool;

    /// Takes out an `M`.
    ///
    /// ```
    /// use angzarr_proto::{AnyExt, Cover, Target, UnpackError, prost_types::Any};
    ///
    /// let any = Any::pack(&Target { domain: "orders".into() });
    /// assert_eq!(any.unpack::<Target>()?.domain, "orders");
    /// assert_eq!(
    ///     any.unpack::<Cover>().unwrap_err().to_string(),
    ///     "expected a message of type `angzarr.Cover`, found `angzarr.Target`",
    /// );
    /// # Ok::<(), UnpackError>(())
    /// ```
    ///
    /// # Errors
    /// When another type is packed, or when the bytes are malformed.
    fn unpack<M: Message + Name + Default>(&self) -> Result<M, UnpackError>;

    /// Takes out an `M` that was packed under a given full name; the counterpart of [`pack_as`].
    ///
    /// # Errors
    /// When another type is packed, or when the bytes are malformed.
    fn unpack_as<M: Message + Default>(&self, full_name: &str) -> Result<M, UnpackError>;
}

impl AnyExt for Any {
    fn pack<M: Message + Name>(message: &M) -> Self {
        pack(message)
    }

    fn type_name(&self) -> &str {
        type_name_of(&self.type_url)
    }

    fn is<M: Name>(&self) -> bool {
        // The first half spares most of the comparisons that fail the making of a full name.
        self.type_name().ends_with(M::NAME) && self.type_name() == full_name_of::<M>()
    }

    fn unpack<M: Message + Name + Default>(&self) -> Result<M, UnpackError> {
        self.unpack_as(&full_name_of::<M>())
    }

    fn unpack_as<M: Message + Default>(&self, full_name: &str) -> Result<M, UnpackError> {
        if self.type_name() != full_name {
            return Err(UnpackError::TypeMismatch {
                expected: full_name.to_owned(),
                found: self.type_name().to_owned(),
            });
        }
        M::decode(self.value.as_slice())
            .map_err(|source| UnpackError::Malformed { type_name: full_name.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Cover, Target};

    #[test]
    fn packs_with_our_prefix() {
        let any = Any::pack(&Cover::default());
        assert_eq!(any.type_url, "type.googleapis.com/angzarr.Cover");
        // prost's own packing agrees.
        assert_eq!(Any::from_msg(&Cover::default()).unwrap(), any);
    }

    #[test]
    fn a_type_without_package_has_no_leading_dot() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Bare {}
        impl Name for Bare {
            const NAME: &'static str = "Bare";
            const PACKAGE: &'static str = "";
        }
        assert_eq!(full_name_of::<Bare>(), "Bare");
        assert!(pack(&Bare {}).unpack::<Bare>().is_ok());
    }

    #[test]
    fn names_are_compared_exactly() {
        for url in [
            "Target",
            "x/Target",
            "x/angzarr.v2.Target",
            "x/my.angzarr.Target",
            "x/angzarr.Targe",
            "x/angzarr.Target ",
            "x/.angzarr.Target",
            "x/angzarr.target",
            "angzarr.Target/",
            "",
        ] {
            let any = Any { type_url: url.into(), value: vec![] };
            assert!(!any.is::<Target>(), "{url}");
            assert!(matches!(any.unpack::<Target>(), Err(UnpackError::TypeMismatch { .. })), "{url}");
        }
    }

    #[test]
    fn malformed_bytes_are_told_apart() {
        let any = Any { type_url: type_url_of("angzarr.Target"), value: vec![0xff] };
        let error = any.unpack::<Target>().unwrap_err();
        assert!(matches!(&error, UnpackError::Malformed { type_name, .. } if type_name == "angzarr.Target"));
        assert!(error.to_string().starts_with("malformed `angzarr.Target`"));
    }

    #[test]
    fn a_name_may_be_given() {
        let any = pack_as("a.B", &Target { domain: "d".into() });
        assert_eq!(any.unpack_as::<Target>("a.B").unwrap().domain, "d");
        assert!(any.unpack_as::<Target>("B").is_err());
        assert!(any.unpack::<Target>().is_err());
    }

    proptest! {
        #[test]
        fn any_prefix_is_accepted(prefix in ".*", domain in ".*") {
            let mut any = Any::pack(&Target { domain: domain.clone() });
            any.type_url = format!("{prefix}/angzarr.Target");
            prop_assert!(any.is::<Target>());
            prop_assert_eq!(any.unpack::<Target>().unwrap().domain, domain);
        }

        #[test]
        fn any_bytes_are_survived(type_url in ".*", value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Any { type_url, value: value.clone() }.unpack::<Cover>();
            let _ = Any { type_url: type_url_of("angzarr.Cover"), value }.unpack::<Cover>();
        }
    }
}
