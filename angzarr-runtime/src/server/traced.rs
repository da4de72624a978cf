//! The span of a call, from the door to the last byte of its answer.
//!
//! In: a request, and whoever answers it. Out: the answer, as it is. Never: a cost where nobody listens.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::telemetry;

/// Runs a call in its span.
pub(super) async fn traced(span: Span, call: impl Future<Output = http::Response<Body>>) -> http::Response<Body> {
    if span.is_disabled() {
        return call.await;
    }
    let mut told = Told { span: span.clone(), is_told: false };
    let response = telemetry::within(span, call).await;
    // An answer without a message has its status in the headers.
    if let Some(code) = code_of(response.headers()) {
        told.tell(code);
        return response;
    }
    response.map(|body| Body::new(Watched { body, told }))
}

fn code_of(headers: &http::HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get("grpc-status")?.as_bytes()))
}

/// A call whose end the span learns. Its caller may go away before.
struct Told {
    span: Span,
    is_told: bool,
}

impl Told {
    fn tell(&mut self, code: Code) {
        if !std::mem::replace(&mut self.is_told, true) {
            telemetry::answered(&self.span, code);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tell(Code::Cancelled);
    }
}

pin_project_lite::pin_project! {
    /// A body whose trailers say what came of the call.
    struct Watched {
        #[pin]
        body: Body,
        told: Told,
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let frame = this.body.poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_of) {
                    this.told.tell(code);
                }
            }
            Poll::Ready(Some(Err(status))) => this.told.tell(status.code()),
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
