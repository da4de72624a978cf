//! The typed entry: `runtime.send::<Account>(id, Withdraw { amount: 5 }).await`. What is said about a command is the same wherever it
//! goes; here it goes to the runtime of this process, and in `client/` over the wire.

use std::any::Any;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::detached::Detached;
use super::external_dedup;
use super::pipeline::{Core, Decoded, Page, Refusal, Submission};
use super::{CascadeErrorMode, InProcess, Receipt, SyncMode};
use crate::declare::{Aggregate, CommandContext, CommandOf, EventSink, MergeStrategy, nanos_of};
use crate::error::{About, Error, Result};
use crate::reaction::{CascadeLink, WaitResult};
use crate::registry;
use crate::storage::{BoxFuture, Dedup};
use crate::stream::limits::shorten;
use crate::stream::{Edition, Headers, StreamKey};
use crate::telemetry;

/// A command on its way: to the runtime of this process, or to that behind a `Client`. Await it.
#[must_use = "a command is not sent until it is awaited"]
pub struct SendCommand<A, C, To = InProcess> {
    pub(crate) to: To,
    pub(crate) root: Uuid,
    pub(crate) command: C,
    pub(crate) sync: SyncMode,
    pub(crate) expected: Option<u32>,
    pub(crate) merge: Option<MergeStrategy>,
    at: Option<SystemTime>,
    pub(crate) rare: Option<Box<RareOptions>>,
    aggregate: PhantomData<fn() -> A>,
}

/// What few commands say.
#[derive(Default)]
pub(crate) struct RareOptions {
    pub(crate) edition: Edition,
    pub(crate) correlation_id: Option<String>,
    pub(crate) ext: Option<prost_types::Any>,
    pub(crate) external_id: Option<String>,
    pub(crate) retry: bool,
    pub(crate) cascade_error_mode: CascadeErrorMode,
}

impl<A, C, To> SendCommand<A, C, To> {
    pub(crate) fn new(to: To, root: Uuid, command: C) -> Self {
        Self {
            to,
            root,
            command,
            sync: SyncMode::Async,
            expected: None,
            merge: None,
            at: None,
            rare: None,
            aggregate: PhantomData,
        }
    }

    fn rare(&mut self) -> &mut RareOptions {
        self.rare.get_or_insert_default()
    }

    /// The next sequence that the stream must have: 0 for a new aggregate, else what a [`Receipt`] or a
    /// [`Versioned`](crate::Versioned) state said. What happens otherwise is the handler's merge strategy (rows M).
    pub fn expect_sequence(mut self, sequence: u32) -> Self {
        self.expected = Some(sequence);
        self
    }

    /// The merge strategy, where the handler declares none (row M6).
    pub fn merge(mut self, strategy: MergeStrategy) -> Self {
        self.merge = Some(strategy);
        self
    }

    /// When the answer comes (rows S).
    pub fn sync(mut self, mode: SyncMode) -> Self {
        self.sync = mode;
        self
    }

    /// For a CASCADE: what becomes of it when a reaction fails (rows E).
    pub fn cascade_error_mode(mut self, mode: CascadeErrorMode) -> Self {
        self.rare().cascade_error_mode = mode;
        self
    }

    /// The workflow that this command belongs to: every event and command that follows carries it (row I1).
    pub fn correlation(mut self, id: impl Into<String>) -> Self {
        self.rare().correlation_id = Some(id.into());
        self
    }

    /// An opaque extension that every event of the command carries (row I3); keep it small.
    pub fn ext(mut self, ext: prost_types::Any) -> Self {
        self.rare().ext = Some(ext);
        self
    }

    /// Makes the command idempotent: a second one with this id for the same stream runs nothing and returns the first
    /// one's events (row C10).
    pub fn external_id(mut self, id: impl Into<String>) -> Self {
        self.rare().external_id = Some(id.into());
        self
    }

    /// The timeline (rows B).
    pub fn edition(mut self, edition: impl Into<Edition>) -> Self {
        self.rare().edition = edition.into();
        self
    }

    /// Retries a COMMUTATIVE sequence mismatch with the fresh sequence, with backoff and a bound (row M7).
    pub fn retry(mut self) -> Self {
        self.rare().retry = true;
        self
    }
}

impl<A: Aggregate, C: CommandOf<A>> SendCommand<A, C> {
    /// The time that the events are stored with, instead of now; never earlier than the event before them in their stream
    /// (row C2). For imports of history, in process only.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.at = Some(time);
        self
    }

    /// Parse and validate, route.
    fn target(&self) -> Result<(&registry::Aggregate, Target)> {
        self.try_target().map_err(|error| {
            let error = error.about(|| About {
                domain: A::DOMAIN.to_owned(),
                root: Some(self.root),
                edition: self.rare.as_deref().map(|rare| shorten(rare.edition.name())).unwrap_or_default(),
                ..About::command(C::full_name())
            });
            let correlation_id = self.rare.as_deref().and_then(|rare| rare.correlation_id.as_deref());
            telemetry::refused_early(&error, correlation_id.unwrap_or_default());
            error
        })
    }

    fn try_target(&self) -> Result<(&registry::Aggregate, Target)> {
        let core = &*self.to.core;
        let aggregate = core.aggregate_of::<A>()?;
        core.limits.check_payload(|| "command".into(), self.command.encoded_len())?;
        let Some(rare) = self.rare.as_deref() else {
            let key = core.key(aggregate, &Edition::main(), self.root)?;
            return Ok((aggregate, Target { key, headers: Headers::default(), dedup: None }));
        };
        let key = core.key(aggregate, &rare.edition, self.root)?;
        if let Some(id) = &rare.correlation_id {
            core.limits.check_id("correlation_id", id)?;
        }
        if let Some(ext) = &rare.ext {
            core.limits.check_ext(ext)?;
        }
        let dedup = match &rare.external_id {
            Some(id) => {
                core.limits.check_id("external_id", id)?;
                Some(external_dedup(id))
            }
            None => None,
        };
        let headers = Headers::new(rare.correlation_id.as_deref().unwrap_or_default(), rare.ext.clone())
            .with_divergences(rare.edition.named_divergences());
        Ok((aggregate, Target { key, headers, dedup }))
    }

    fn page<'s>(&self, command: &'s Typed<'s, A, C>, expected: Option<u32>) -> Page<'s> {
        Page { decider: C::handler().into(), command, expected, merge: self.merge, sync: self.sync }
    }

    fn submission<'s>(
        &self,
        aggregate: &'s registry::Aggregate,
        target: Target,
        span: Span,
        edition: &'s Edition,
        pages: &'s [Page<'s>],
    ) -> Submission<'s> {
        let Target { key, headers, dedup } = target;
        Submission {
            aggregate,
            key,
            edition,
            headers,
            pages,
            dedup,
            at: self.at.map(nanos_of),
            along: None,
            link: None,
            for_open_process: false,
            because: None,
            span,
        }
    }

    /// The answer, if it can be had without waiting.
    fn run_now(&self) -> Now {
        let (aggregate, target) = match self.target() {
            Ok(target) => target,
            Err(error) => return Now::Answer(Err(error)),
        };
        let span = telemetry::command_span(aggregate, &target.key, &target.headers, C::full_name, 1);
        let target = Target { headers: telemetry::traced(target.headers, &span), ..target };
        if self.sync.waits() || target.dedup.is_some() || !target.key.is_main() {
            return Now::Waits(target, span);
        }
        let main = Edition::main();
        let command = Typed::new(&self.command);
        let pages = [self.page(&command, self.expected)];
        let submission = self.submission(aggregate, target, span, &main, &pages);
        match self.to.core.run_now(&submission) {
            Some(answer) => Now::Answer(answer),
            None => {
                let Submission { key, headers, dedup, span, .. } = submission;
                Now::Waits(Target { key, headers, dedup }, span)
            }
        }
    }

    async fn run(self, target: Target, span: Span) -> Result<Receipt> {
        let answer = self.retrying(target, &span).await;
        telemetry::accepted_or_refused(&answer);
        answer
    }

    async fn retrying(self, target: Target, span: &Span) -> Result<Receipt> {
        let aggregate = self.to.core.aggregate_of::<A>()?;
        let main = Edition::main();
        let edition = self.rare.as_deref().map_or(&main, |rare| &rare.edition);
        let retry = self.rare.as_deref().is_some_and(|rare| rare.retry);
        let mut retries = retry.then(|| super::retry_delays(self.to.core.attempts));
        let mut expected = self.expected;
        let command = Typed::new(&self.command);
        let mode = self.rare.as_deref().map_or_else(CascadeErrorMode::default, |rare| rare.cascade_error_mode);
        loop {
            let pages = [self.page(&command, expected)];
            let submission = self.submission(aggregate, target.clone(), span.clone(), edition, &pages);
            match self.to.core.run(submission, mode).await {
                Err(Error::SequenceMismatch(mismatch)) if mismatch.strategy == MergeStrategy::Commutative => {
                    let Some(delay) = retries.as_mut().and_then(Iterator::next) else {
                        return Err(Error::SequenceMismatch(mismatch));
                    };
                    telemetry::retried(mismatch.expected, mismatch.actual);
                    tokio::time::sleep(delay).await;
                    expected = Some(mismatch.actual);
                }
                other => return other,
            }
        }
    }
}

/// A command with its type.
pub(super) struct Typed<'a, A, C>(&'a C, PhantomData<fn() -> A>);

impl<'a, A, C> Typed<'a, A, C> {
    pub(super) fn new(command: &'a C) -> Self {
        Self(command, PhantomData)
    }
}

impl<A: Aggregate, C: CommandOf<A>> Decoded for Typed<'_, A, C> {
    fn decide(&self, state: &dyn Any, context: &CommandContext<'_>, events: &mut EventSink) -> Result<(), Refusal> {
        match state.downcast_ref::<A>() {
            Some(state) => self.0.clone().decide(state, context, events).map_err(Refusal::Rejected),
            None => unreachable!("the registry pairs domains and states by type"),
        }
    }
    fn encoded(&self) -> prost_types::Any {
        angzarr_proto::pack(self.0)
    }
}

/// Where a command that was validated goes, and with what.
#[derive(Clone)]
struct Target {
    key: StreamKey,
    headers: Headers,
    dedup: Option<Dedup>,
}

/// What can be had at once.
enum Now {
    Answer(Result<Receipt>),
    /// Something has to be waited for; this is what was found out.
    Waits(Target, Span),
}

impl<A: Aggregate, C: CommandOf<A>> IntoFuture for SendCommand<A, C> {
    type Output = Result<Receipt>;
    type IntoFuture = Sending<A, C>;

    fn into_future(self) -> Self::IntoFuture {
        Sending { state: SendState::New(self) }
    }
}

/// The future of a [`SendCommand`]. It allocates only where something has to be waited for.
///
/// Once it was polled, the command runs to its end, even if this is dropped or not polled any more: nobody can tell by
/// dropping it that nothing was stored. Within a tokio runtime, that is; without one, it runs while it is polled.
#[must_use = "a command is not sent until it is awaited"]
pub struct Sending<A, C> {
    state: SendState<A, C>,
}

enum SendState<A, C> {
    New(SendCommand<A, C>),
    Waiting(Detached<Receipt>),
    Done,
}

// Nothing in here is pinned in place.
impl<A, C> Unpin for Sending<A, C> {}

impl<A: Aggregate, C: CommandOf<A>> Future for Sending<A, C> {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let SendState::Waiting(running) = &mut self.state {
            return running.poll(context);
        }
        // A loop of commands that never wait still lets other tasks have their turn.
        let turn = std::task::ready!(tokio::task::coop::poll_proceed(context));
        let SendState::New(command) = std::mem::replace(&mut self.state, SendState::Done) else {
            unreachable!("a future is not polled after its end");
        };
        let (target, span) = match command.run_now() {
            Now::Answer(answer) => {
                turn.made_progress();
                return Poll::Ready(answer);
            }
            Now::Waits(target, span) => (target, span),
        };
        drop(turn);
        let running = command.run(target, span.clone());
        let running: BoxFuture<'static, _> =
            if span.is_disabled() { Box::pin(running) } else { Box::pin(running.instrument(span)) };
        match Detached::begin(running, context) {
            Ok(answer) => Poll::Ready(answer),
            Err(mut rest) => {
                let polled = rest.poll(context);
                self.state = SendState::Waiting(rest);
                polled
            }
        }
    }
}

impl Core {
    /// Runs a submission to its answer.
    pub(super) async fn submit(&self, submission: Submission<'_>, mode: CascadeErrorMode) -> Result<Receipt> {
        if let Some(answer) = self.run_now(&submission) {
            return answer;
        }
        telemetry::within(submission.span.clone(), async {
            let answer = self.run(submission, mode).await;
            telemetry::accepted_or_refused(&answer);
            answer
        })
        .await
    }

    /// Runs a submission that needs no waiting; `None` where it does.
    pub(super) fn run_now(&self, submission: &Submission<'_>) -> Option<Result<Receipt>> {
        let _entered = submission.span.enter();
        let answer = match self.execute_now(submission)? {
            Ok(outcome) => Ok(Receipt::new(submission.key.clone(), outcome, WaitResult::default())),
            Err(error) => Err(error.about(|| submission.about())),
        };
        telemetry::accepted_or_refused(&answer);
        Some(answer)
    }

    /// Runs a submission and waits for what its sync mode says.
    async fn run(&self, mut submission: Submission<'_>, mode: CascadeErrorMode) -> Result<Receipt> {
        // A book whose commands wait in several ways carries no mark: it would say the same of all their events.
        let is_one = submission.pages.windows(2).all(|pages| pages[0].sync == pages[1].sync);
        if !submission.pages.iter().any(|page| page.sync == SyncMode::Cascade) {
            let waits = is_one && submission.pages.iter().any(|page| page.sync.waits());
            let mark = if waits { self.mark_for(None) } else { None };
            let _known = mark.as_ref().map(|mark| self.waits.marked(mark));
            submission.headers = submission.headers.with_wait(mark);
            return self.execute_and_wait(&submission).await.map_err(|error| error.about(|| submission.about()));
        }
        let command = submission.dedup.clone().map(|dedup| (submission.key.clone(), dedup));
        let begun = self.begin_cascade(mode, command);
        let cascade = &begun.cascade;
        submission.headers = submission.headers.with_wait(cascade.mark().filter(|_| is_one));
        let link = CascadeLink::begin(cascade.clone());
        submission.link = Some(&link);
        let answer = match self.execute(&submission).await {
            // In a box: few commands are cascades, and all of them would have to carry it.
            Ok(outcome) => Box::pin(self.end_cascade(&submission.key, outcome, &begun)).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| error.about(|| submission.about()))
    }

    async fn execute_and_wait(&self, submission: &Submission<'_>) -> Result<Receipt> {
        let mut outcome = self.execute(submission).await?;
        let mut waited = WaitResult::default();
        if let Some(waiting) = outcome.waiting.take() {
            waited = self.waits.wait(waiting, self.sync_deadline).await;
            telemetry::waited(&waited);
        }
        if !waited.passed.is_empty() {
            let told = Box::pin(self.hear_of_passed(&outcome.events, &submission.key, &mut waited, None)).await;
            if let Err(error) = told {
                // Positions and letters say who has the events; only projections are lost.
                telemetry::answers_out_of_reach(&error);
            }
        }
        waited = self.without_parked(&submission.key, &outcome.events, waited).await;
        Ok(Receipt::new(submission.key.clone(), outcome, waited))
    }

    /// The aggregate of a state type.
    pub(crate) fn aggregate_of<A: Aggregate>(&self) -> Result<&registry::Aggregate> {
        let found = self.registry.by_state.get(&std::any::TypeId::of::<A>());
        found.and_then(|domain| self.registry.state_of(domain)).ok_or_else(|| self.unknown_domain(A::DOMAIN))
    }

    /// The stream of a root on a timeline.
    pub(crate) fn key(&self, aggregate: &registry::Aggregate, edition: &Edition, root: Uuid) -> Result<StreamKey> {
        if !edition.is_main() {
            self.limits.check_edition(edition.name())?;
            edition.check_divergences()?;
        }
        Ok(StreamKey {
            domain: crate::stream::Name::from_static(aggregate.descriptor.domain),
            edition: edition.name().clone(),
            root,
        })
    }
}
