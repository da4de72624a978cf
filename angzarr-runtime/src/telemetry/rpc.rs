//! A call over gRPC, on either side: its span, and the trace context that goes with it.
//!
//! In: service, method and metadata. Out: the span of the table in [`telemetry`](super), as a child of the caller's. Never: a failed
//! call because of a trace context that makes no sense; that is none.

use tonic::Code;
#[cfg(any(feature = "client", feature = "remote"))]
use tonic::metadata::MetadataMap;
use tracing::Span;
use tracing::field::Empty;

#[cfg(any(feature = "client", feature = "remote"))]
use crate::stream::TraceContext;

const TARGET: &str = "angzarr_runtime::rpc";

/// The span of a call that is answered here. What is no path of a method has none.
#[cfg(feature = "server")]
pub(crate) fn server_span(path: &str, headers: &http::HeaderMap) -> Span {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
        return Span::none();
    };
    let span = tracing::debug_span!(
        target: TARGET,
        "rpc_server",
        otel.name = format!("{service}/{method}"),
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
    );
    #[cfg(feature = "otel")]
    super::otel::continue_from_caller(&span, headers);
    #[cfg(not(feature = "otel"))]
    let _ = headers;
    span
}

/// The span of a call that is made from here: of a client, or of a component in another process.
#[cfg(any(feature = "client", feature = "remote"))]
pub(crate) fn client_span((service, method): (&str, &str), component: Option<&str>, address: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "rpc_client",
        otel.name = format!("{service}/{method}"),
        otel.kind = "client",
        otel.status_code = Empty,
        component,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
        server.address = address,
    )
}

/// Sends the trace context of a span along; where nobody traces, the one that what the call is about has brought.
#[cfg(any(feature = "client", feature = "remote"))]
pub(crate) fn send_along(span: &Span, brought: Option<TraceContext>, metadata: &mut MetadataMap) {
    #[cfg(feature = "otel")]
    if super::otel::send_along(span, metadata) {
        return;
    }
    #[cfg(not(feature = "otel"))]
    let _ = span;
    if let Some(parent) = brought.and_then(|trace| trace.to_string().parse().ok()) {
        metadata.insert("traceparent", parent);
    }
}

/// What came of a call that was made from here.
#[cfg(any(feature = "client", feature = "remote"))]
pub(crate) fn called(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}

/// What came of a call that was answered here. That a caller is told no is no error of the server.
#[cfg(feature = "server")]
pub(crate) fn answered(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", code as i32);
    let is_ours = matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    );
    if is_ours {
        span.record("otel.status_code", "ERROR");
    }
}
