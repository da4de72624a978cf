//! `impl` blocks: their marked methods, and the block without the markers.

use proc_macro2::TokenStream;
use syn::{Attribute, ImplItem, ImplItemFn, ItemImpl, Meta};

use super::refuse_generics;
use crate::diagnostics::{Diagnostics, not_yet};
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
    match (kind, marker) {
        (_, Marker::Handler) | (Kind::Aggregate, Marker::Apply) => return true,
        (_, unsupported) if !unsupported.is_supported() => {
            not_yet(attribute.path(), &format!("#[{}]", marker.name()), diagnostics);
        }
        (Kind::Saga, _) => diagnostics.report(
            attribute.path(),
            "a saga has no `#[apply]`",
            "a saga has no state: it turns one event into commands and remembers nothing",
            "remove it; what must remember between events is a process manager (an aggregate of its own until \
             `#[process_manager]` is there)",
        ),
        _ => diagnostics.report(
            attribute.path(),
            "a projector has no `#[apply]`",
            "a projector writes to its read model; only an aggregate has a state that events fold into",
            "write `#[handler]`",
        ),
    }
    false
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
