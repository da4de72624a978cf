//! Calls of the handlers of sagas and projectors, for the runtime and for scenarios alike.
//!
//! In: an event in the form of today. Out: what its handler gave. Never: a panic of a handler; it is a transient failure.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;

use super::projector::{Projection, Unit};
use super::subscription::context_of;
use crate::command::{Core, panic_text};
use crate::declare::{Emission, Emissions, Instance, ReactionError};
use crate::registry::{Projector, Saga};
use crate::stream::{StoredEvent, StreamKey};
use crate::telemetry;

/// What a saga sends for one event; nothing if it has no handler for it.
pub(crate) async fn react(
    core: &Core,
    saga: &Saga,
    instance: &Instance,
    stream: &StreamKey,
    event: &StoredEvent,
) -> Result<Vec<Emission>, ReactionError> {
    match &saga.remote {
        Some(remote) => {
            let emissions = Box::pin(remote.react(core, stream, event)).await?;
            telemetry::handled(REMOTE, Some(emissions.len()));
            Ok(emissions)
        }
        None => react_here(core, saga, instance, stream, event),
    }
}

/// What the runtime tells of a method that is elsewhere.
const REMOTE: &str = "(remote)";

/// The same for one of this program.
pub(crate) fn react_here(
    core: &Core,
    saga: &Saga,
    instance: &Instance,
    stream: &StreamKey,
    event: &StoredEvent,
) -> Result<Vec<Emission>, ReactionError> {
    let mut emissions = Emissions::default();
    let Some(handler) = saga.handlers.get(event.type_name.as_str()) else { return Ok(emissions.0) };
    let context = context_of(core, stream, event);
    let result =
        catch_unwind(AssertUnwindSafe(|| (handler.react)(instance.as_ref(), &event.payload, &context, &mut emissions)));
    match result {
        Ok(result) => result?,
        Err(panic) => return Err(ReactionError::transient(format!("panicked: {}", panic_text(panic.as_ref())))),
    }
    telemetry::handled(handler.method, Some(emissions.0.len()));
    Ok(emissions.0)
}

/// Projects what one stored event is today: its parts, in order, until one fails. The projection is that of the last part
/// that has one. In a replay, handlers that are `live_only` are left out (row J6).
pub(crate) async fn project(
    core: &Core,
    projector: &Projector,
    instance: &Instance,
    stream: &StreamKey,
    events: impl IntoIterator<Item = StoredEvent>,
    unit: Option<&Unit>,
    replay: bool,
) -> Result<Projection, ReactionError> {
    if let Some(remote) = &projector.remote {
        let projection = Box::pin(remote.project(stream, events.into_iter().collect(), false)).await?;
        telemetry::handled(REMOTE, None);
        return Ok(projection);
    }
    let mut projection = None;
    for (part, event) in (0..).zip(events) {
        let Some(handler) = projector.handlers.get(event.type_name.as_str()) else { continue };
        if replay && handler.live_only {
            continue;
        }
        let mut context = context_of(core, stream, &event);
        context.transaction = unit.cloned();
        context.replay = replay;
        context.part = part;
        let call = AssertUnwindSafe(async { (handler.project)(instance.as_ref(), &event.payload, &context).await });
        match call.catch_unwind().await {
            Ok(result) => projection = result?.or(projection),
            Err(panic) => {
                let text = panic_text(panic.as_ref());
                return Err(ReactionError::transient(format!("`{}` panicked: {text}", handler.method)));
            }
        }
        telemetry::handled(handler.method, None);
    }
    Ok(projection)
}
