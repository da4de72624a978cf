//! `#[saga]` on a function, a struct and an `impl` block.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::{Fields, Item, ItemFn, ItemImpl, ItemStruct, LitStr, Type};

use super::{Parsed, about, block, form, here, item, refuse_generics, return_type, self_type, signature, wrong_item};
use crate::attribute::Arguments;
use crate::diagnostics::Diagnostics;
use crate::model::{Kind, Saga, SagaBlock, SagaBody, SagaHandler};

/// What `#[saga]` stands on.
#[derive(Debug)]
pub(crate) enum SagaItem {
    Declaration(Saga),
    Block(SagaBlock),
}

/// Parses `#[saga(…)]` and its item.
pub(crate) fn saga(arguments: TokenStream, tokens: TokenStream, diagnostics: &mut Diagnostics) -> Parsed<SagaItem> {
    match item(tokens, diagnostics) {
        Ok(Item::Fn(function)) => on_function(arguments, function, diagnostics),
        Ok(Item::Struct(structure)) => on_struct(arguments, structure, diagnostics),
        Ok(Item::Impl(block)) => on_block(arguments, block, diagnostics),
        Ok(other) => {
            let why = "a saga turns events into commands: it is a function, or a struct whose methods are";
            let write = "put it on a function, on a struct, or on the struct's `impl` block";
            wrong_item("saga", &other, why, write, diagnostics);
            Parsed::only(other)
        }
        Err(tokens) => Parsed::only(tokens),
    }
}

fn declaration(arguments: TokenStream, diagnostics: &mut Diagnostics) -> (Option<LitStr>, Option<Type>) {
    let mut arguments = Arguments::parse("saga", here(), &["name", "from"], arguments, diagnostics);
    let example = "name = \"reserve-stock\"";
    let why =
        "a saga's place in the event log is stored under its name, so the name must outlive every renaming in the code";
    let name = arguments.require("name", why, example, diagnostics).and_then(|name| name.name(example, diagnostics));
    let why = "a saga listens to the events of one aggregate";
    let from = arguments.require("from", why, "from = Order", diagnostics).and_then(|from| match from.elements() {
        Some(elements) => {
            let what = match elements.len() {
                0 => "the saga listens to nothing".to_owned(),
                1 => "`from` is one aggregate, without brackets".to_owned(),
                n => format!("a saga listens to one aggregate, not to {n}"),
            };
            let write = match elements.as_slice() {
                [one] => format!("write `from = {}`", crate::diagnostics::source(one)),
                [] => "write `from = Order`".to_owned(),
                [first, ..] => format!(
                    "keep one, `from = {}`, and write a saga for each; what must bring events of several together is a \
                     process manager: `#[process_manager(domain = \"…\", from = [{}])]`",
                    crate::diagnostics::source(first),
                    elements.iter().map(|it| crate::diagnostics::source(it)).collect::<Vec<_>>().join(", ")
                ),
            };
            let why = "a saga has no state, so it could not remember the event of one while it waits for the other";
            let value = match &from.value {
                crate::attribute::Value::Is(value) => value.clone(),
                _ => from.tokens(),
            };
            diagnostics.report(&value, what, why, write);
            elements.into_iter().next().and_then(|first| syn::parse2(first).ok())
        }
        None => from.aggregate_type(diagnostics),
    });
    (name, from)
}

fn on_function(arguments: TokenStream, function: ItemFn, diagnostics: &mut Diagnostics) -> Parsed<SagaItem> {
    let (name, from) = declaration(arguments, diagnostics);
    let sig = &function.sig;
    let checked = signature::check(&form::SAGA_FUNCTION, sig, None, diagnostics);
    let returns = return_type::commands(&checked, diagnostics);
    let handler = checked.call.map(|call| SagaHandler { about: about(&sig.ident, &function.attrs), call, returns });
    if sig.receiver().is_some() {
        // A method: what would be generated cannot stand in its block.
        return Parsed::only(function);
    }
    let about = about(&sig.ident, &function.attrs);
    let model = SagaItem::Declaration(Saga { about, name, from, body: SagaBody::Function(handler) });
    Parsed { item: function.into_token_stream(), model: Some(model) }
}

fn on_struct(arguments: TokenStream, structure: ItemStruct, diagnostics: &mut Diagnostics) -> Parsed<SagaItem> {
    let (name, from) = declaration(arguments, diagnostics);
    if refuse_generics("a saga", &structure.ident.to_string(), &structure.generics, diagnostics) {
        return Parsed::only(structure);
    }
    let body = SagaBody::Struct { is_unit: matches!(structure.fields, Fields::Unit) };
    let about = about(&structure.ident, &structure.attrs);
    let model = SagaItem::Declaration(Saga { about, name, from, body });
    Parsed { item: structure.into_token_stream(), model: Some(model) }
}

fn on_block(arguments: TokenStream, mut block: ItemImpl, diagnostics: &mut Diagnostics) -> Parsed<SagaItem> {
    let is_misplaced = refuse_block_arguments(Kind::Saga, &arguments, diagnostics);
    let marked = block::methods(Kind::Saga, &mut block, diagnostics);
    if !block::check(Kind::Saga, &block, diagnostics) {
        return Parsed::only(block);
    }
    let Some(component) = self_type("a saga", &block.self_ty, diagnostics) else {
        return Parsed::only(block);
    };
    if marked.is_empty() && diagnostics.count() == 0 {
        block::nothing_marked(
            Kind::Saga,
            &block,
            "#[handler] fn placed(&self, e: OrderPlaced) -> Command<Stock>",
            diagnostics,
        );
    }
    let mut handlers = Vec::new();
    for method in &marked {
        let sig = &method.method.sig;
        Arguments::parse("handler", method.attribute.span(), &[], method.arguments(), diagnostics);
        let checked = signature::check(&form::SAGA_HANDLER, sig, Some(&component.ty), diagnostics);
        let returns = return_type::commands(&checked, diagnostics);
        let about = about(&sig.ident, &method.method.attrs);
        handlers.extend(checked.call.map(|call| SagaHandler { about, call, returns }));
    }
    let model = SagaItem::Block(SagaBlock { component, handlers });
    // A declaration that stands on the block is missing on the struct: that is one mistake, not two.
    Parsed { item: block.into_token_stream(), model: (!is_misplaced).then_some(model) }
}

/// Tells that the declaration of a saga or projector stands on its struct; whether it had to.
pub(super) fn refuse_block_arguments(kind: Kind, arguments: &TokenStream, diagnostics: &mut Diagnostics) -> bool {
    if arguments.is_empty() {
        return false;
    }
    let attribute = kind.attribute();
    diagnostics.report(
        arguments,
        format!("`#[{attribute}]` takes no arguments on an `impl` block"),
        "the declaration stands on the struct, once; blocks only add handlers, and there may be several",
        format!(
            "put `#[{attribute}({})]` on the struct and `#[{attribute}]` here",
            crate::diagnostics::source(arguments)
        ),
    );
    true
}
