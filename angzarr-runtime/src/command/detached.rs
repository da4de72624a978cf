//! A command that has begun runs to its end, whether its caller waits, looks away or has gone.
//!
//! In: a future that may have to wait. Out: its answer. Never: work that stands still because the future of a caller is
//! kept without being polled (`select!`, a stream of buffered calls): it holds the turn of its stream, and everybody
//! behind it would stand still as well.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::Result;
use crate::storage::{BoxFuture, StorageError, StorageErrorKind};

/// What is left of a call that had to wait.
pub(crate) enum Detached<T> {
    /// It runs in a task of its own.
    Task(JoinHandle<Result<T>>),
    /// There is no runtime to run it.
    Here(BoxFuture<'static, Result<T>>),
}

impl<T: Send + 'static> Detached<T> {
    /// Runs `work` as far as it goes without waiting. The rest goes on in a task.
    pub(crate) fn begin(mut work: BoxFuture<'static, Result<T>>, context: &mut Context<'_>) -> Result<Result<T>, Self> {
        match work.as_mut().poll(context) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err(match Handle::try_current() {
                Ok(runtime) => Self::Task(runtime.spawn(work)),
                Err(_) => Self::Here(work),
            }),
        }
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T>> {
        let ended = match self {
            Self::Task(task) => std::task::ready!(Pin::new(task).poll(context)),
            Self::Here(work) => return work.as_mut().poll(context),
        };
        Poll::Ready(match ended {
            Ok(answer) => answer,
            Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
            Err(_) => {
                let message = "the async runtime ended before the command was answered; whether it is stored shows when \
                               the stream is read";
                Err(StorageError::new(StorageErrorKind::Unknown, "runtime", message).into())
            }
        })
    }
}

/// The same as a future.
pub(crate) async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let mut work: Option<BoxFuture<'static, Result<T>>> = Some(Box::pin(work));
    let mut rest = None;
    std::future::poll_fn(move |context| {
        if let Some(work) = work.take() {
            match Detached::begin(work, context) {
                Ok(answer) => return Poll::Ready(answer),
                Err(detached) => rest = Some(detached),
            }
        }
        match &mut rest {
            Some(rest) => rest.poll(context),
            None => Poll::Pending,
        }
    })
    .await
}
