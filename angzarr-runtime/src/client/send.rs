//! Commands, facts and previews: what their builders say, as the wire has it.
//!
//! In: a builder that was awaited. Out: its request, sent; its answer. Never: an option that is left out because the wire has no
//! place for it; that is told.

use std::future::IntoFuture;

use angzarr_proto as proto;
use proto::{CommandPageExt as _, PageHeaderExt as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::answer::stored_events;
use super::calls::Repeat;
use super::{Answer, Client, ClientError};
use crate::command::{Preview, PreviewCommand, RecordFact, SendCommand, about, cover_on, retry_delays};
use crate::declare::{CommandTo, Domain, MergeStrategy, Message};
use crate::error::{About, Error};
use crate::storage::BoxFuture;
use crate::stream::{AsOf, Edition, Headers, Name, StreamKey};

/// The stream of a root on a timeline.
pub(super) fn key_of<A: Domain>(root: Uuid, edition: &Edition) -> StreamKey {
    StreamKey { domain: Name::from_static(A::DOMAIN), edition: edition.name().clone(), root }
}

/// A point in time; none for the head.
pub(super) fn point_of(as_of: AsOf) -> Option<proto::TemporalQuery> {
    use proto::TimestampExt as _;
    use proto::temporal_query::PointInTime;
    let point = match as_of {
        AsOf::Head => return None,
        AsOf::Sequence(sequence) => PointInTime::AsOfSequence(sequence),
        AsOf::Time(nanos) => PointInTime::AsOfTime(prost_types::Timestamp::from_unix_nanos(nanos)),
    };
    Some(proto::TemporalQuery { point_in_time: Some(point) })
}

/// On the wire an id that is empty is none: whoever says one means something else.
fn check_given(ids: [(&'static str, Option<&str>); 2]) -> Result<(), Error> {
    match ids.into_iter().find(|(_, id)| *id == Some("")) {
        Some((field, _)) => Err(Error::invalid_argument(field, "empty; leave it out, or say one")),
        None => Ok(()),
    }
}

fn page_of<C: Message>(command: &C) -> proto::CommandPage {
    proto::CommandPage::of(proto::pack(command))
}

impl<A: Domain, C: CommandTo<A>> SendCommand<A, C, Client> {
    fn request(&self) -> Result<(StreamKey, proto::CommandRequest, Repeat), Error> {
        let main = Edition::main();
        let rare = self.rare.as_deref();
        let edition = rare.map_or(&main, |rare| &rare.edition);
        let external_id = rare.and_then(|rare| rare.external_id.as_deref());
        let correlation_id = rare.and_then(|rare| rare.correlation_id.as_deref());
        check_given([("correlation_id", correlation_id), ("external_id", external_id)])?;
        let mut page = page_of(&self.command).with_merge(self.merge.unwrap_or_default().into());
        page = match (self.expected, external_id) {
            (Some(_), Some(_)) => {
                let message =
                    "on the wire a command has either an external id or a sequence that it expects; leave one out";
                return Err(Error::invalid_argument("external_id", message));
            }
            (Some(sequence), None) => page.expecting(sequence),
            (None, Some(id)) => page.with_header(proto::PageHeader::external(id, "")),
            (None, None) => page,
        };
        let key = key_of::<A>(self.root, edition);
        let headers = Headers::new(correlation_id.unwrap_or_default(), rare.and_then(|rare| rare.ext.clone()));
        let book = proto::CommandBook { cover: Some(cover_on(&key, edition, &headers)), pages: vec![page] };
        let mode = rare.map(|rare| rare.cascade_error_mode).unwrap_or_default();
        let request = proto::CommandRequest {
            command: Some(book),
            sync_mode: self.sync.to_proto() as i32,
            cascade_error_mode: mode.to_proto() as i32,
        };
        Ok((key, request, Repeat::if_known(external_id.is_some())))
    }

    async fn run(self) -> Result<Answer, ClientError> {
        let (key, mut request, repeat) = self.request().map_err(|error| {
            let edition = self.rare.as_deref().map(|rare| rare.edition.clone()).unwrap_or_default();
            error.about(|| About { command_type: C::full_name(), ..about::<A>(self.root, &edition) })
        })?;
        let line = &self.to.line;
        let until = line.until();
        let retry = self.rare.as_deref().is_some_and(|rare| rare.retry);
        let mut pauses = retry.then(|| retry_delays(line.attempts()));
        loop {
            let error = match line.command_until(until, request.clone(), repeat).await {
                Ok(response) => return Answer::of_command(key, response).map_err(|message| line.unreadable(message)),
                Err(error) => error,
            };
            let Some((strategy, actual)) = mismatch_of(&error) else { return Err(error) };
            let pause = pauses.as_mut().filter(|_| strategy == MergeStrategy::Commutative).and_then(Iterator::next);
            let again =
                pause.and_then(|pause| Instant::now().checked_add(pause + error.retry_after().unwrap_or_default()));
            let Some(again) = again.filter(|again| *again < until) else {
                return Err(self.with_book(until, request, error).await);
            };
            tokio::time::sleep_until(again).await;
            if let Some(book) = &mut request.command {
                book.pages = book.pages.drain(..).map(|page| page.expecting(actual)).collect();
            }
        }
    }

    /// The book of a mismatch, where it was too large to come along (rows M1, M2). Without one the error says so by itself.
    async fn with_book(&self, until: Instant, request: proto::CommandRequest, error: ClientError) -> ClientError {
        let ClientError::Answered(answered) = error else { return error };
        let Some(mismatch) = answered.mismatch_without_book() else { return ClientError::Answered(answered) };
        let cover = request.command.and_then(|book| book.cover);
        match self.to.line.book(until, proto::Query { cover, selection: None }).await {
            Ok(book) => {
                let book = book.into_inner();
                let mismatch = crate::SequenceMismatch { actual: book.next_sequence, book, ..mismatch };
                ClientError::Answered(Box::new(answered.with_mismatch(mismatch)))
            }
            Err(_) => ClientError::Answered(answered),
        }
    }
}

/// The strategy and the stream's next sequence, if that is what it is about.
fn mismatch_of(error: &ClientError) -> Option<(MergeStrategy, u32)> {
    if let Some(mismatch) = error.sequence_mismatch() {
        return Some((mismatch.strategy, mismatch.actual));
    }
    let ClientError::Answered(answered) = error else { return None };
    answered.mismatch_without_book().map(|mismatch| (mismatch.strategy, mismatch.actual))
}

impl<A: Domain, C: CommandTo<A>> IntoFuture for SendCommand<A, C, Client> {
    type Output = Result<Answer, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A: Domain, E: Message> RecordFact<A, E, Client> {
    async fn run(self) -> Result<Answer, ClientError> {
        let Self { to, root, fact, external_id, edition, correlation_id, ext, sync, to_handler, .. } = self;
        check_given([("correlation_id", correlation_id.as_deref()), ("external_id", external_id.as_deref())])
            .map_err(|error| error.about(|| About { command_type: E::full_name(), ..about::<A>(root, &edition) }))?;
        let key = key_of::<A>(root, &edition);
        let headers = Headers::new(correlation_id.unwrap_or_default(), ext);
        let page = proto::EventPage {
            header: external_id.as_deref().map(|id| proto::PageHeader::external(id, "")),
            payload: Some(proto::event_page::Payload::Event(proto::pack(&fact))),
            ..Default::default()
        };
        let events = proto::EventBook {
            cover: Some(cover_on(&key, &edition, &headers)),
            pages: vec![page],
            ..Default::default()
        };
        let request = proto::EventRequest {
            events: Some(events),
            sync_mode: sync.to_proto() as i32,
            route_to_handler: to_handler,
        };
        let response = to.line.fact(request, Repeat::if_known(external_id.is_some())).await?;
        Answer::of_fact(key, response).map_err(|message| to.line.unreadable(message))
    }
}

impl<A: Domain, E: Message> IntoFuture for RecordFact<A, E, Client> {
    type Output = Result<Answer, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<A: Domain, C: CommandTo<A>> PreviewCommand<A, C, Client> {
    async fn run(self) -> Result<Preview, ClientError> {
        let Self { to, root, command, edition, as_of, .. } = self;
        let cover = cover_on(&key_of::<A>(root, &edition), &edition, &Headers::default());
        let book = proto::CommandBook { cover: Some(cover), pages: vec![page_of(&command)] };
        let request = proto::SpeculateCommandHandlerRequest { command: Some(book), point_in_time: point_of(as_of) };
        let response = to.line.speculate(request).await?;
        let events = stored_events(response.events.unwrap_or_default());
        events.map(Preview::new).map_err(|message| to.line.unreadable(message))
    }
}

impl<A: Domain, C: CommandTo<A>> IntoFuture for PreviewCommand<A, C, Client> {
    type Output = Result<Preview, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
