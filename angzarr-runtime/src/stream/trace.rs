//! Where a command stands in a distributed trace.
//!
//! In: what W3C calls a trace parent, as text, or as a store keeps it. Out: the same, checked. Never: a tracing library; those
//! that have one find themselves in `telemetry::otel`.

use std::fmt;
use std::str::FromStr;

/// The W3C trace context of the span that a command ran in: it goes with the command's events, and on to what reacts to them.
///
/// ```
/// use angzarr_runtime::stream::TraceContext;
/// let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context: TraceContext = text.parse().unwrap();
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), text);
/// assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
/// assert!("00-00000000000000000000000000000000-b7ad6b7169203331-01".parse::<TraceContext>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

/// A text that is no trace parent of W3C's version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C trace parent: `00-` and 32, 16 and 2 lower-case hexadecimal digits, ids not all zero")]
pub struct NoTraceContext;

impl TraceContext {
    pub(crate) const BYTES: usize = 25;

    /// A context of these ids; `None` if one of them is all zero, which W3C calls invalid.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self { trace_id, span_id, flags })
    }

    /// The trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The span within the trace.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// The flags.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether somebody records the trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// As a store keeps it: trace id, span id, flags.
    pub fn to_bytes(&self) -> [u8; 25] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.span_id);
        bytes[24] = self.flags;
        bytes
    }

    /// From what [`to_bytes`](Self::to_bytes) made; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace_id, rest) = bytes.split_first_chunk::<16>()?;
        let (span_id, rest) = rest.split_first_chunk::<8>()?;
        match rest {
            [flags] => Self::new(*trace_id, *span_id, *flags),
            _ => None,
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace_id, span_id) = (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

impl FromStr for TraceContext {
    type Err = NoTraceContext;

    fn from_str(text: &str) -> Result<Self, NoTraceContext> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| -> Result<u128, NoTraceContext> {
            let is_digit = |it: u8| it.is_ascii_digit() || matches!(it, b'a'..=b'f');
            let part =
                parts.next().filter(|it| it.len() == digits && it.bytes().all(is_digit)).ok_or(NoTraceContext)?;
            u128::from_str_radix(part, 16).map_err(|_| NoTraceContext)
        };
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        if version != 0 || parts.next().is_some() {
            return Err(NoTraceContext);
        }
        let (span_id, flags) = (u64::try_from(span_id), u8::try_from(flags));
        let (span_id, flags) = (span_id.map_err(|_| NoTraceContext)?, flags.map_err(|_| NoTraceContext)?);
        Self::new(trace_id.to_be_bytes(), span_id.to_be_bytes(), flags).ok_or(NoTraceContext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_parent_is_refused() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(good.parse::<TraceContext>().is_ok());
        for bad in [
            "",
            "00",
            &good[..54],
            &format!("{good}-x"),
            &good.to_uppercase(),
            &good.replacen("00", "01", 1),
            &good.replace("b7ad6b7169203331", "0000000000000000"),
            &good.replace('7', "+"),
            &good.replace("af", "ä"),
        ] {
            assert_eq!(bad.parse::<TraceContext>(), Err(NoTraceContext), "{bad}");
        }
        for bytes in [&[][..], &[1; 24], &[1; 26], &[0; 25]] {
            assert_eq!(TraceContext::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
