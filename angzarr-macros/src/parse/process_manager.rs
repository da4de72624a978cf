//! `#[process_manager]` on a struct and on an `impl` block.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::{Item, ItemImpl, ItemStruct, Lit, LitStr};

use super::aggregate::{apply, block_about, copy, place};
use super::block::{self, Marked};
use super::{
    Parsed, about, derives, form, here, item, reaction, refuse_generics, rejected, return_type, self_type, signature,
    wrong_item,
};
use crate::attribute::{Arguments, check_name, suggested_name};
use crate::diagnostics::Diagnostics;
use crate::model::{
    About, Aggregate, Kind, Marker, ProcessHandler, ProcessManager, ProcessManagerBlock, ProcessRejected, SelfType,
    TimeoutHandler,
};

const DOMAIN_EXAMPLE: &str = "domain = \"checkout\"";
const DOMAIN_WHY: &str = "a process manager has events of its own: the domain is the name under which they are stored";
const FROM_EXAMPLE: &str = "from = [Order, Payment]";
const FROM_WHY: &str = "a process manager listens to the events of one or more aggregates, named by their types";

/// What `#[process_manager]` stands on.
#[derive(Debug)]
pub(crate) enum ProcessManagerItem {
    Declaration(ProcessManager),
    Block(ProcessManagerBlock),
}

/// Parses `#[process_manager(…)]` and its item.
pub(crate) fn process_manager(
    arguments: TokenStream,
    tokens: TokenStream,
    diagnostics: &mut Diagnostics,
) -> Parsed<ProcessManagerItem> {
    match item(tokens, diagnostics) {
        Ok(Item::Struct(structure)) => on_struct(arguments, structure, diagnostics),
        Ok(Item::Impl(block)) => on_block(arguments, block, diagnostics),
        Ok(other) => {
            let why = "a process manager remembers where a process stands: a struct that its own events fold into, and \
                       `impl` blocks that react";
            let write = "put it on the struct that is the state, or on an `impl` block with `#[handler]`, `#[timeout(\"…\")]`, \
                         `#[rejected]` and `#[apply]` methods";
            wrong_item("process_manager", &other, why, write, diagnostics);
            Parsed::only(other)
        }
        Err(tokens) => Parsed::only(tokens),
    }
}

fn on_struct(
    arguments: TokenStream,
    mut structure: ItemStruct,
    diagnostics: &mut Diagnostics,
) -> Parsed<ProcessManagerItem> {
    derives::single_default(&mut structure.attrs);
    let ident = &structure.ident;
    let state = SelfType { ty: syn::parse_quote!(#ident), name: ident.to_string() };
    let model = declaration(arguments, about(ident, &structure.attrs), state, diagnostics);
    if refuse_generics(Kind::ProcessManager.a(), &ident.to_string(), &structure.generics, diagnostics) {
        return Parsed::only(structure);
    }
    Parsed { item: structure.into_token_stream(), model: Some(ProcessManagerItem::Declaration(model)) }
}

fn declaration(arguments: TokenStream, about: About, state: SelfType, diagnostics: &mut Diagnostics) -> ProcessManager {
    let known = ["domain", "from", "to", "snapshot", "state_version"];
    let mut arguments = Arguments::parse("process_manager", here(), &known, arguments, diagnostics);
    let domain = arguments
        .require("domain", DOMAIN_WHY, DOMAIN_EXAMPLE, diagnostics)
        .and_then(|domain| domain.name(DOMAIN_EXAMPLE, diagnostics));
    let sources = arguments
        .require("from", FROM_WHY, FROM_EXAMPLE, diagnostics)
        .map_or_else(Vec::new, |from| from.aggregate_types(FROM_WHY, diagnostics));
    let why = "it names the aggregates that the process manager sends to, beside those that it listens to";
    let targets = arguments.take("to").map_or_else(Vec::new, |to| to.aggregate_types(why, diagnostics));
    let place = place(&mut arguments, diagnostics);
    ProcessManager { state: Aggregate { about, state, domain, place }, sources, targets }
}

fn on_block(arguments: TokenStream, mut block: ItemImpl, diagnostics: &mut Diagnostics) -> Parsed<ProcessManagerItem> {
    let marked = block::methods(Kind::ProcessManager, &mut block, diagnostics);
    reaction::own_in_block(&mut block);
    if !block::check(Kind::ProcessManager, &block, diagnostics) {
        return Parsed::only(block);
    }
    let Some(state) = self_type(Kind::ProcessManager.a(), &block.self_ty, diagnostics) else {
        return Parsed::only(block);
    };
    let declaration = if arguments.is_empty() {
        if marked.is_empty() && diagnostics.count() == 0 {
            let example = "#[handler] fn placed(&self, e: OrderPlaced) -> Reaction";
            block::nothing_marked(Kind::ProcessManager, &block, example, diagnostics);
        }
        None
    } else {
        Some(declaration(arguments, block_about(&state, &block), copy(&state), diagnostics))
    };
    let mut model = ProcessManagerBlock {
        state,
        declaration,
        handlers: Vec::new(),
        timeouts: Vec::new(),
        rejections: Vec::new(),
        applies: Vec::new(),
    };
    for method in &marked {
        let state = &model.state;
        match method.marker {
            Marker::Apply => model.applies.extend(apply(method, state, diagnostics)),
            Marker::Timeout => model.timeouts.push(timeout(method, state, diagnostics)),
            Marker::Rejected => model.rejections.extend(rejected_handler(method, state, diagnostics)),
            // `#[compensate]` and `#[fact]` do not get here: they belong into aggregates.
            Marker::Handler | Marker::Compensate | Marker::Fact => {
                model.handlers.extend(handler(method, state, diagnostics));
            }
        }
    }
    Parsed { item: block.into_token_stream(), model: Some(ProcessManagerItem::Block(model)) }
}

fn handler(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> Option<ProcessHandler> {
    let sig = &marked.method.sig;
    Arguments::parse("handler", marked.attribute.span(), &[], marked.arguments(), diagnostics);
    let checked = signature::check(&form::PROCESS_HANDLER, sig, Some(&state.ty), diagnostics);
    let returns = return_type::reaction(&checked, &state.ty, diagnostics);
    Some(ProcessHandler { about: about(&sig.ident, &marked.method.attrs), call: checked.call?, returns })
}

fn rejected_handler(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> Option<ProcessRejected> {
    let sig = &marked.method.sig;
    let target = rejected::target(marked, diagnostics);
    let checked = signature::check(&form::PROCESS_REJECTED, sig, Some(&state.ty), diagnostics);
    let returns = return_type::reaction(&checked, &state.ty, diagnostics);
    Some(ProcessRejected { about: about(&sig.ident, &marked.method.attrs), target, call: checked.call?, returns })
}

fn timeout(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> TimeoutHandler {
    let sig = &marked.method.sig;
    let name = timeout_name(marked, diagnostics);
    let checked = signature::check(&form::PROCESS_TIMEOUT, sig, Some(&state.ty), diagnostics);
    let returns = return_type::reaction(&checked, &state.ty, diagnostics);
    let about = about(&sig.ident, &marked.method.attrs);
    TimeoutHandler { about, name, context: checked.context, broken: checked.broken, returns }
}

/// The name between the parentheses.
fn timeout_name(marked: &Marked, diagnostics: &mut Diagnostics) -> Option<LitStr> {
    let arguments = marked.arguments();
    let otherwise = suggested_name(&marked.method.sig.ident.to_string(), "payment");
    let why = "a timeout is scheduled and taken back by its name: `Reaction::new().timeout(\"…\", after)`";
    if arguments.is_empty() {
        let write = format!("write `#[timeout(\"{otherwise}\")]`, with the name that it is scheduled under");
        diagnostics.report(&marked.attribute, "`#[timeout]` does not say its name", why, write);
        return None;
    }
    if let Ok(Lit::Str(name)) = syn::parse2::<Lit>(arguments.clone()) {
        check_name("timeout's name", &name, diagnostics);
        return Some(name);
    }
    let literal = arguments.clone().into_iter().find_map(|tree| match syn::parse2::<Lit>(tree.into()) {
        Ok(Lit::Str(text)) => Some(text.value()),
        _ => None,
    });
    let written = match literal {
        Some(text) => text,
        None => arguments.to_string(),
    };
    diagnostics.report(
        &arguments,
        format!("`{}` is not the name of a timeout", crate::diagnostics::source(&arguments)),
        why,
        format!("write the name alone, as a string: `#[timeout(\"{}\")]`", suggested_name(&written, &otherwise)),
    );
    None
}
