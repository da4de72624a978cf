//! OpenTelemetry: one trace from a command through its events to what reacts to them, in this process or the next.
//!
//! In: the spans of [`telemetry`](super), and the trace context that commands and events carry. Out: spans with the right
//! parents, to an OTLP collector. Never: a trace context where no OpenTelemetry layer listens.
//!
//! The span of a command goes with its events ([`Headers::trace`]), so that a saga, process manager or projector that handles one
//! goes on with the trace: at once, after a restart, in another process. A program needs one line for it:
//!
//! ```no_run
//! use angzarr_runtime::{Runtime, telemetry};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = Runtime::builder();
//! let _traces = telemetry::otel::install(builder.telemetry_config())?; // what is left goes out when it is dropped
//! # Ok(()) }
//! ```
//!
//! Whoever has a subscriber already adds [`layer`] to it. The spans are of level DEBUG: a filter has to let
//! `angzarr_runtime=debug` through to the layer.

#[cfg(feature = "server")]
use opentelemetry::propagation::Extractor;
#[cfg(any(feature = "client", feature = "remote"))]
use opentelemetry::propagation::Injector;
#[cfg(any(feature = "client", feature = "remote", feature = "server"))]
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
#[cfg(any(feature = "client", feature = "remote", feature = "server"))]
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::runtime::TelemetryConfig;
use crate::stream::{Headers, TraceContext};

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtelError {
    /// There can be no connection to such a collector.
    #[error(
        "no traces can be sent to {endpoint}: {message}; `telemetry.otlp_endpoint` is the address of an OTLP collector (gRPC)"
    )]
    Exporter {
        /// Its address.
        endpoint: String,
        /// What is wrong.
        message: String,
    },
    /// The program listens already.
    #[error(
        "this program has a `tracing` subscriber already; add `telemetry::otel::layer` to it instead of calling `install`"
    )]
    Subscriber,
}

impl OtelError {
    /// A stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exporter { .. } => "OTEL_EXPORTER",
            Self::Subscriber => "OTEL_SUBSCRIBER",
        }
    }
}

/// Sends what is left when it is dropped: keep it until the program ends. From [`install`] and [`layer`].
#[must_use = "traces end when it is dropped"]
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends what is finished now; whether it arrived.
    pub fn flush(&self) -> bool {
        self.0.as_ref().is_none_or(|provider| provider.force_flush().is_ok())
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some traces were not sent");
        }
    }
}

/// Sends the traces of this program to the collector of the configuration; without one nothing is set up. Call it inside of
/// the tokio runtime.
///
/// # Errors
/// The endpoint makes no sense, or the program has a subscriber already.
pub fn install(config: &TelemetryConfig) -> Result<Traces, OtelError> {
    if config.otlp_endpoint.is_none() {
        return Ok(Traces::default());
    }
    let (layer, traces) = layer(config)?;
    let filter = Targets::new().with_default(Level::INFO).with_target("angzarr_runtime", Level::DEBUG);
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
    subscriber.try_init().map_err(|_| OtelError::Subscriber)?;
    Ok(traces)
}

/// The layer that [`install`] uses, for a subscriber of your own. Without an endpoint in the configuration it sends to
/// `http://localhost:4317`. Call it inside of the tokio runtime.
///
/// # Errors
/// The endpoint makes no sense.
pub fn layer<S>(config: &TelemetryConfig) -> Result<(OpenTelemetryLayer<S, SdkTracer>, Traces), OtelError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let endpoint = config.otlp_endpoint.as_deref().unwrap_or("http://localhost:4317");
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|error| OtelError::Exporter {
        endpoint: crate::runtime::mask(endpoint),
        message: error.to_string(),
    })?;
    let name = config.service_name.clone().or_else(program).unwrap_or_else(|| "angzarr".to_owned());
    let resource = Resource::builder().with_service_name(name);
    let resource = resource.with_attribute(KeyValue::new("angzarr.version", env!("CARGO_PKG_VERSION"))).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("angzarr_runtime"));
    Ok((layer, Traces(Some(provider))))
}

/// The name of the program's file.
fn program() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    Some(path.file_stem()?.to_str()?.to_owned())
}

/// Makes a span the child of one elsewhere: of a caller over the wire, by the `traceparent` of its request. Before the span is
/// entered for the first time.
pub fn continue_from(span: &Span, trace: TraceContext) {
    if span.is_disabled() {
        return;
    }
    let context = SpanContext::new(
        TraceId::from_bytes(trace.trace_id()),
        SpanId::from_bytes(trace.span_id()),
        TraceFlags::new(trace.flags()),
        true,
        TraceState::default(),
    );
    // Where no OpenTelemetry layer listens there is nobody to be told.
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
}

/// The trace context of a span, if an OpenTelemetry layer listens.
pub fn context_of(span: &Span) -> Option<TraceContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let found = context.span().span_context().clone();
    TraceContext::new(found.trace_id().to_bytes(), found.span_id().to_bytes(), found.trace_flags().to_u8())
}

/// Makes the span of a call the child of its caller's, by `traceparent` and `tracestate`, if they make sense.
#[cfg(feature = "server")]
pub(super) fn continue_from_caller(span: &Span, headers: &http::HeaderMap) {
    struct Headers<'a>(&'a http::HeaderMap);
    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }
        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(http::HeaderName::as_str).collect()
        }
    }
    if span.is_disabled() {
        return;
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    if context.span().span_context().is_valid() {
        let _ = span.set_parent(context);
    }
}

/// Puts the context of a span into the metadata of a call; whether there is one.
#[cfg(any(feature = "client", feature = "remote"))]
pub(super) fn send_along(span: &Span, metadata: &mut tonic::metadata::MetadataMap) -> bool {
    struct Metadata<'a>(&'a mut tonic::metadata::MetadataMap);
    impl Injector for Metadata<'_> {
        fn set(&mut self, key: &str, value: String) {
            let key = tonic::metadata::MetadataKey::<tonic::metadata::Ascii>::from_bytes(key.as_bytes());
            // A trace state is a caller's own: an empty one, and one that metadata cannot carry, is left out.
            if !value.is_empty()
                && let (Ok(key), Ok(value)) = (key, value.parse())
            {
                self.0.insert(key, value);
            }
        }
    }
    // Where this call is not told, it belongs to whatever it is made in.
    let context = if span.is_disabled() { Span::current().context() } else { span.context() };
    let is_traced = context.span().span_context().is_valid();
    if is_traced {
        TraceContextPropagator::new().inject_context(&context, &mut Metadata(metadata));
    }
    is_traced
}

pub(super) fn traced(headers: Headers, span: &Span) -> Headers {
    if span.is_disabled() {
        return headers;
    }
    if let Some(trace) = headers.trace()
        && context_of(&Span::current()).is_none()
    {
        continue_from(span, trace);
    }
    match context_of(span) {
        Some(trace) => headers.with_trace(Some(trace)),
        None => headers,
    }
}
