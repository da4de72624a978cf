//! How a handler says no.

use std::borrow::Cow;
use std::fmt;

use crate::error::Code;

/// A command handler's refusal: nothing is stored, and the caller gets code, reason and details (row C4).
///
/// A rejection is never retried by the framework: with the same state the handler would refuse again.
///
/// ```
/// use angzarr_runtime::Rejection;
/// let no = Rejection::new("insufficient_funds", "balance is 5, wanted 9");
/// assert_eq!(no.code(), "insufficient_funds");
/// assert_eq!(no.to_string(), "insufficient_funds: balance is 5, wanted 9");
/// ```
#[derive(Clone, Debug)]
pub struct Rejection {
    code: Cow<'static, str>,
    reason: Cow<'static, str>,
    status: Code,
    details: Vec<prost_types::Any>,
    /// The command that was refused.
    pub(crate) subject: crate::error::Subject,
}

/// Two rejections are equal if they say the same, whatever command they answer.
impl PartialEq for Rejection {
    fn eq(&self, other: &Self) -> bool {
        (&self.code, &self.reason, self.status, &self.details)
            == (&other.code, &other.reason, other.status, &other.details)
    }
}

impl Rejection {
    /// FAILED_PRECONDITION: the state does not allow the command. `code` is stable and for programs, `reason` for people.
    pub fn new(code: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            reason: reason.into(),
            status: Code::FailedPrecondition,
            details: Vec::new(),
            subject: Default::default(),
        }
    }

    /// INVALID_ARGUMENT: the command makes no sense in any state.
    pub fn invalid_argument(code: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Code::InvalidArgument, ..Self::new(code, reason) }
    }

    /// NOT_FOUND: what the command speaks of does not exist.
    pub fn not_found(code: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Code::NotFound, ..Self::new(code, reason) }
    }

    /// One that came over the wire.
    #[cfg(feature = "client")]
    pub(crate) fn received(status: Code, code: String, reason: String, details: Vec<prost_types::Any>) -> Self {
        Self { status, details, ..Self::new(code, reason) }
    }

    /// Adds a message to the details that the caller gets.
    #[must_use]
    pub fn with_detail<M: super::Message>(mut self, detail: &M) -> Self {
        self.details.push(prost_types::Any {
            type_url: format!("type.googleapis.com/{}", M::full_name()),
            value: detail.encode_to_vec(),
        });
        self
    }

    /// With details as they came over the wire.
    #[cfg(feature = "remote")]
    pub(crate) fn with_details(mut self, details: Vec<prost_types::Any>) -> Self {
        self.details = details;
        self
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The reason; empty if the handler gave none.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The gRPC status it is answered with.
    pub fn status(&self) -> Code {
        self.status
    }

    /// The details.
    pub fn details(&self) -> &[prost_types::Any] {
        &self.details
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() { f.write_str(&self.code) } else { write!(f, "{}: {}", self.code, self.reason) }
    }
}

impl std::error::Error for Rejection {}

/// Rejects the command unless a condition holds: `ensure!(condition, "code")`, and with a reason for people, which may be
/// a format string, `ensure!(condition, "code", "only {} left", left)`.
///
/// ```
/// use angzarr_runtime::{ensure, Rejection};
/// fn withdraw(balance: i64, amount: i64) -> Result<i64, Rejection> {
///     ensure!(amount > 0, "not_positive");
///     ensure!(amount <= balance, "insufficient_funds", "balance is {balance}, wanted {amount}");
///     Ok(balance - amount)
/// }
/// assert_eq!(withdraw(5, 9).unwrap_err().reason(), "balance is 5, wanted 9");
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        ::core::compile_error!(
            "`ensure!` needs a code, by which programs tell rejections apart: write `ensure!(condition, \"a_code\")`, or \
             `ensure!(condition, \"a_code\", \"a reason for people\")`"
        )
    };
    ($condition:expr, $code:expr $(,)?) => {
        if !$condition {
            return ::core::result::Result::Err(::core::convert::Into::into($crate::Rejection::new($code, "")));
        }
    };
    ($condition:expr, $code:expr, $($reason:tt)+) => {
        if !$condition {
            return ::core::result::Result::Err(::core::convert::Into::into($crate::Rejection::new(
                $code,
                ::std::format!($($reason)+),
            )));
        }
    };
}

/// Why a saga, process manager or projector could not handle an event. Any error converts into it by `?`.
///
/// Failures are transient unless said otherwise: they are retried with backoff, then dead-lettered. A permanent one is
/// dead-lettered at once (row D4).
///
/// ```
/// use angzarr_runtime::ReactionError;
/// fn parse(text: &str) -> Result<u32, ReactionError> {
///     Ok(text.parse::<u32>()?)
/// }
/// assert!(!parse("x").unwrap_err().is_permanent());
/// assert!(ReactionError::permanent("unknown currency").is_permanent());
/// ```
#[derive(Debug)]
pub struct ReactionError {
    message: String,
    permanent: bool,
    /// Nothing was asked: the event has to wait.
    outage: bool,
}

/// What projector handlers fail with.
pub type ProjectionError = ReactionError;

impl ReactionError {
    /// A failure that a later try may not have.
    pub fn transient(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), permanent: false, outage: false }
    }

    /// A failure that every try will have.
    pub fn permanent(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), permanent: true, outage: false }
    }

    /// Who is to be asked is out of reach: that says nothing about the event, and counts as no try.
    pub(crate) fn outage(message: impl fmt::Display) -> Self {
        Self { outage: true, ..Self::transient(message) }
    }

    pub(crate) fn is_outage(&self) -> bool {
        self.outage
    }

    /// Whether a retry is pointless.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }

    /// What happened.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// As the answer of a call.
    #[cfg(feature = "server")]
    pub(crate) fn of(self, handler: &str) -> crate::error::Error {
        crate::error::Error::Reaction {
            handler: handler.to_owned(),
            message: self.message,
            permanent: self.permanent,
            subject: Default::default(),
        }
    }
}

// Not `std::error::Error`, so that any such error converts by `?` (the same choice as anyhow's).
impl<E: std::error::Error + Send + Sync + 'static> From<E> for ReactionError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::transient(message)
    }
}

impl fmt::Display for ReactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
