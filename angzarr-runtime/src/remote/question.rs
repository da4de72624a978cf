//! What an aggregate or process manager in another process is asked, and what it has answered (rows C, F, K, P).
//!
//! In: a command, fact, notification or trigger, and the history of the stream. Out: events, a revocation, commands to send; or a
//! refusal. Never: an answer that is used twice; after a lost race the component is asked again on the fresh history.

use std::sync::atomic::{AtomicBool, Ordering};

use angzarr_proto as proto;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use proto::command_handler_service_client::CommandHandlerServiceClient;
use proto::process_manager_service_client::ProcessManagerServiceClient;
use proto::{EventPageExt as _, TimestampExt as _};
use tonic::{Code, Status};

use super::client::{ANSWER_BYTES, Client, HANDLER, PROCESS, Trouble};
use super::history::History;
use crate::command::{Ahead, COMPLETED, Refusal, Situation, cover_on};
use crate::declare::{Emission, EmittedEvent, ReactionError, Rejection, TimeoutChange};
use crate::error::{Error, Subject};
use crate::stream::{Name, StreamKey, TraceContext};

/// Something that is asked, and the answer once there is one.
///
/// In a box: most commands have none, and should not carry the room for one.
pub(crate) struct Question(Box<Open>);

struct Open {
    client: Client,
    asked: Asked,
    answer: Mutex<Option<Result<Answered, Refusal>>>,
    /// It was asked with a snapshot, and cannot read that.
    refuses_snapshot: AtomicBool,
}

enum Asked {
    /// A command for an aggregate; or, in the form of one, a notification.
    Command(proto::CommandPage),
    /// A fact for an aggregate.
    Fact(prost_types::Any),
    /// What a process manager is woken by.
    Trigger(proto::EventBook),
}

/// What was answered.
#[derive(Default)]
pub(crate) struct Answered {
    pub(crate) events: Vec<EmittedEvent>,
    /// Of a process manager: what is to be sent.
    pub(crate) emissions: Vec<Emission>,
    /// Of a process manager: what it wants to be told later, or no more.
    pub(crate) timeouts: Vec<TimeoutChange>,
    /// Of a process manager: the process is over.
    pub(crate) complete: bool,
    /// Of an aggregate, instead of events.
    pub(crate) instead: Option<Instead>,
}

/// What an aggregate answers instead of events.
pub(crate) enum Instead {
    Revocation(proto::RevocationResponse),
    Notification(Box<proto::Notification>),
}

impl Client {
    fn question(&self, asked: Asked) -> Question {
        Question(Box::new(Open {
            client: self.clone(),
            asked,
            answer: Mutex::new(None),
            refuses_snapshot: AtomicBool::new(false),
        }))
    }

    /// A command, as its sender gave it.
    pub(crate) fn command(&self, page: proto::CommandPage) -> Question {
        self.question(Asked::Command(page))
    }

    /// A fact that is routed to its handler (row F3).
    pub(crate) fn fact(&self, type_name: &str, payload: &Bytes) -> Question {
        self.question(Asked::Fact(crate::command::any_of(type_name, payload)))
    }

    /// The rejection of a command that was sent for an event of an aggregate (row K1).
    pub(crate) fn rejection(&self, told: proto::Notification) -> Question {
        let payload = Some(proto::command_page::Payload::Command(proto::pack_as("angzarr.Notification", &told)));
        self.question(Asked::Command(proto::CommandPage { payload, ..Default::default() }))
    }

    /// Something that is to be undone (row E3).
    pub(crate) fn compensation(&self, compensate: &proto::Compensate) -> Question {
        let payload = Some(proto::command_page::Payload::Command(proto::pack_as("angzarr.Compensate", compensate)));
        self.question(Asked::Command(proto::CommandPage { payload, ..Default::default() }))
    }

    /// What wakes a process manager.
    pub(crate) fn trigger(&self, book: proto::EventBook) -> Question {
        self.question(Asked::Trigger(book))
    }
}

impl Question {
    /// Asks, and keeps the answer for [`take`](Self::take). Events that were given are known to what is asked after this.
    pub(crate) async fn ask(&self, situation: Situation<'_>) -> Ahead {
        let Situation { key, edition, headers, state, earlier, next_sequence, now } = situation;
        let (snapshot, mut pages) = match state.downcast_ref::<History>() {
            Some(history) => (history.base.clone(), history.pages.clone()),
            None => Default::default(),
        };
        pages.extend_from_slice(earlier);
        // A component says by DATA_LOSS that it cannot read the snapshot.
        let is_unreadable =
            |trouble: &Trouble| matches!(trouble, Trouble::Refused(status) if status.code() == Code::DataLoss);
        let has_snapshot = snapshot.is_some();
        let refuses = |trouble: &Trouble| {
            self.0.refuses_snapshot.store(has_snapshot && is_unreadable(trouble), Ordering::Relaxed);
        };
        let cover = cover_on(key, edition, headers);
        let history = proto::EventBook { cover: Some(cover), snapshot, pages, next_sequence };
        let answer = match &self.0.asked {
            Asked::Command(page) => self.ask_for_decision(history, page.clone(), headers.trace(), refuses).await,
            Asked::Fact(fact) => self.ask_of_fact(history, fact.clone(), headers.trace(), refuses).await,
            Asked::Trigger(book) => self.ask_process(history, book.clone(), key, headers.trace()).await,
        };
        let ahead = match &answer {
            Ok(answered) => Some((next_sequence..).zip(&answered.events).map(|(at, it)| page(at, it, now)).collect()),
            Err(_) => None,
        };
        *self.0.answer.lock() = Some(answer);
        ahead
    }

    /// The answer.
    pub(crate) fn take(&self) -> Result<Answered, Refusal> {
        self.0.answer.lock().take().unwrap_or_else(|| {
            let hint = "its answer needs a call, and this way has none";
            Err(Refusal::Error(Error::not_offered("a decision of a component in another process", hint)))
        })
    }

    /// Whether it has to be asked on the whole history, without the snapshot (row N4).
    pub(crate) fn refuses_snapshot(&self) -> bool {
        self.0.refuses_snapshot.swap(false, Ordering::Relaxed)
    }

    /// Whether the answer says that the process is over (row P7).
    pub(crate) fn ends_process(&self) -> bool {
        self.0.answer.lock().as_ref().is_some_and(|answer| answer.as_ref().is_ok_and(|answered| answered.complete))
    }

    /// What is scheduled goes with the process.
    pub(crate) fn take_back(&self, timeouts: Vec<String>) {
        if let Some(Ok(answered)) = self.0.answer.lock().as_mut() {
            answered.timeouts.extend(timeouts.into_iter().map(|name| TimeoutChange::new(name, None)));
        }
    }

    /// The answer cannot be made use of now.
    pub(crate) fn fail(&self, error: Error) {
        *self.0.answer.lock() = Some(Err(Refusal::Error(error)));
    }

    async fn ask_for_decision(
        &self,
        events: proto::EventBook,
        page: proto::CommandPage,
        trace: Option<TraceContext>,
        refused: impl Fn(&Trouble),
    ) -> Result<Answered, Refusal> {
        let command = Some(proto::CommandBook { cover: events.cover.clone(), pages: vec![page] });
        let request = proto::ContextualCommand { events: Some(events), command };
        let answer = self
            .0
            .client
            .call((HANDLER, "Handle"), trace, request, |channel, request| async move {
                let mut client = CommandHandlerServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
                client.handle(request).await
            })
            .await
            .inspect_err(refused)
            .map_err(|trouble| self.refusal(trouble))?;
        use proto::business_response::Result as Answer;
        match answer.result {
            Some(Answer::Events(book)) => Ok(Answered { events: self.events(book)?, ..Answered::default() }),
            Some(Answer::Revocation(it)) => Ok(instead(Instead::Revocation(it))),
            Some(Answer::Notification(it)) => Ok(instead(Instead::Notification(Box::new(it)))),
            None => Ok(Answered::default()),
        }
    }

    async fn ask_of_fact(
        &self,
        prior_events: proto::EventBook,
        fact: prost_types::Any,
        trace: Option<TraceContext>,
        refused: impl Fn(&Trouble),
    ) -> Result<Answered, Refusal> {
        let page = proto::EventPage { payload: Some(proto::event_page::Payload::Event(fact)), ..Default::default() };
        let facts = proto::EventBook { cover: prior_events.cover.clone(), pages: vec![page], ..Default::default() };
        let request = proto::FactRequest { facts: Some(facts), prior_events: Some(prior_events) };
        let answer = self
            .0
            .client
            .call((HANDLER, "HandleFact"), trace, request, |channel, request| async move {
                let mut client = CommandHandlerServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
                client.handle_fact(request).await
            })
            .await
            .inspect_err(refused);
        match answer {
            Ok(book) => Ok(Answered { events: self.events(book)?, ..Answered::default() }),
            // It has no way with facts: they are recorded as they are.
            Err(Trouble::NotOffered(_)) => Ok(Answered::default()),
            // A fact cannot be rejected (row F3): whoever tells it tries again.
            Err(Trouble::Refused(status)) => Err(Refusal::Error(self.0.client.failed(&status))),
            Err(trouble) => Err(self.refusal(trouble)),
        }
    }

    async fn ask_process(
        &self,
        process_state: proto::EventBook,
        trigger: proto::EventBook,
        own: &StreamKey,
        trace: Option<TraceContext>,
    ) -> Result<Answered, Refusal> {
        let request = proto::ProcessManagerHandleRequest {
            trigger: Some(trigger),
            process_state: Some(process_state),
            ..Default::default()
        };
        let answer = self
            .0
            .client
            .call((PROCESS, "Handle"), trace, request, |channel, request| async move {
                let mut client = ProcessManagerServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
                client.handle(request).await
            })
            .await
            .map_err(|trouble| match trouble {
                Trouble::Refused(_) => Refusal::Failed(trouble.of_reaction()),
                trouble => self.refusal(trouble),
            })?;
        let mut process_events = answer.process_events.unwrap_or_default();
        let complete = self.completion(&mut process_events)?;
        let events = self.events(process_events)?;
        let client = &self.0.client;
        let (timeouts, facts) = client.timeouts(own, answer.facts).map_err(Refusal::Failed)?;
        let emissions = client.emissions(answer.commands, facts).map_err(Refusal::Failed)?;
        Ok(Answered { events, emissions, timeouts, complete, instead: None })
    }

    /// Takes out the note that the process is over: it is stored behind everything else.
    fn completion(&self, book: &mut proto::EventBook) -> Result<bool, Refusal> {
        let is_note = |page: &proto::EventPage| page.type_name() == Some(COMPLETED);
        let before = book.pages.len();
        if book.pages.iter().any(|page| is_note(page) && page.event().is_some_and(|event| !event.value.is_empty())) {
            return Err(self.unusable(format!("`{COMPLETED}` with a content, which it does not have")));
        }
        book.pages.retain(|page| !is_note(page));
        Ok(book.pages.len() < before)
    }

    fn events(&self, book: proto::EventBook) -> Result<Vec<EmittedEvent>, Refusal> {
        let mut events = Vec::with_capacity(book.pages.len());
        for page in book.pages {
            let schema_version = page.schema_version;
            let Some(event) = page.event().filter(|event| !proto::type_name_of(&event.type_url).is_empty()) else {
                return Err(self.unusable("an event without a payload"));
            };
            let type_name = Name::new(proto::type_name_of(&event.type_url));
            if type_name.starts_with("angzarr.") {
                return Err(self.unusable(format!("the event `{type_name}`, which is the framework's own")));
            }
            let payload = Bytes::copy_from_slice(&event.value);
            events.push(EmittedEvent { type_name, payload, apply: |_, _| Ok(()), schema_version });
        }
        Ok(events)
    }

    fn unusable(&self, what: impl std::fmt::Display) -> Refusal {
        match self.0.asked {
            Asked::Trigger(_) => Refusal::Failed(self.0.client.unusable(what)),
            _ => Refusal::Error(Error::UnreadableReturn {
                handler: format!("{} at {}", self.0.client.name(), self.0.client.address()),
                type_name: String::new(),
                message: format!("it answered {what}"),
                subject: Subject::default(),
            }),
        }
    }

    /// A refusal by status: that of a command (row C4), or an outage.
    fn refusal(&self, trouble: Trouble) -> Refusal {
        let status = match trouble {
            Trouble::OutOfReach(reason) | Trouble::NotOffered(reason) => {
                return Refusal::Error(self.0.client.outage(reason));
            }
            Trouble::Refused(status) => status,
        };
        let (code, reason) = said(&status);
        let rejection = match status.code() {
            Code::FailedPrecondition => Rejection::new(code, reason),
            Code::InvalidArgument => Rejection::invalid_argument(code, reason),
            Code::NotFound => Rejection::not_found(code, reason),
            _ => return Refusal::Error(self.0.client.failed(&status)),
        };
        Refusal::Rejected(rejection.with_details(details(&status).1))
    }
}

impl Client {
    pub(super) fn outage(&self, reason: String) -> Error {
        let component = self.name().to_owned();
        Error::OutOfReach { component, message: reason, outage: true, subject: Subject::default() }
    }

    /// It was reached, and could not answer.
    pub(super) fn failed(&self, status: &Status) -> Error {
        let message =
            format!("`{}` at {} failed: {:?}: {}", self.name(), self.address(), status.code(), status.message());
        let component = self.name().to_owned();
        Error::OutOfReach { component, message, outage: false, subject: Subject::default() }
    }
}

impl Answered {
    /// The same for a plain command: what is no event refuses it.
    pub(crate) fn events_or_rejection(self) -> Result<Vec<EmittedEvent>, Refusal> {
        match self.instead {
            None => Ok(self.events),
            Some(Instead::Revocation(it)) => Err(Refusal::Rejected(Rejection::new("revoked", it.reason))),
            Some(Instead::Notification(it)) => {
                let payload = it.payload.unwrap_or_default();
                let reason = proto::RejectionNotification::decode(payload.value.as_slice())
                    .ok()
                    .filter(|_| proto::type_name_of(&payload.type_url) == "angzarr.RejectionNotification")
                    .map_or_else(String::new, |rejection| rejection.rejection_reason);
                Err(Refusal::Rejected(Rejection::new("notification", reason).with_details(vec![payload])))
            }
        }
    }
}

impl From<ReactionError> for Refusal {
    fn from(error: ReactionError) -> Self {
        Self::Failed(error)
    }
}

fn instead(instead: Instead) -> Answered {
    Answered { instead: Some(instead), ..Answered::default() }
}

/// An event that was given and not stored yet, as what is asked next sees it.
fn page(sequence: u32, event: &EmittedEvent, now: i64) -> proto::EventPage {
    proto::EventPage {
        created_at: Some(prost_types::Timestamp::from_unix_nanos(now)),
        schema_version: event.schema_version,
        ..proto::EventPage::of(sequence, crate::command::any_of(&event.type_name, &event.payload))
    }
}

/// The rejection's own code and its reason: an `ErrorInfo` says the code, or a message that begins with `code: `; otherwise it is
/// the status.
fn said(status: &Status) -> (String, String) {
    if let (Some(code), _) = details(status) {
        return (code, status.message().to_owned());
    }
    let is_code = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
    };
    match status.message().split_once(": ") {
        Some((code, reason)) if is_code(code) => (code.to_owned(), reason.to_owned()),
        None if is_code(status.message()) => (status.message().to_owned(), String::new()),
        _ => {
            let code = match status.code() {
                Code::InvalidArgument => "invalid_argument",
                Code::NotFound => "not_found",
                _ => "failed_precondition",
            };
            (code.to_owned(), status.message().to_owned())
        }
    }
}

/// What came in `grpc-status-details-bin`: the reason of an `ErrorInfo`, and everything else.
fn details(status: &Status) -> (Option<String>, Vec<prost_types::Any>) {
    let details = tonic_types::pb::Status::decode(status.details()).map(|it| it.details).unwrap_or_default();
    let mut reason = None;
    let mut others = Vec::new();
    for detail in details {
        match proto::type_name_of(&detail.type_url) {
            "google.rpc.ErrorInfo" => {
                let info = tonic_types::pb::ErrorInfo::decode(detail.value.as_slice()).unwrap_or_default();
                reason = Some(info.reason).filter(|it| !it.is_empty());
            }
            _ => others.push(detail),
        }
    }
    (reason, others)
}
