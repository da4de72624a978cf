//! `#[projector]` on a struct and an `impl` block.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::{Fields, Index, Item, ItemImpl, ItemStruct, Member};

use super::saga::refuse_block_arguments;
use super::{
    Parsed, about, block, cfgs, form, here, item, refuse_generics, return_type, self_type, signature, wrong_item,
};
use crate::attribute::{Argument, Arguments, check_name, parse_domain};
use crate::diagnostics::{Diagnostics, nearest, source};
use crate::model::{DomainRef, Kind, Projector, ProjectorBlock, ProjectorField, ProjectorHandler, ReadModel};

/// What `#[projector]` stands on.
#[derive(Debug)]
pub(crate) enum ProjectorItem {
    Declaration(Projector),
    Block(ProjectorBlock),
}

/// Parses `#[projector(…)]` and its item.
pub(crate) fn projector(
    arguments: TokenStream,
    tokens: TokenStream,
    diagnostics: &mut Diagnostics,
) -> Parsed<ProjectorItem> {
    match item(tokens, diagnostics) {
        Ok(Item::Struct(structure)) => on_struct(arguments, structure, diagnostics),
        Ok(Item::Impl(block)) => on_block(arguments, block, diagnostics),
        Ok(other) => {
            let why = "a projector holds what it writes to, so it is a struct with `#[handler]` methods";
            let write = "put it on a struct, `#[projector(name = \"…\", domains = [\"…\"])] struct Name;`, and on its `impl` block";
            wrong_item("projector", &other, why, write, diagnostics);
            Parsed::only(other)
        }
        Err(tokens) => Parsed::only(tokens),
    }
}

fn on_struct(arguments: TokenStream, structure: ItemStruct, diagnostics: &mut Diagnostics) -> Parsed<ProjectorItem> {
    let known = ["name", "domains", "editions", "read_model"];
    let mut arguments = Arguments::parse("projector", here(), &known, arguments, diagnostics);
    let example = "name = \"balances\"";
    let why = "a projector's place in the event log is stored under its name, so the name must outlive every renaming in the code";
    let name = arguments.require("name", why, example, diagnostics).and_then(|name| name.name(example, diagnostics));
    let example = "domains = [\"account\"]";
    let why = "a projector listens to the events of one or more domains";
    let domains = arguments
        .require("domains", why, example, diagnostics)
        .map_or_else(Vec::new, |domains| parse_domains(&domains, diagnostics));
    let all_editions = arguments
        .take("editions")
        .and_then(|editions| editions.one_of("choice of editions", &["All", "Main"], diagnostics))
        .is_some_and(|editions| editions.value == "All");
    let fields = fields(&structure.fields);
    let read_model =
        arguments.take("read_model").map_or(ReadModel::Found, |it| parse_read_model(&it, &fields, diagnostics));
    if refuse_generics("a projector", &structure.ident.to_string(), &structure.generics, diagnostics) {
        return Parsed::only(structure);
    }
    let about = about(&structure.ident, &structure.attrs);
    let is_unit = matches!(structure.fields, Fields::Unit);
    let model =
        ProjectorItem::Declaration(Projector { about, name, domains, all_editions, read_model, fields, is_unit });
    Parsed { item: structure.into_token_stream(), model: Some(model) }
}

fn fields(fields: &Fields) -> Vec<ProjectorField> {
    fields
        .iter()
        .enumerate()
        .map(|(index, field)| ProjectorField {
            cfgs: cfgs(&field.attrs),
            member: field.ident.clone().map_or_else(|| Member::Unnamed(Index::from(index)), Member::Named),
            ty: field.ty.clone(),
        })
        .collect()
}

fn parse_domains(argument: &Argument, diagnostics: &mut Diagnostics) -> Vec<DomainRef> {
    let why = "a projector listens to the events of one or more domains";
    let Some(elements) = argument.elements() else {
        let written = match &argument.value {
            crate::attribute::Value::Is(value) => source(value),
            _ => "\"account\"".to_owned(),
        };
        diagnostics.report(
            &argument.tokens(),
            "`domains` is not a list",
            why,
            format!("write `domains = [{written}]`"),
        );
        return Vec::new();
    };
    if elements.is_empty() {
        diagnostics.report(
            &argument.tokens(),
            "`domains` is empty",
            why,
            "name at least one: `domains = [\"account\"]`",
        );
    }
    let mut seen: Vec<String> = Vec::new();
    let mut domains = Vec::new();
    for element in elements {
        let text = source(&element);
        if seen.contains(&text) {
            diagnostics.report(&element, format!("{text} is listed twice"), "once is enough", "remove one of the two");
            continue;
        }
        seen.push(text.clone());
        match parse_domain(element.clone()) {
            Some(DomainRef::Name(name)) => {
                check_name("domain", &name, diagnostics);
                domains.push(DomainRef::Name(name));
            }
            Some(aggregate) => domains.push(aggregate),
            None => diagnostics.report(
                &element,
                format!("`{text}` is not a domain"),
                "a domain is named by its name or by the type of its aggregate",
                "write a string, `\"account\"`, or a type, `Account`",
            ),
        }
    }
    domains
}

fn parse_read_model(argument: &Argument, fields: &[ProjectorField], diagnostics: &mut Diagnostics) -> ReadModel {
    let names: Vec<String> = fields
        .iter()
        .filter_map(|field| match &field.member {
            Member::Named(name) => Some(name.to_string()),
            Member::Unnamed(_) => None,
        })
        .collect();
    let example = format!("read_model = {}", names.first().map_or("none", String::as_str));
    let Some(word) = argument.word(&example, diagnostics) else { return ReadModel::Off };
    if names.iter().any(|name| word == name) {
        return ReadModel::Field(word);
    }
    if word == "none" {
        return ReadModel::Off;
    }
    unknown_field(&word, &names, diagnostics);
    ReadModel::Off
}

fn unknown_field(word: &Ident, names: &[String], diagnostics: &mut Diagnostics) {
    let mut known: Vec<&str> = names.iter().map(String::as_str).collect();
    known.push("none");
    let write = match nearest(&word.to_string(), &known) {
        Some(near) => format!("did you mean `read_model = {near}`?"),
        None => format!("write {}", crate::diagnostics::list(&known)),
    };
    diagnostics.report(
        word,
        format!("there is no field `{word}`"),
        "`read_model` names the field that is the projector's database, or says `none`",
        write,
    );
}

fn on_block(arguments: TokenStream, mut block: ItemImpl, diagnostics: &mut Diagnostics) -> Parsed<ProjectorItem> {
    let is_misplaced = refuse_block_arguments(Kind::Projector, &arguments, diagnostics);
    let marked = block::methods(Kind::Projector, &mut block, diagnostics);
    if !block::check(Kind::Projector, &block, diagnostics) {
        return Parsed::only(block);
    }
    let Some(component) = self_type("a projector", &block.self_ty, diagnostics) else {
        return Parsed::only(block);
    };
    if marked.is_empty() && diagnostics.count() == 0 {
        let example = "#[handler] fn opened(&self, e: Opened) -> Result<(), ProjectionError>";
        block::nothing_marked(Kind::Projector, &block, example, diagnostics);
    }
    let mut handlers = Vec::new();
    for method in &marked {
        let sig = &method.method.sig;
        let mut arguments =
            Arguments::parse("handler", method.attribute.span(), &["live_only"], method.arguments(), diagnostics);
        let live_only = arguments.flag("live_only", diagnostics).is_some();
        let checked = signature::check(&form::PROJECTOR_HANDLER, sig, Some(&component.ty), diagnostics);
        let returns = return_type::projection(&checked, diagnostics);
        let about = about(&sig.ident, &method.method.attrs);
        handlers.extend(checked.call.map(|call| ProjectorHandler { about, live_only, call, returns }));
    }
    let model = ProjectorItem::Block(ProjectorBlock { component, handlers });
    // A declaration that stands on the block is missing on the struct: that is one mistake, not two.
    Parsed { item: block.into_token_stream(), model: (!is_misplaced).then_some(model) }
}
