//! `CommandHandlerCoordinatorService`: commands and facts of callers.
//!
//! In: what a caller asks for. Out: what the runtime's own entries answer. Never: a way of its own to the store.

use angzarr_proto as proto;
use proto::command_handler_coordinator_service_server::CommandHandlerCoordinatorService;
use proto::{CommandBookExt, CoverExt as _, PageHeaderExt as _};
use tonic::{Request, Response, Status};

use super::calls::{Calls, Late, taken};
use crate::Runtime;
use crate::command::as_of;
use crate::stream::AsOf;
use crate::stream::limits::shorten;

pub(super) struct Commands {
    pub(super) runtime: Runtime,
    pub(super) calls: Calls,
}

/// What a cover says, for whoever waits in vain.
pub(super) fn about(cover: Option<&proto::Cover>) -> Vec<(&'static str, String)> {
    let Some(cover) = cover else { return Vec::new() };
    let mut facts = vec![("domain", shorten(&cover.domain))];
    facts.extend(cover.root_bytes().map(|root| ("root", uuid::Uuid::from_bytes(root).to_string())));
    facts.extend(cover.edition_name().map(|edition| ("edition", shorten(edition))));
    facts
}

fn about_command(book: Option<&proto::CommandBook>) -> Vec<(&'static str, String)> {
    let mut facts = about(book.and_then(|book| book.cover.as_ref()));
    if let Some(command) = book.and_then(CommandBookExt::first_command) {
        facts.push(("command_type", shorten(proto::type_name_of(&command.type_url))));
    }
    facts
}

/// Whether a header makes what it heads known again (rows C10, F2, G2).
fn is_known(header: Option<&proto::PageHeader>) -> bool {
    header.is_some_and(|header| header.external_id().is_some() || header.provenance().is_some())
}

#[tonic::async_trait]
impl CommandHandlerCoordinatorService for Commands {
    async fn handle_command(
        &self,
        request: Request<proto::CommandRequest>,
    ) -> Result<Response<proto::CommandResponse>, Status> {
        let (caller, request) = taken(request);
        let book = request.command.as_ref();
        let repeatable = book.and_then(|it| it.pages.first()).is_some_and(|page| is_known(page.header.as_ref()));
        let (about, runtime) = (about_command(book), self.runtime.clone());
        let work = async move { Ok(runtime.handle_command(request).await?) };
        self.calls.run(caller, Late::Command { repeatable }, about, work).await
    }

    async fn handle_event(
        &self,
        request: Request<proto::EventRequest>,
    ) -> Result<Response<proto::FactInjectionResponse>, Status> {
        let (caller, request) = taken(request);
        let book = request.events.as_ref();
        let repeatable = book.and_then(|it| it.pages.first()).is_some_and(|page| is_known(page.header.as_ref()));
        let (about, runtime) = (about(book.and_then(|it| it.cover.as_ref())), self.runtime.clone());
        let work = async move { Ok(runtime.handle_event(request).await?) };
        self.calls.run(caller, Late::Command { repeatable }, about, work).await
    }

    async fn handle_sync_speculative(
        &self,
        request: Request<proto::SpeculateCommandHandlerRequest>,
    ) -> Result<Response<proto::CommandResponse>, Status> {
        let (caller, request) = taken(request);
        let (about, runtime) = (about_command(request.command.as_ref()), self.runtime.clone());
        let work = async move {
            let point = request.point_in_time.as_ref().map_or(Ok(AsOf::Head), as_of)?;
            let request = proto::CommandRequest { command: request.command, ..Default::default() };
            Ok(runtime.core().speculate(&request, point).await?.into_response())
        };
        self.calls.run(caller, Late::Question, about, work).await
    }

    async fn handle_compensation(
        &self,
        request: Request<proto::CommandRequest>,
    ) -> Result<Response<proto::BusinessResponse>, Status> {
        let (caller, request) = taken(request);
        let book = request.command.as_ref();
        let repeatable = book.and_then(|it| it.pages.first()).is_some_and(|page| is_known(page.header.as_ref()));
        let (about, runtime) = (about_command(book), self.runtime.clone());
        let work = async move { Ok(runtime.core().compensate_on_request(&request).await?) };
        self.calls.run(caller, Late::Command { repeatable }, about, work).await
    }
}
