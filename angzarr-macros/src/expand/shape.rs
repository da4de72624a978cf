//! Taking a returned value apart, down to the single messages.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};

use super::runtime::Runtime;
use super::span::function_of;
use crate::model::Shape;

/// The trait that takes the messages over.
pub(super) struct Taker {
    /// Its path, with arguments.
    pub(super) implemented: TokenStream,
    /// Its function that takes a value and the sink.
    pub(super) take: &'static str,
    /// Its function that lists what the type may be.
    pub(super) list: &'static str,
}

impl Taker {
    /// Takes events of the state `ty`.
    pub(super) fn of_events(runtime: &Runtime, ty: &syn::Type) -> Self {
        Self { implemented: quote!(#runtime::EmittedBy<#ty>), take: "emit", list: "event_types" }
    }
}

/// Hands the value over to the local variable `sink`.
pub(super) fn take(taker: &Taker, shape: &Shape, value: &Ident, sink: &Ident, after: &TokenStream) -> TokenStream {
    match shape {
        Shape::Leaf(ty) => {
            let function = function_of(ty, &taker.implemented, taker.take);
            quote!(#function(#value, #sink) #after;)
        }
        Shape::Option(inner) => {
            let body = take(taker, inner, value, sink, after);
            quote!(if let ::core::option::Option::Some(#value) = #value { #body })
        }
        Shape::Many(inner) => {
            let body = take(taker, inner, value, sink, after);
            quote!(for #value in #value { #body })
        }
        Shape::Boxed(inner) => {
            let body = take(taker, inner, value, sink, after);
            quote!({ let #value = *#value; #body })
        }
        Shape::Tuple(parts) => {
            let names: Vec<Ident> = (0..parts.len()).map(|index| format_ident!("{value}_{index}")).collect();
            let bodies = parts.iter().zip(&names).map(|(part, name)| take(taker, part, name, sink, after));
            quote!(let (#(#names,)*) = #value; #(#bodies)*)
        }
    }
}

/// Lists what may come into the local variable `into`.
pub(super) fn list(taker: &Taker, shape: &Shape, into: &Ident) -> TokenStream {
    let functions = shape.leaves().into_iter().map(|ty| function_of(ty, &taker.implemented, taker.list));
    quote!(#(#functions(#into);)*)
}

/// A local variable of generated code, which cannot be mixed up with anything of the user's.
pub(super) fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}
