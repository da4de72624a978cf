//! What is wrong with a model as a whole: two of its parts contradict each other.
//!
//! In: a model that parsed. Out: mistakes, and the model without the half that the compiler would complain about once more.
//! Never: tokens; what a single part shows is reported in `parse`, and what needs more
//! than one item is left to the compiler (through the traits) and to the registry.

use crate::diagnostics::{Diagnostics, source};
use crate::model::{About, Aggregate, AggregateBlock, Call, EventsEnum, Place, ProjectorBlock, SagaBlock, Upcaster};

/// A declaration of an aggregate.
pub(crate) fn aggregate(aggregate: &mut Aggregate, diagnostics: &mut Diagnostics) {
    if let Place::Remote { handles } = &mut aggregate.place {
        let mut seen: Vec<String> = Vec::new();
        handles.retain(|command| {
            let name = source(command);
            if seen.contains(&name) {
                diagnostics.report(
                    command,
                    format!("`{name}` is listed twice"),
                    "once says that the aggregate takes it",
                    "remove one of the two",
                );
                return false;
            }
            seen.push(name);
            true
        });
    }
}

/// A block of an aggregate.
pub(crate) fn aggregate_block(block: &mut AggregateBlock, diagnostics: &mut Diagnostics) {
    let name = &block.state.name;
    if let Some(declaration) = &mut block.declaration {
        aggregate(declaration, diagnostics);
    }
    once(
        &mut block.handlers,
        |it| (&it.about, &it.call),
        diagnostics,
        |message, first, second| Twice {
            what: format!("`{name}` handles the command `{message}` twice: in `{first}` and in `{second}`"),
            why: "a command has one handler, or nobody could say which of the two decides",
            write: "remove one of the two, or give it another command",
        },
    );
    once(
        &mut block.applies,
        |it| (&it.about, &it.call),
        diagnostics,
        |message, first, second| Twice {
            what: format!("`{name}` has two `#[apply]` for the event `{message}`: `{first}` and `{second}`"),
            why: "an event changes the state in one way, or the order of the two would decide",
            write: "put both effects into one of them",
        },
    );
}

/// A block of a saga.
pub(crate) fn saga_block(block: &mut SagaBlock, diagnostics: &mut Diagnostics) {
    events_once(&block.component.name, &mut block.handlers, |it| (&it.about, &it.call), diagnostics);
}

/// A block of a projector.
pub(crate) fn projector_block(block: &mut ProjectorBlock, diagnostics: &mut Diagnostics) {
    events_once(&block.component.name, &mut block.handlers, |it| (&it.about, &it.call), diagnostics);
}

fn events_once<M>(
    name: &str,
    handlers: &mut Vec<M>,
    key: impl Fn(&M) -> (&About, &Call),
    diagnostics: &mut Diagnostics,
) {
    once(handlers, key, diagnostics, |message, first, second| Twice {
        what: format!("`{name}` handles the event `{message}` twice: in `{first}` and in `{second}`"),
        why: "an event has one handler in a component, or the order of the two would decide",
        write: "put both effects into one of them",
    });
}

/// An upcaster.
pub(crate) fn upcaster(upcaster: &Upcaster, diagnostics: &mut Diagnostics) {
    let (Some(call), Some(returns)) = (&upcaster.call, &upcaster.returns) else { return };
    let old = source(&call.message);
    if let Some(same) = returns.leaves().into_iter().find(|leaf| source(*leaf) == old) {
        let next = upcaster.from.as_ref().map_or(2, |from| from.value.saturating_add(1));
        diagnostics.report(
            same,
            format!("`{}` turns `{old}` into `{old}`", upcaster.about.ident),
            "each version of an event has its own shape; a version that changes nothing would be none",
            format!(
                "keep the old shape under its own name, for example `{old}V{}`, and return the shape of version {next}",
                next - 1
            ),
        );
    }
}

/// An enum of events.
pub(crate) fn events(events: &EventsEnum, diagnostics: &mut Diagnostics) {
    for (index, variant) in events.variants.iter().enumerate() {
        let name = source(&variant.event);
        let earlier = events.variants.iter().take(index).find(|other| source(&other.event) == name);
        if let Some(first) = earlier {
            diagnostics.report(
                &variant.event,
                format!("`{}` and `{}` both hold `{name}`", first.ident, variant.ident),
                "what is stored is the event, not the variant: the two could not be told apart afterwards",
                "remove one of the two, or give it an event of its own",
            );
        }
    }
}

struct Twice {
    what: String,
    why: &'static str,
    write: &'static str,
}

/// Tells at the second of two methods for one message, and leaves it out. Methods under a `#[cfg(…)]` are left to the
/// compiler: they may exclude each other.
fn once<M>(
    methods: &mut Vec<M>,
    key: impl Fn(&M) -> (&About, &Call),
    diagnostics: &mut Diagnostics,
    text: impl Fn(&str, &str, &str) -> Twice,
) {
    let mut seen: Vec<(String, String)> = Vec::new();
    methods.retain(|method| {
        let (about, call) = key(method);
        if !about.cfgs.is_empty() {
            return true;
        }
        let message = source(&call.message);
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == message) {
            let twice = text(&message, first, &about.ident.to_string());
            diagnostics.report(&call.message, twice.what, twice.why, twice.write);
            return false;
        }
        seen.push((message, about.ident.to_string()));
        true
    });
}
