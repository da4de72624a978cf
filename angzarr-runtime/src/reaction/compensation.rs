//! Compensations that somebody asks for from outside (rows K2, K4).
//!
//! In: a `Compensate`, or a notification of a rejection, for one aggregate. Out: what its `#[compensate]` or `#[rejected]` answers:
//! events, which are stored; a revocation, which is carried out; or a notification to hand on. Never: a second run for the same
//! provenance.

use angzarr_proto as proto;
use parking_lot::Mutex;
use prost::Message as _;
use proto::{CommandBookExt as _, PageHeaderExt, TimestampExt as _};

use super::notification::{About, COMPENSATED, answers_to_compensation, notified};
use super::revocation::{AfterRevocation, COMPENSATE, CompensateWork, RejectedWork};
use crate::command::{Alone, Core, Decider, Decoded, Provenance, cover_on, event_page, external_dedup};
use crate::dead_letter;
use crate::declare::{Location, RejectedCommand};
use crate::error::{Error, Result, Subject, nearest};
use crate::registry::Aggregate;
use crate::storage::Dedup;
use crate::stream::{Edition, Headers, Name, StreamKey};

const NOTIFICATION: &str = "angzarr.Notification";
const REJECTION: &str = "angzarr.RejectionNotification";

/// What is asked of an aggregate.
enum Asked {
    Compensate(proto::Compensate),
    Rejection(proto::RejectionNotification),
}

/// The aggregate that is asked.
struct Target<'a> {
    aggregate: &'a Aggregate,
    key: StreamKey,
    edition: Edition,
    headers: Headers,
}

impl Core {
    /// Asks an aggregate to compensate, as any client does.
    pub(crate) async fn compensate_on_request(
        &self,
        request: &proto::CommandRequest,
    ) -> Result<proto::BusinessResponse> {
        let missing = |field: &'static str, what: &str| Error::invalid_argument(field, format!("missing; send {what}"));
        let book = request.command.as_ref().ok_or_else(|| missing("command", "a CommandBook"))?;
        let cover = book.cover.as_ref().ok_or_else(|| missing("command.cover", "a Cover"))?;
        let (aggregate, key, edition) = self.route(cover)?;
        let headers = self.headers(cover)?;
        let target = Target { aggregate, key, edition, headers };
        let [page] = book.pages.as_slice() else {
            let message = format!("{} pages; one thing is undone at a time: send one", book.pages.len());
            return Err(Error::invalid_argument("command.pages", message));
        };
        let command =
            book.first_command().ok_or_else(|| missing("command.pages[0].command", "what to undo as an Any"))?;
        self.limits.check_payload(|| "command.pages[0].command".into(), command.value.len())?;
        let header = page.header.as_ref();
        match asked(command)? {
            Asked::Compensate(compensate) => {
                let provenance = header.and_then(PageHeaderExt::provenance).and_then(Provenance::from_proto);
                let dedup = match (&provenance, header.and_then(PageHeaderExt::external_id)) {
                    (Some(provenance), _) => Some(provenance.dedup_as(COMPENSATED)),
                    (None, Some(id)) => {
                        self.limits.check_id("command.pages[0].header.external_deferred.external_id", id)?;
                        Some(external_dedup(id))
                    }
                    (None, None) => None,
                };
                self.ask_to_compensate(target, book, &compensate, provenance, dedup).await
            }
            Asked::Rejection(rejection) => self.tell_of_rejection(target, rejection).await,
        }
    }

    async fn ask_to_compensate(
        &self,
        target: Target<'_>,
        book: &proto::CommandBook,
        compensate: &proto::Compensate,
        provenance: Option<Provenance>,
        dedup: Option<Dedup>,
    ) -> Result<proto::BusinessResponse> {
        let Some(by) = answers_to_compensation(target.aggregate, compensate) else {
            return Err(no_method(target.aggregate, COMPENSATE));
        };
        let about = self.about(&target, book.clone(), provenance, &compensate.reason);
        let after = self.after(&about, &compensate.reason, dedup.is_some());
        let decider = by.decider(|it| decider(it.method, it.location, || COMPENSATE.to_owned()));
        let work = CompensateWork { by, compensate, about: &about, after: &after };
        self.decide_on_request(target, decider, &work, dedup, &after, &about).await
    }

    /// A rejection whose provenance is known is told once, whoever tells it (row K5).
    async fn tell_of_rejection(
        &self,
        target: Target<'_>,
        rejection: proto::RejectionNotification,
    ) -> Result<proto::BusinessResponse> {
        let reason = rejection.rejection_reason.clone();
        let known = About::of(rejection.clone());
        if let Some(known) = &known
            && known.provenance.source != target.key
        {
            let message =
                format!("the command was sent for an event of {}, not of this stream", known.provenance.source);
            return Err(Error::invalid_argument("command.cover", message));
        }
        let dedup = known.as_ref().map(notified);
        let about = match known {
            Some(known) => known,
            None => self.about(&target, rejection.rejected_command.unwrap_or_default(), None, &reason),
        };
        let command = &about.rejected.type_name;
        if command.is_empty() {
            return Err(Error::invalid_argument("rejected_command", "missing; send the command that was rejected"));
        }
        let Some(by) = self.answers_to_rejection(target.aggregate, &about) else {
            return Err(no_method(target.aggregate, command));
        };
        let after = self.after(&about, &reason, dedup.is_some());
        let decider = by.decider(|it| decider(it.method, it.location, || REJECTION.to_owned()));
        let work = RejectedWork { by, about: &about, after: &after };
        self.decide_on_request(target, decider, &work, dedup, &after, &about).await
    }

    async fn decide_on_request(
        &self,
        target: Target<'_>,
        decider: Decider,
        work: &dyn Decoded,
        dedup: Option<Dedup>,
        after: &AfterRevocation<'_>,
        about: &About,
    ) -> Result<proto::BusinessResponse> {
        use proto::business_response::Result as Answer;
        let Target { aggregate, key, edition, headers } = target;
        let cover = cover_on(&key, &edition, &headers);
        let alone = Alone {
            aggregate,
            key,
            edition: &edition,
            headers,
            decider,
            work,
            dedup,
            at: None,
            along: Some(after),
            link: None,
            for_open_process: false,
            because: None,
        };
        let outcome = self.decide_alone(alone).await;
        let revocation = after.revocation.lock().take();
        if outcome.is_err()
            && let Some(revocation) = &revocation
            && revocation.forward
        {
            let notification = proto::RejectionNotification {
                rejected_command: Some(about.book.clone()),
                rejection_reason: about.rejected.reason.clone(),
            };
            return Ok(proto::BusinessResponse {
                result: Some(Answer::Notification(proto::Notification {
                    cover: Some(cover),
                    payload: Some(proto::pack_as(REJECTION, &notification)),
                    sent_at: Some(prost_types::Timestamp::from_unix_nanos(self.now())),
                })),
            });
        }
        let outcome = outcome?;
        // Somebody else was first: what was stored then is the answer.
        let result = match revocation.filter(|_| !outcome.duplicate) {
            Some(revocation) => Answer::Revocation(revocation.response),
            None => Answer::Events(proto::EventBook {
                cover: Some(cover),
                snapshot: None,
                pages: outcome.events.iter().map(event_page).collect(),
                next_sequence: outcome.next_sequence,
            }),
        };
        Ok(proto::BusinessResponse { result: Some(result) })
    }

    fn after<'a>(&self, about: &'a About, reason: &'a str, is_known: bool) -> AfterRevocation<'a> {
        let letter_id = if is_known { dead_letter::command_letter_id(&about.provenance) } else { self.ids.next_id() };
        AfterRevocation {
            settle: None,
            letter_id,
            about,
            reason,
            revocation: Mutex::new(None),
            has_letter: false,
            link: None,
        }
    }

    /// What is known of a command that nobody's reaction sent, or that does not say whose.
    fn about(
        &self,
        target: &Target<'_>,
        book: proto::CommandBook,
        provenance: Option<Provenance>,
        reason: &str,
    ) -> About {
        use proto::CoverExt as _;
        let provenance = provenance.unwrap_or_else(|| Provenance {
            source: target.key.clone(),
            source_seq: 0,
            component: Name::default(),
            command_index: 0,
        });
        let (cover, command) =
            (book.cover.clone().unwrap_or_default(), book.first_command().cloned().unwrap_or_default());
        let rejected = RejectedCommand {
            domain: Name::new(&cover.domain),
            root: cover.root_bytes().map_or(target.key.root, uuid::Uuid::from_bytes),
            type_name: Name::new(proto::type_name_of(&command.type_url)),
            payload: command.value.into(),
            reason: reason.to_owned(),
            component: provenance.component.clone(),
            source_seq: provenance.source_seq,
        };
        let (edition, headers) = (target.edition.clone(), target.headers.clone());
        About { book, provenance, forwarded: Vec::new(), rejected, edition, headers }
    }
}

fn decider(method: &'static str, location: Location, full_name: fn() -> String) -> Decider {
    Decider { method, location, merge: None, full_name }
}

fn asked(command: &prost_types::Any) -> Result<Asked> {
    let unreadable = |error: &prost::DecodeError| {
        let message = format!("the payload is not a `{}`: {error}", proto::type_name_of(&command.type_url));
        Error::invalid_argument("command.pages[0].command", message)
    };
    let rejection = |bytes: &[u8]| {
        let rejection = proto::RejectionNotification::decode(bytes).map_err(|error| unreadable(&error))?;
        Ok(Asked::Rejection(rejection))
    };
    match proto::type_name_of(&command.type_url) {
        COMPENSATE => {
            let compensate = proto::Compensate::decode(command.value.as_slice()).map_err(|error| unreadable(&error))?;
            Ok(Asked::Compensate(compensate))
        }
        REJECTION => rejection(&command.value),
        NOTIFICATION => {
            let told = proto::Notification::decode(command.value.as_slice()).map_err(|error| unreadable(&error))?;
            match told.payload.filter(|payload| proto::type_name_of(&payload.type_url) == REJECTION) {
                Some(payload) => rejection(&payload.value),
                None => Err(Error::invalid_argument("notification.payload", format!("not a `{REJECTION}`"))),
            }
        }
        other => {
            let other = crate::stream::limits::shorten(other);
            let message = format!("`{other}` asks for nothing to be undone: send `{COMPENSATE}` or `{NOTIFICATION}`");
            Err(Error::invalid_argument("command.pages[0].command", message))
        }
    }
}

fn no_method(aggregate: &Aggregate, command: &str) -> Error {
    let known = aggregate.rejected.keys().map(|(name, _)| name.as_str());
    Error::UnknownCommand {
        domain: aggregate.descriptor.domain.to_owned(),
        command: crate::stream::limits::shorten(command),
        nearest: nearest(command, known),
        subject: Subject::default(),
    }
}
