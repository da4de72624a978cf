//! Coordinators of sagas, process managers and projectors: components on events that a caller gives.
//!
//! In: a book of events, and which component they are for where several could be meant. Out: what the component makes of them.
//! Never: a second effect of an event; what the log has brought, or will bring, is known as the same.

use angzarr_proto as proto;
use proto::process_manager_coordinator_service_server::ProcessManagerCoordinatorService;
use proto::projector_coordinator_service_server::ProjectorCoordinatorService;
use proto::saga_coordinator_service_server::SagaCoordinatorService;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::calls::{Calls, Failure, Late, taken};
use super::commands::about;
use super::status::Trouble;
use crate::Runtime;
use crate::command::{CascadeErrorMode, SyncMode, cascade_error_mode, cover_of, sync_mode};
use crate::error::{Result, nearest};
use crate::reaction::{Component, Given, ProcessManagerRunner, ProjectorRunner, SagaRunner};
use crate::stream::limits::shorten;

#[derive(Clone)]
pub(super) struct Components {
    pub(super) runtime: Runtime,
    pub(super) calls: Calls,
}

/// Metadata of a request: the component that is meant, by its name.
pub(super) const COMPONENT: &str = "angzarr-component";

fn wanted(metadata: &MetadataMap) -> Option<String> {
    Some(metadata.get(COMPONENT)?.to_str().ok()?.to_owned())
}

/// Which of the components that listen to the events is meant.
fn choose(
    kind: &str,
    wanted: Option<&str>,
    given: &Given,
    listening: Vec<&'static str>,
) -> Result<Vec<&'static str>, Trouble> {
    let domain = given.stream.domain.as_str();
    if let Some(wanted) = wanted {
        if let Some(found) = listening.iter().find(|name| **name == wanted) {
            return Ok(vec![found]);
        }
        let message = format!("no {kind} `{}` listens to `{domain}`", shorten(wanted));
        return Err(Trouble::new(Code::NotFound, "UNKNOWN_COMPONENT", message)
            .fact("component", shorten(wanted))
            .fact("domain", domain)
            .fact("nearest", nearest(wanted, listening.into_iter()).join(", ")));
    }
    if listening.is_empty() {
        let message = format!("no {kind} listens to `{domain}`");
        return Err(Trouble::new(Code::NotFound, "UNKNOWN_COMPONENT", message).fact("domain", domain));
    }
    Ok(listening)
}

/// The same where an answer has room for one only: of several, the one that has a method for these events.
fn choose_one(
    kind: &str,
    wanted: Option<&str>,
    given: &Given,
    listening: Vec<&'static str>,
    handles: impl Fn(&str, &str) -> bool,
) -> Result<&'static str, Trouble> {
    let chosen = choose(kind, wanted, given, listening)?;
    let types = || given.events.iter().map(|event| event.type_name.as_str());
    let concerned: Vec<_> = chosen.iter().copied().filter(|name| types().any(|event| handles(name, event))).collect();
    match (chosen.as_slice(), concerned.as_slice()) {
        ([one], _) | (_, [one]) => Ok(one),
        _ => {
            let message = format!("several could be meant; name the {kind} in the metadata `{COMPONENT}`");
            Err(Trouble::new(Code::InvalidArgument, "AMBIGUOUS_COMPONENT", message)
                .fact("components", chosen.join(", "))
                .fact("domain", given.stream.domain.as_str()))
        }
    }
}

/// A component may be known and not run: another process has it.
fn not_here(name: &str) -> Trouble {
    let message = format!("`{name}` does not run in this process");
    Trouble::new(Code::Unavailable, "COMPONENT_NOT_HERE", message).fact("component", name)
}

/// Whether the answer waits for everything that follows, and what a failure does then.
fn cascade_of(sync: i32, mode: i32) -> Result<Option<CascadeErrorMode>> {
    let (sync, mode) = (sync_mode(sync, || "sync_mode".into())?, cascade_error_mode(mode)?);
    Ok((sync == SyncMode::Cascade).then_some(mode))
}

impl Components {
    fn sagas(&self, wanted: Option<&str>, given: &Given) -> Result<Vec<&SagaRunner>, Trouble> {
        let sagas = self.runtime.core().registry.sagas.values();
        let listening = sagas.map(|saga| saga.descriptor).filter(|saga| given.stream.domain == *saga.domain);
        let chosen = choose("saga", wanted, given, listening.map(|saga| saga.name).collect())?;
        let of = |name: &'static str| match self.runtime.component(name) {
            Some(Component::Saga(saga)) => Ok(saga),
            _ => Err(not_here(name)),
        };
        chosen.into_iter().map(of).collect()
    }

    fn process_name(&self, wanted: Option<&str>, given: &Given) -> Result<&'static str, Trouble> {
        let processes = &self.runtime.core().registry.process_managers;
        let listens = |sources: &[&str]| sources.contains(&given.stream.domain.as_str());
        let listening = processes.values().filter(|process| listens(process.descriptor.sources));
        let listening = listening.map(|process| process.descriptor.state.domain).collect();
        choose_one("process manager", wanted, given, listening, |name, event| {
            processes.get(name).is_some_and(|process| process.handles(event))
        })
    }

    fn process(&self, wanted: Option<&str>, given: &Given) -> Result<&ProcessManagerRunner, Trouble> {
        let name = self.process_name(wanted, given)?;
        match self.runtime.component(name) {
            Some(Component::ProcessManager(process)) => Ok(process),
            _ => Err(not_here(name)),
        }
    }

    fn projector(&self, wanted: Option<&str>, given: &Given) -> Result<(&'static str, &ProjectorRunner), Trouble> {
        let projectors = &self.runtime.core().registry.projectors;
        let domain = given.stream.domain.as_str();
        let sees = |all_editions: bool| all_editions || given.stream.is_main();
        let listening = projectors.values().map(|it| it.descriptor);
        let listening = listening.filter(|it| it.domains.contains(&domain) && sees(it.all_editions));
        let listening = listening.map(|it| it.name).collect();
        let name = choose_one("projector", wanted, given, listening, |name, event| {
            projectors.get(name).is_some_and(|it| it.handles(event))
        })?;
        match self.runtime.component(name) {
            Some(Component::Projector(projector)) => Ok((name, projector)),
            _ => Err(not_here(name)),
        }
    }

    /// Waits for the projection of events that are stored.
    async fn projection(&self, wanted: Option<&str>, given: Given) -> Result<proto::Projection, Failure> {
        let (name, _) = self.projector(wanted, &given)?;
        let core = self.runtime.core();
        let (projection, missing) = core.await_projection(name, &given).await?;
        if let Some(missing) = missing.first() {
            let sequence = missing.sequence.to_string();
            return Err(match &missing.reason {
                Some(reason) => Trouble::new(
                    Code::FailedPrecondition,
                    "NOT_PROJECTED",
                    format!("`{name}` has not handled event #{sequence}: {reason}"),
                ),
                None => Trouble::new(
                    Code::DeadlineExceeded,
                    "NOT_PROJECTED_YET",
                    format!("`{name}` had not handled event #{sequence} in time; it will"),
                )
                .retry_after(std::time::Duration::from_millis(100)),
            }
            .fact("component", name)
            .fact("sequence", sequence)
            .into());
        }
        Ok(answered(&given, name, projection))
    }
}

fn answered(given: &Given, name: &str, projection: Option<crate::Projection>) -> proto::Projection {
    let headers = given.events.first().map(|event| event.headers.clone()).unwrap_or_default();
    let last = given.events.last().map_or(0, |event| event.sequence);
    proto::Projection {
        cover: Some(cover_of(&given.stream, headers.correlation_id(), headers.ext())),
        projector: name.to_owned(),
        sequence: projection.as_ref().map_or(last, |projection| projection.sequence),
        projection: projection.map(|projection| projection.projection),
    }
}

#[tonic::async_trait]
impl SagaCoordinatorService for Components {
    async fn execute(
        &self,
        request: Request<proto::SagaHandleRequest>,
    ) -> Result<Response<proto::SagaResponse>, Status> {
        let (caller, request) = taken(request);
        let about = about(request.source.as_ref().and_then(|book| book.cover.as_ref()));
        let (here, wanted) = (self.clone(), wanted(&caller.metadata));
        let work = async move {
            let core = here.runtime.core();
            let cascade = cascade_of(request.sync_mode, request.cascade_error_mode)?;
            let given = core.given(request.source.as_ref(), "source")?;
            let sagas = here.sagas(wanted.as_deref(), &given)?;
            let given = core.as_stored(given, "source").await?;
            let mut whole = proto::SagaResponse::default();
            for saga in sagas {
                let response = core.run_saga(saga, &given, cascade).await?;
                whole.commands.extend(response.commands);
                whole.events.extend(response.events);
            }
            Ok(whole)
        };
        // Each of its commands is known by its provenance.
        self.calls.run(caller, Late::Command { repeatable: true }, about, work).await
    }

    async fn execute_speculative(
        &self,
        request: Request<proto::SpeculateSagaRequest>,
    ) -> Result<Response<proto::SagaResponse>, Status> {
        let (caller, request) = taken(request);
        let request = request.request.unwrap_or_default();
        let about = about(request.source.as_ref().and_then(|book| book.cover.as_ref()));
        let (here, wanted) = (self.clone(), wanted(&caller.metadata));
        let work = async move {
            let core = here.runtime.core();
            let given = core.given(request.source.as_ref(), "request.source")?;
            let mut whole = proto::SagaResponse::default();
            for saga in here.sagas(wanted.as_deref(), &given)? {
                let response = core.speculate_saga(saga, &given).await?;
                whole.commands.extend(response.commands);
                whole.events.extend(response.events);
            }
            Ok(whole)
        };
        self.calls.run(caller, Late::Question, about, work).await
    }
}

#[tonic::async_trait]
impl ProcessManagerCoordinatorService for Components {
    async fn handle(
        &self,
        request: Request<proto::ProcessManagerCoordinatorRequest>,
    ) -> Result<Response<proto::ProcessManagerHandleResponse>, Status> {
        let (caller, request) = taken(request);
        let about = about(request.trigger.as_ref().and_then(|book| book.cover.as_ref()));
        let (here, wanted) = (self.clone(), wanted(&caller.metadata));
        let work = async move {
            let core = here.runtime.core();
            let cascade = cascade_of(request.sync_mode, request.cascade_error_mode)?;
            let given = core.given(request.trigger.as_ref(), "trigger")?;
            let process = here.process(wanted.as_deref(), &given)?;
            let given = core.as_stored(given, "trigger").await?;
            Ok(core.run_process(process, &given, cascade).await?)
        };
        self.calls.run(caller, Late::Command { repeatable: true }, about, work).await
    }

    async fn handle_speculative(
        &self,
        request: Request<proto::SpeculatePmRequest>,
    ) -> Result<Response<proto::ProcessManagerHandleResponse>, Status> {
        let (caller, request) = taken(request);
        let request = request.request.unwrap_or_default();
        let about = about(request.trigger.as_ref().and_then(|book| book.cover.as_ref()));
        let (here, wanted) = (self.clone(), wanted(&caller.metadata));
        let work = async move {
            let core = here.runtime.core();
            let given = core.given(request.trigger.as_ref(), "request.trigger")?;
            let name = here.process_name(wanted.as_deref(), &given)?;
            let process = &core.registry.process_managers[name];
            Ok(core.speculate_process(process, &given, request.process_state.as_ref()).await?)
        };
        self.calls.run(caller, Late::Question, about, work).await
    }
}

#[tonic::async_trait]
impl ProjectorCoordinatorService for Components {
    async fn handle_sync(&self, request: Request<proto::EventRequest>) -> Result<Response<proto::Projection>, Status> {
        let (caller, request) = taken(request);
        let about = about(request.events.as_ref().and_then(|book| book.cover.as_ref()));
        let (here, wanted) = (self.clone(), wanted(&caller.metadata));
        let work = async move {
            let core = here.runtime.core();
            let given = core.given(request.events.as_ref(), "events")?;
            here.of_this_store(&given)?;
            let given = core.as_stored(given, "events").await?;
            here.projection(wanted.as_deref(), given).await
        };
        self.calls.run(caller, Late::Question, about, work).await
    }

    async fn handle(&self, request: Request<proto::EventBook>) -> Result<Response<()>, Status> {
        let (caller, book) = taken(request);
        let (about, here, wanted) = (about(book.cover.as_ref()), self.clone(), wanted(&caller.metadata));
        let work = async move {
            let core = here.runtime.core();
            let given = core.given(Some(&book), "events")?;
            here.of_this_store(&given)?;
            // The log brings them, or has.
            let given = core.as_stored(given, "events").await?;
            if wanted.is_some() {
                here.projector(wanted.as_deref(), &given)?;
            }
            Ok(())
        };
        self.calls.run(caller, Late::Question, about, work).await
    }

    async fn handle_speculative(
        &self,
        request: Request<proto::SpeculateProjectorRequest>,
    ) -> Result<Response<proto::Projection>, Status> {
        let (caller, request) = taken(request);
        let about = about(request.events.as_ref().and_then(|book| book.cover.as_ref()));
        let (here, wanted) = (self.clone(), wanted(&caller.metadata));
        let work = async move {
            let core = here.runtime.core();
            let given = core.given(request.events.as_ref(), "events")?;
            let (name, projector) = here.projector(wanted.as_deref(), &given)?;
            let projection = core.speculate_projection(projector, &given).await?;
            Ok(answered(&given, name, projection))
        };
        // It holds the projector's turn and has to give it back in order: it runs to its end.
        self.calls.run(caller, Late::Command { repeatable: true }, about, work).await
    }
}

impl Components {
    /// Projectors follow the log of this store: others' events do not come by it.
    fn of_this_store(&self, given: &Given) -> Result<(), Failure> {
        self.runtime.core().owner_of(&given.stream.domain)?;
        Ok(())
    }
}
