//! What is wrong with a model as a whole: two of its parts contradict each other.
//!
//! In: a model that parsed. Out: mistakes, and the model without the half that the compiler would complain about once more.
//! Never: tokens; what a single part shows is reported in `parse`, and what needs more
//! than one item is left to the compiler (through the traits) and to the registry.

use quote::ToTokens;

use crate::diagnostics::{Diagnostics, source};
use crate::model::{
    About, Aggregate, AggregateBlock, Apply, Call, DomainRef, EventsEnum, Place, ProcessManagerBlock, ProjectorBlock,
    SagaBlock, Upcaster,
};

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
        |it| Key::of(&it.about, &it.call),
        diagnostics,
        |message, first, second| Twice {
            what: format!("`{name}` handles the command `{message}` twice: in `{first}` and in `{second}`"),
            why: "a command has one handler, or nobody could say which of the two decides",
            write: "remove one of the two, or give it another command",
        },
    );
    applies_once(name, &mut block.applies, diagnostics);
    rejections_once(name, &mut block.rejections, |it| rejection(&it.about, &it.call, it.target.as_ref()), diagnostics);
    once(
        &mut block.compensations,
        |it| Key { about: &it.about, name: String::new(), at: &it.about.ident },
        diagnostics,
        |_, first, second| Twice {
            what: format!("`{name}` has two `#[compensate]`: `{first}` and `{second}`"),
            why: "a request to undo names events by their sequences, not by their types: one method looks at all of them",
            write: "put both into one of them",
        },
    );
    once(
        &mut block.facts,
        |it| Key::of(&it.about, &it.call),
        diagnostics,
        |message, first, second| Twice {
            what: format!("`{name}` has two `#[fact]` for `{message}`: `{first}` and `{second}`"),
            why: "a fact means one thing to an aggregate, or the order of the two would decide",
            write: "return the events of both from one of them: `-> (A, B)`",
        },
    );
}

/// A block of a process manager.
pub(crate) fn process_manager_block(block: &mut ProcessManagerBlock, diagnostics: &mut Diagnostics) {
    let name = &block.state.name;
    events_once(name, &mut block.handlers, |it| Key::of(&it.about, &it.call), diagnostics);
    applies_once(name, &mut block.applies, diagnostics);
    rejections_once(name, &mut block.rejections, |it| rejection(&it.about, &it.call, it.target.as_ref()), diagnostics);
    once(
        &mut block.timeouts,
        |it| {
            let about = &it.about;
            match &it.name {
                Some(timeout) => Key { about, name: format!("\"{}\"", timeout.value()), at: timeout },
                // After a mistake: nothing that another could be equal to.
                None => Key { about, name: format!("{} without a name", about.ident), at: &about.ident },
            }
        },
        diagnostics,
        |timeout, first, second| Twice {
            what: format!("`{name}` has two `#[timeout({timeout})]`: `{first}` and `{second}`"),
            why: "a timeout that is due runs one method, or the order of the two would decide",
            write: "give one of them another name, or put both into one method",
        },
    );
}

fn applies_once(name: &str, applies: &mut Vec<Apply>, diagnostics: &mut Diagnostics) {
    once(
        applies,
        |it| Key::of(&it.about, &it.call),
        diagnostics,
        |message, first, second| Twice {
            what: format!("`{name}` has two `#[apply]` for the event `{message}`: `{first}` and `{second}`"),
            why: "an event changes the state in one way, or the order of the two would decide",
            write: "put both effects into one of them",
        },
    );
}

/// What a `#[rejected]` is for: a command, and a target if it says one.
fn rejection<'a>(about: &'a About, call: &'a Call, target: Option<&DomainRef>) -> Key<'a> {
    let target = match target {
        None => String::new(),
        Some(DomainRef::Name(domain)) => format!(" by \"{}\"", domain.value()),
        Some(DomainRef::Aggregate(ty)) => format!(" by `{}`", source(ty)),
    };
    Key { about, name: format!("`{}`{target}", source(&call.message)), at: &call.message }
}

fn rejections_once<M>(name: &str, methods: &mut Vec<M>, key: impl Fn(&M) -> Key<'_>, diagnostics: &mut Diagnostics) {
    once(methods, key, diagnostics, |rejection, first, second| Twice {
        what: format!("`{name}` handles {rejection} twice: in `{first}` and in `{second}`"),
        why: "a rejection has one method, or the order of the two would decide",
        write: "put both into one of them, or say whose rejection each is for: `#[rejected(from = Payment)]`",
    });
}

/// A block of a saga.
pub(crate) fn saga_block(block: &mut SagaBlock, diagnostics: &mut Diagnostics) {
    events_once(&block.component.name, &mut block.handlers, |it| Key::of(&it.about, &it.call), diagnostics);
}

/// A block of a projector.
pub(crate) fn projector_block(block: &mut ProjectorBlock, diagnostics: &mut Diagnostics) {
    events_once(&block.component.name, &mut block.handlers, |it| Key::of(&it.about, &it.call), diagnostics);
}

fn events_once<M>(name: &str, handlers: &mut Vec<M>, key: impl Fn(&M) -> Key<'_>, diagnostics: &mut Diagnostics) {
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

/// What a method is for.
struct Key<'a> {
    about: &'a About,
    /// The same for two methods of which one is too much.
    name: String,
    /// Where that is told.
    at: &'a dyn ToTokens,
}

impl<'a> Key<'a> {
    /// It is for its message.
    fn of(about: &'a About, call: &'a Call) -> Self {
        Self { about, name: source(&call.message), at: &call.message }
    }
}

/// Tells at the second of two methods for one purpose, and leaves it out. Methods under a `#[cfg(…)]` are left to the
/// compiler: they may exclude each other.
fn once<M>(
    methods: &mut Vec<M>,
    key: impl Fn(&M) -> Key<'_>,
    diagnostics: &mut Diagnostics,
    text: impl Fn(&str, &str, &str) -> Twice,
) {
    let mut seen: Vec<(String, String)> = Vec::new();
    methods.retain(|method| {
        let Key { about, name, at } = key(method);
        if !about.cfgs.is_empty() {
            return true;
        }
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
            let twice = text(&name, first, &about.ident.to_string());
            diagnostics.report(at, twice.what, twice.why, twice.write);
            return false;
        }
        seen.push((name, about.ident.to_string()));
        true
    });
}
