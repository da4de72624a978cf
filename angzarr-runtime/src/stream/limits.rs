//! The limits of the contract (section L), each configurable.

use std::borrow::Cow;

use crate::error::Error;

/// What is refused, and with what bound. Every check happens before anything is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one command or event payload.
    pub payload_bytes: usize,
    /// Bytes of `Cover.ext`.
    pub ext_bytes: usize,
    /// Events from one command.
    pub events_per_command: usize,
    /// Pages in one command book.
    pub pages_per_book: usize,
    /// Characters of a domain name.
    pub domain_name_chars: usize,
    /// Characters of an edition name.
    pub edition_name_chars: usize,
    /// Bytes of a correlation id or an external id.
    pub id_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 4 * 1024 * 1024,
            ext_bytes: 4 * 1024,
            events_per_command: 1_000,
            pages_per_book: 1_000,
            domain_name_chars: 64,
            edition_name_chars: 64,
            id_bytes: 255,
        }
    }
}

/// Whether `name` is 1–`max` of `a-z 0-9 _ -` (and what `extra` adds), starting with a letter.
pub(crate) fn valid_name(name: &str, max: usize, extra: &[u8]) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= max
        && bytes[0].is_ascii_lowercase()
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-') || extra.contains(b))
}

impl Limits {
    pub(crate) fn check_domain(&self, domain: &str) -> Result<(), Error> {
        self.check_domain_of(|| "cover.domain".into(), domain)
    }

    /// The same for another part of the request, whose name is made where it is needed.
    pub(crate) fn check_domain_of(&self, field: impl FnOnce() -> Cow<'static, str>, domain: &str) -> Result<(), Error> {
        if valid_name(domain, self.domain_name_chars, b"") {
            return Ok(());
        }
        let (name, max) = (shorten(domain), self.domain_name_chars);
        let message = format!("`{name}` is not a domain name: 1 to {max} of a-z 0-9 _ -, starting with a letter");
        Err(Error::invalid_argument(field(), message))
    }

    pub(crate) fn check_edition(&self, edition: &str) -> Result<(), Error> {
        self.check_edition_of(|| "cover.edition.name".into(), edition)
    }

    /// The same for another part of the request.
    pub(crate) fn check_edition_of(
        &self,
        field: impl FnOnce() -> Cow<'static, str>,
        edition: &str,
    ) -> Result<(), Error> {
        if edition.is_empty() || valid_name(edition, self.edition_name_chars, b".") {
            return Ok(());
        }
        let (name, max) = (shorten(edition), self.edition_name_chars);
        let message = format!("`{name}` is not an edition name: 1 to {max} of a-z 0-9 _ - ., starting with a letter");
        Err(Error::invalid_argument(field(), message))
    }

    /// A correlation or external id: printable UTF-8, 1 to `id_bytes` bytes.
    pub(crate) fn check_id(&self, field: &'static str, id: &str) -> Result<(), Error> {
        self.check_id_of(|| field.into(), id)
    }

    /// The same for a part of the request whose name has to be made.
    pub(crate) fn check_id_of(&self, field: impl FnOnce() -> Cow<'static, str>, id: &str) -> Result<(), Error> {
        if !id.is_empty() && id.len() <= self.id_bytes && !id.chars().any(char::is_control) {
            return Ok(());
        }
        let message = format!("`{}` is not an id: 1 to {} bytes of printable UTF-8", shorten(id), self.id_bytes);
        Err(Error::invalid_argument(field(), message))
    }

    pub(crate) fn check_ext(&self, ext: &prost_types::Any) -> Result<(), Error> {
        let size = prost::Message::encoded_len(ext);
        if size <= self.ext_bytes {
            return Ok(());
        }
        Err(Error::limit("cover.ext", size, self.ext_bytes, "bytes; keep what every event carries small"))
    }

    pub(crate) fn check_payload(&self, field: impl FnOnce() -> Cow<'static, str>, size: usize) -> Result<(), Error> {
        if size <= self.payload_bytes {
            return Ok(());
        }
        Err(Error::limit(field(), size, self.payload_bytes, "bytes; store large content elsewhere and refer to it"))
    }
}

/// A text from outside, for an error.
pub(crate) fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 {
        return text.escape_debug().to_string();
    }
    text.chars().take(80).collect::<String>().escape_debug().to_string() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l_names_are_bounded_and_start_with_a_letter() {
        let limits = Limits::default();
        for good in ["a", "account", "a-b_c9", &"x".repeat(64)] {
            assert!(limits.check_domain(good).is_ok(), "{good}");
        }
        for bad in ["", "9a", "-a", "A", "a.b", "ä", "a b", &"x".repeat(65)] {
            assert_eq!(limits.check_domain(bad).unwrap_err().code(), "INVALID_ARGUMENT", "{bad}");
        }
        assert!(limits.check_edition("v2.1").is_ok());
        assert!(limits.check_edition(".v2").is_err());
    }

    #[test]
    fn l_ids_are_printable_and_bounded() {
        let limits = Limits::default();
        assert!(limits.check_id("correlation_id", "Überweisung 7").is_ok());
        for bad in ["", "a\nb", &"x".repeat(256)] {
            assert!(limits.check_id("correlation_id", bad).is_err(), "{bad:?}");
        }
    }
}
