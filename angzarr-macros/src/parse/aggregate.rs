//! `#[aggregate]` on a struct and on an `impl` block.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::spanned::Spanned as _;
use syn::{Fields, Item, ItemImpl, ItemStruct, LitStr};

use super::block::{self, Marked};
use super::rejected;
use super::{Parsed, about, derives, form, here, item, refuse_generics, return_type, self_type, signature, wrong_item};
use crate::attribute::{Argument, Arguments, Value};
use crate::diagnostics::Diagnostics;
use crate::model::{
    About, Aggregate, AggregateBlock, Apply, Codec, CommandHandler, CompensateHandler, FactHandler, Kind, Marker,
    Place, RejectedHandler, SelfType, Snapshot, Spanned,
};

const STRATEGIES: [&str; 4] = ["Commutative", "Strict", "AggregateHandles", "Manual"];
const DOMAIN_EXAMPLE: &str = "domain = \"account\"";
const DOMAIN_WHY: &str =
    "the domain is the name under which the aggregate's events are stored and its commands are sent";

/// What `#[aggregate]` stands on.
#[derive(Debug)]
pub(crate) enum AggregateItem {
    Declaration(Aggregate),
    Block(AggregateBlock),
}

/// Parses `#[aggregate(…)]` and its item.
pub(crate) fn aggregate(
    arguments: TokenStream,
    tokens: TokenStream,
    diagnostics: &mut Diagnostics,
) -> Parsed<AggregateItem> {
    match item(tokens, diagnostics) {
        Ok(Item::Struct(structure)) => on_struct(arguments, structure, diagnostics),
        Ok(Item::Impl(block)) => on_block(arguments, block, diagnostics),
        Ok(other) => {
            let why =
                "an aggregate is a state with methods: a struct that events fold into, and `impl` blocks that decide";
            let write = "put it on the struct that is the state, or on an `impl` block with `#[handler]` and `#[apply]` methods";
            wrong_item("aggregate", &other, why, write, diagnostics);
            Parsed::only(other)
        }
        Err(tokens) => Parsed::only(tokens),
    }
}

fn on_struct(
    arguments: TokenStream,
    mut structure: ItemStruct,
    diagnostics: &mut Diagnostics,
) -> Parsed<AggregateItem> {
    derives::single_default(&mut structure.attrs);
    let ident = &structure.ident;
    let mut arguments = declaration_arguments(arguments, diagnostics);
    let domain = arguments
        .require("domain", DOMAIN_WHY, DOMAIN_EXAMPLE, diagnostics)
        .and_then(|domain| domain.name(DOMAIN_EXAMPLE, diagnostics));
    let place = place(&mut arguments, diagnostics);
    if matches!(place, Place::Remote { .. }) && !matches!(structure.fields, Fields::Unit) {
        diagnostics.report(
            &structure.fields,
            format!("the remote aggregate `{ident}` has fields"),
            "its state is in another process; here it is only a name to send commands to",
            format!("write `{} struct {ident};`", structure.vis.to_token_stream()).replace("` ", "`"),
        );
    }
    if refuse_generics("an aggregate", &ident.to_string(), &structure.generics, diagnostics) {
        return Parsed::only(structure);
    }
    let about = about(ident, &structure.attrs);
    let state = SelfType { ty: syn::parse_quote!(#ident), name: ident.to_string() };
    let model = AggregateItem::Declaration(Aggregate { about, state, domain, place });
    Parsed { item: structure.into_token_stream(), model: Some(model) }
}

fn on_block(arguments: TokenStream, mut block: ItemImpl, diagnostics: &mut Diagnostics) -> Parsed<AggregateItem> {
    let declares = !arguments.is_empty();
    let mut arguments = declaration_arguments(arguments, diagnostics);
    let marked = block::methods(Kind::Aggregate, &mut block, diagnostics);
    if !block::check(Kind::Aggregate, &block, diagnostics) {
        return Parsed::only(block);
    }
    let Some(state) = self_type("an aggregate", &block.self_ty, diagnostics) else {
        return Parsed::only(block);
    };
    let declaration = if declares {
        let domain = arguments
            .require("domain", DOMAIN_WHY, DOMAIN_EXAMPLE, diagnostics)
            .and_then(|domain| domain.name(DOMAIN_EXAMPLE, diagnostics));
        let place = place(&mut arguments, diagnostics);
        if let Place::Remote { .. } = place {
            diagnostics.report_at(
                block.impl_token.span(),
                "a remote aggregate has no `impl` block",
                "its handlers are in another process; here it is only a name to send commands to",
                format!("write `#[aggregate(domain = \"…\", remote, handles(…))] pub struct {};`", state.name),
            );
            return Parsed::only(block);
        }
        Some(Aggregate { about: block_about(&state, &block), state: copy(&state), domain, place })
    } else {
        if marked.is_empty() && diagnostics.count() == 0 {
            block::nothing_marked(
                Kind::Aggregate,
                &block,
                "#[handler] fn open(&self, cmd: Open) -> Result<Opened, Rejection>",
                diagnostics,
            );
        }
        None
    };
    let mut model = AggregateBlock {
        state,
        declaration,
        handlers: Vec::new(),
        applies: Vec::new(),
        rejections: Vec::new(),
        compensations: Vec::new(),
        facts: Vec::new(),
    };
    for method in &marked {
        let state = &model.state;
        match method.marker {
            Marker::Apply => model.applies.extend(apply(method, state, diagnostics)),
            Marker::Rejected => model.rejections.extend(rejected_handler(method, state, diagnostics)),
            Marker::Compensate => model.compensations.extend(compensate_handler(method, state, diagnostics)),
            Marker::Fact => model.facts.extend(fact_handler(method, state, diagnostics)),
            // A `#[timeout]` does not get here: it belongs into no aggregate.
            Marker::Handler | Marker::Timeout => model.handlers.extend(handler(method, state, diagnostics)),
        }
    }
    Parsed { item: block.into_token_stream(), model: Some(AggregateItem::Block(model)) }
}

pub(super) fn copy(state: &SelfType) -> SelfType {
    SelfType { ty: state.ty.clone(), name: state.name.clone() }
}

pub(super) fn block_about(state: &SelfType, block: &ItemImpl) -> About {
    let ident = proc_macro2::Ident::new(&state.name, state.ty.span());
    about(&ident, &block.attrs)
}

fn declaration_arguments(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Arguments {
    let known = ["domain", "snapshot", "state_version", "remote", "handles"];
    Arguments::parse("aggregate", here(), &known, tokens, diagnostics)
}

pub(super) fn place(arguments: &mut Arguments, diagnostics: &mut Diagnostics) -> Place {
    let remote = arguments.flag("remote", diagnostics);
    let handles = arguments.take("handles");
    let snapshot = arguments.take("snapshot");
    let state_version = arguments.take("state_version");
    let Some(remote) = remote else {
        if let Some(handles) = handles {
            diagnostics.report(
                &handles.key,
                "`handles(…)` is for remote aggregates",
                "an aggregate of this program handles what its `#[handler]` methods take",
                "remove it, or add `remote` if the aggregate lives in another process",
            );
        }
        let state_version = state_version
            .and_then(|version| version.number("the first version of a state's shape is 1", diagnostics))
            .map_or(1, |version| version.value);
        return Place::Here {
            snapshot: snapshot.map_or(Snapshot::Default, |it| parse_snapshot(&it, diagnostics)),
            state_version,
        };
    };
    for argument in [&snapshot, &state_version].into_iter().flatten() {
        diagnostics.report(
            &argument.tokens(),
            format!("a remote aggregate has no `{}`", argument.key),
            "its state is kept by the process in which it lives",
            format!("remove `{}` here, and say it there", argument.key),
        );
    }
    let example = "handles(ReserveStock, ReleaseStock)";
    let Some(handles) = handles else {
        diagnostics.report(
            &remote,
            "a remote aggregate needs `handles(…)`",
            "commands for it are checked at compile time, and this program cannot see its handlers",
            format!("list the commands that it takes: `{example}`"),
        );
        return Place::Remote { handles: Vec::new() };
    };
    Place::Remote { handles: handles.types(example, diagnostics) }
}

fn parse_snapshot(argument: &Argument, diagnostics: &mut Diagnostics) -> Snapshot {
    let why = "it says how often the state is stored, or that it is not";
    let write = "write `snapshot(every = 50)`, `snapshot(every = 50, codec = Serde)` or `snapshot(off)`";
    let Value::List(group) = &argument.value else {
        diagnostics.report(&argument.tokens(), "`snapshot` needs parentheses", why, write);
        return Snapshot::Default;
    };
    let mut inner = Arguments::parse("snapshot", group.span(), &["every", "codec", "off"], group.stream(), diagnostics);
    let off = inner.flag("off", diagnostics);
    let every = inner.take("every");
    let codec = inner.take("codec");
    if let Some(off) = off {
        if every.is_some() || codec.is_some() {
            diagnostics.report(&off, "`off` stands alone", "snapshots are taken or they are not", write);
        }
        return Snapshot::Off;
    }
    if every.is_none() && codec.is_none() {
        if group.stream().is_empty() {
            diagnostics.report(&argument.tokens(), "`snapshot()` says nothing", why, write);
        }
        return Snapshot::Default;
    }
    let events = every
        .and_then(|every| {
            every.number("a snapshot after every 0 events would never be taken; `snapshot(off)` says so", diagnostics)
        })
        .map(|every| every.value);
    let codec = codec.and_then(|codec| codec.one_of("codec", &["Prost", "Serde"], diagnostics));
    let codec = if codec.is_some_and(|codec| codec.value == "Serde") { Codec::Serde } else { Codec::Prost };
    Snapshot::Every { events, codec }
}

fn handler(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> Option<CommandHandler> {
    let sig = &marked.method.sig;
    let mut arguments =
        Arguments::parse("handler", marked.attribute.span(), &["merge"], marked.arguments(), diagnostics);
    let merge: Option<Spanned<&'static str>> =
        arguments.take("merge").and_then(|merge| merge.one_of("merge strategy", &STRATEGIES, diagnostics));
    let checked = signature::check(&form::COMMAND_HANDLER, sig, Some(&state.ty), diagnostics);
    let returns = return_type::events(&checked, diagnostics);
    Some(CommandHandler { about: about(&sig.ident, &marked.method.attrs), merge, call: checked.call?, returns })
}

pub(super) fn apply(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> Option<Apply> {
    let sig = &marked.method.sig;
    Arguments::parse("apply", marked.attribute.span(), &[], marked.arguments(), diagnostics);
    let checked = signature::check(&form::APPLY, sig, Some(&state.ty), diagnostics);
    Some(Apply { about: about(&sig.ident, &marked.method.attrs), call: checked.call? })
}

fn rejected_handler(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> Option<RejectedHandler> {
    let sig = &marked.method.sig;
    let target = rejected::target(marked, diagnostics);
    let checked = signature::check(&form::REJECTED_HANDLER, sig, Some(&state.ty), diagnostics);
    let returns = return_type::events(&checked, diagnostics);
    Some(RejectedHandler { about: about(&sig.ident, &marked.method.attrs), target, call: checked.call?, returns })
}

fn compensate_handler(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> Option<CompensateHandler> {
    let sig = &marked.method.sig;
    Arguments::parse("compensate", marked.attribute.span(), &[], marked.arguments(), diagnostics);
    let checked = signature::check(&form::COMPENSATE_HANDLER, sig, Some(&state.ty), diagnostics);
    let returns = return_type::events(&checked, diagnostics);
    Some(CompensateHandler { about: about(&sig.ident, &marked.method.attrs), call: checked.call?, returns })
}

fn fact_handler(marked: &Marked, state: &SelfType, diagnostics: &mut Diagnostics) -> Option<FactHandler> {
    let sig = &marked.method.sig;
    Arguments::parse("fact", marked.attribute.span(), &[], marked.arguments(), diagnostics);
    let checked = signature::check(&form::FACT_HANDLER, sig, Some(&state.ty), diagnostics);
    let returns = return_type::infallible_events(&checked, diagnostics);
    Some(FactHandler { about: about(&sig.ident, &marked.method.attrs), call: checked.call?, returns })
}

impl Aggregate {
    /// The domain; a stand-in after a mistake.
    pub(crate) fn domain_or_stand_in(&self) -> LitStr {
        self.domain.clone().unwrap_or_else(|| LitStr::new("unknown", here()))
    }
}
