//! `#[upcaster]` on a function.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::Item;

use super::{Parsed, about, form, here, item, return_type, signature, wrong_item};
use crate::attribute::Arguments;
use crate::diagnostics::Diagnostics;
use crate::model::Upcaster;

/// Parses `#[upcaster(…)]` and its function.
pub(crate) fn upcaster(arguments: TokenStream, tokens: TokenStream, diagnostics: &mut Diagnostics) -> Parsed<Upcaster> {
    let function = match item(tokens, diagnostics) {
        Ok(Item::Fn(function)) => function,
        Ok(other) => {
            let why = "an upcaster is one step: a function from an event's old shape to the next";
            let write = "write `#[upcaster(from = 1)] fn name(old: EventV1) -> Event { … }`";
            wrong_item("upcaster", &other, why, write, diagnostics);
            return Parsed::only(other);
        }
        Err(tokens) => return Parsed::only(tokens),
    };
    let mut arguments = Arguments::parse("upcaster", here(), &["from", "event"], arguments, diagnostics);
    let why = "an upcaster turns one version of an event into the next: it says which";
    let from = arguments.require("from", why, "from = 1", diagnostics).and_then(|from| {
        from.number("the first version of an event is 1: there is no version 0 to come from", diagnostics)
    });
    let event =
        arguments.take("event").and_then(|event| event.message_name("event = \"bank.OwnerRegistered\"", diagnostics));
    let sig = &function.sig;
    let checked = signature::check(&form::UPCASTER, sig, None, diagnostics);
    let returns = return_type::shapes(&checked, diagnostics);
    let about = about(&sig.ident, &function.attrs);
    let model = Upcaster { about, from, event, call: checked.call, returns };
    Parsed { item: function.into_token_stream(), model: Some(model) }
}
