//! Who may call: a hook that is asked about every call but those for the server's health.
//!
//! In: the bearer token of a call, and which method it is for. Out: let in, or not. Never: a call without a token once there is a
//! hook, and no way in when the hook fails.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::storage::BoxFuture;

/// A call that wants in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// What stands behind `Bearer` in the metadata `authorization`.
    pub token: String,
    /// The method: `/angzarr.EventQueryService/GetEvents`.
    pub method: String,
    /// Where it comes from, if that is known.
    pub peer: Option<SocketAddr>,
    /// With mutual TLS: the certificates of the client, DER, its own first.
    pub certificates: Vec<Vec<u8>>,
}

/// Why a call may not in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// Nobody knows the token: `UNAUTHENTICATED`.
    Unknown,
    /// The token is known, and not for this method: `PERMISSION_DENIED`.
    Forbidden,
    /// Who knows tokens cannot be asked now: `UNAVAILABLE`, to be tried again.
    Unavailable,
}

/// Decides who may call. Any function of a [`Call`] whose future is a `Result<(), Denied>` is one, and so is [`Tokens`].
///
/// ```
/// use angzarr_runtime::server::{Call, Denied, Server};
/// # fn example(runtime: angzarr_runtime::Runtime) {
/// let server = Server::builder(runtime).authorize(|call: Call| async move {
///     if call.token == "a token of an operator" { Ok(()) } else { Err(Denied::Unknown) }
/// });
/// # }
/// ```
pub trait Authorize: Send + Sync + 'static {
    /// Whether the call may in. Asked for each call; a panic is a no.
    fn authorize(&self, call: Call) -> BoxFuture<'_, Result<(), Denied>>;
}

impl<F, Answer> Authorize for F
where
    F: Fn(Call) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<(), Denied>> + Send + 'static,
{
    fn authorize(&self, call: Call) -> BoxFuture<'_, Result<(), Denied>> {
        Box::pin(self(call))
    }
}

/// A fixed set of tokens, each of which may do everything.
#[derive(Clone)]
pub struct Tokens(Arc<[String]>);

impl Tokens {
    /// These tokens. An empty text is no token.
    pub fn new<T: Into<String>>(tokens: impl IntoIterator<Item = T>) -> Self {
        Self(tokens.into_iter().map(Into::into).filter(|token: &String| !token.is_empty()).collect())
    }
}

impl Authorize for Tokens {
    fn authorize(&self, call: Call) -> BoxFuture<'_, Result<(), Denied>> {
        // Every token is compared to its end, so that the time it takes tells nothing.
        let known = self.0.iter().fold(false, |known, token| known | is_same(token, &call.token));
        Box::pin(async move { if known { Ok(()) } else { Err(Denied::Unknown) } })
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

fn is_same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |found, (one, other)| found | (one ^ other));
    std::hint::black_box(differences) == 0 && one.len() == other.len()
}

/// The token of an `authorization`: the scheme counts in any case, `Bearer` and nothing else.
pub(super) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_one() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        for other in ["", "abc", "Basic abc", "Bearer", "Bearer ", "Bearerabc"] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_same("abc", "abc"));
        for other in ["", "ab", "abcd", "abd", "Abc"] {
            assert!(!is_same("abc", other), "{other:?}");
        }
    }
}
