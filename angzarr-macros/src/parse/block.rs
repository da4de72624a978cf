//! `impl` blocks: their marked methods, and the block without the markers.

use proc_macro2::TokenStream;
use syn::{Attribute, ImplItem, ImplItemFn, ItemImpl, Meta};

use super::refuse_generics;
use crate::diagnostics::Diagnostics;
use crate::model::{Kind, Marker};

/// A method with its marker.
pub(super) struct Marked {
    pub(super) marker: Marker,
    pub(super) attribute: Attribute,
    pub(super) method: ImplItemFn,
}

impl Marked {
    /// The marker's arguments.
    pub(super) fn arguments(&self) -> TokenStream {
        match &self.attribute.meta {
            Meta::List(list) => list.tokens.clone(),
            Meta::NameValue(pair) => {
                let (path, value) = (&pair.path, &pair.value);
                quote::quote!(#path = #value)
            }
            Meta::Path(_) => TokenStream::new(),
        }
    }
}

/// Takes the markers off the block and returns the methods that belong to it.
pub(super) fn methods(kind: Kind, block: &mut ItemImpl, diagnostics: &mut Diagnostics) -> Vec<Marked> {
    let mut methods = Vec::new();
    for item in &mut block.items {
        match item {
            ImplItem::Fn(method) => {
                let markers = take_markers(&mut method.attrs);
                let Some(first) = pick(&markers, &method.sig.ident.to_string(), diagnostics) else { continue };
                let (marker, attribute) = first;
                if belongs(kind, marker, &attribute, diagnostics) {
                    methods.push(Marked { marker, attribute, method: method.clone() });
                }
            }
            ImplItem::Const(other) => refuse_markers(&mut other.attrs, "a constant", diagnostics),
            ImplItem::Type(other) => refuse_markers(&mut other.attrs, "a type", diagnostics),
            ImplItem::Macro(other) => refuse_markers(&mut other.attrs, "a macro", diagnostics),
            _ => {}
        }
    }
    methods
}

/// Tells what cannot be a block of this kind; `true` if it can.
pub(super) fn check(kind: Kind, block: &ItemImpl, diagnostics: &mut Diagnostics) -> bool {
    if let Some((path, _)) = &block.trait_ {
        diagnostics.report(
            path,
            format!("`#[{}]` cannot be on a trait impl", kind.attribute()),
            "handlers are methods of the type itself; a trait's methods cannot be added to",
            "write a plain block, `impl Name { … }`",
        );
        return false;
    }
    !refuse_generics(kind.a(), &crate::diagnostics::source(&block.self_ty), &block.generics, diagnostics)
}

/// Tells that a block has nothing to say.
pub(super) fn nothing_marked(kind: Kind, block: &ItemImpl, example: &str, diagnostics: &mut Diagnostics) {
    diagnostics.report(
        &block.self_ty,
        format!("nothing in this `#[{}] impl` block is marked", kind.attribute()),
        "the attribute finds methods by their markers; without any it would do nothing",
        format!("mark a method, for example `{example}`, or remove the attribute"),
    );
}

fn take_markers(attributes: &mut Vec<Attribute>) -> Vec<(Marker, Attribute)> {
    let mut markers = Vec::new();
    attributes.retain(|attribute| match Marker::of(attribute) {
        Some(marker) => {
            markers.push((marker, attribute.clone()));
            false
        }
        None => true,
    });
    markers
}

fn pick(markers: &[(Marker, Attribute)], method: &str, diagnostics: &mut Diagnostics) -> Option<(Marker, Attribute)> {
    let (first, rest) = markers.split_first()?;
    for (marker, attribute) in rest {
        if *marker == first.0 {
            diagnostics.report(
                attribute.path(),
                format!("`{method}` is marked `#[{}]` twice", marker.name()),
                "once says it",
                "remove one of the two",
            );
        } else {
            diagnostics.report(
                attribute.path(),
                format!("`{method}` is marked `#[{}]` and `#[{}]`", first.0.name(), marker.name()),
                "a method has one job: it takes one message, for one purpose",
                "remove one of the two, or write a method for each",
            );
        }
    }
    Some(first.clone())
}

fn belongs(kind: Kind, marker: Marker, attribute: &Attribute, diagnostics: &mut Diagnostics) -> bool {
    let Some((why, write)) = misplaced(kind, marker) else { return true };
    diagnostics.report(attribute.path(), format!("{} has no `#[{}]`", kind.a(), marker.name()), why, write);
    false
}

/// Why a marker does not belong into a block, and where it does; `None` if it belongs there.
fn misplaced(kind: Kind, marker: Marker) -> Option<(&'static str, &'static str)> {
    Some(match (kind, marker) {
        (_, Marker::Handler)
        | (Kind::Aggregate, Marker::Apply | Marker::Rejected | Marker::Compensate | Marker::Fact)
        | (Kind::ProcessManager, Marker::Apply | Marker::Rejected | Marker::Timeout) => return None,
        (Kind::Saga, Marker::Apply) => (
            "a saga has no state: it turns one event into commands and remembers nothing",
            "remove it; what must remember between events is a process manager: `#[process_manager(domain = \"…\", from = […])]`",
        ),
        (Kind::Saga, Marker::Rejected) => (
            "a saga has no state that could change: if its command is rejected, the aggregate whose event it reacted to is asked",
            "put the method into an `#[aggregate] impl` block of the aggregate that the saga listens to, or make the saga a \
             process manager, which has a state",
        ),
        (Kind::Saga, Marker::Timeout) => (
            "a saga has no state: it turns one event into commands and waits for nothing",
            "what waits is a process manager: `#[process_manager(domain = \"…\", from = […])]`",
        ),
        (Kind::Projector, Marker::Apply) => (
            "a projector writes to its read model; only an aggregate or a process manager has a state that events fold into",
            "write `#[handler]`",
        ),
        (Kind::Projector, Marker::Rejected) => (
            "a projector sends no commands, so none of its commands can be rejected",
            "put the method into an `#[aggregate] impl` or `#[process_manager] impl` block",
        ),
        (Kind::Projector, Marker::Timeout) => (
            "a projector writes what happened and waits for nothing",
            "put the method into a `#[process_manager] impl` block",
        ),
        (Kind::Aggregate, Marker::Timeout) => (
            "an aggregate decides when a command comes, and waits for nothing",
            "put the method into a `#[process_manager] impl` block; a process manager that listens to the aggregate sends it a \
             command when the time has come",
        ),
        (Kind::ProcessManager, Marker::Compensate) => (
            "what is to be undone are events of an aggregate; a process manager reacts to a rejected command in `#[rejected]`",
            "put the method into an `#[aggregate] impl` block",
        ),
        (Kind::ProcessManager, Marker::Fact) => (
            "a fact is for an aggregate: what it means is stored in the aggregate's stream",
            "put the method into an `#[aggregate] impl` block, and handle the aggregate's event here, with `#[handler]`",
        ),
        (Kind::Saga | Kind::Projector, Marker::Compensate) => (
            "only an aggregate has events of its own that could be undone",
            "put the method into an `#[aggregate] impl` block",
        ),
        (Kind::Saga | Kind::Projector, Marker::Fact) => (
            "a fact is for an aggregate: what it means is stored in the aggregate's stream",
            "put the method into an `#[aggregate] impl` block; an event of another aggregate is handled with `#[handler]`",
        ),
    })
}

fn refuse_markers(attributes: &mut Vec<Attribute>, what: &str, diagnostics: &mut Diagnostics) {
    for (marker, attribute) in take_markers(attributes) {
        diagnostics.report(
            attribute.path(),
            format!("`#[{}]` cannot be on {what}", marker.name()),
            "it marks a method",
            "remove it",
        );
    }
}
