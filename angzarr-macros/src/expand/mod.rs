//! From the model to code.
//!
//! In: the tokens of an attribute. Out: the user's item, what is generated for it, and the mistakes. Generated code calls the
//! user's function and names things of the runtime; it decides nothing.

mod aggregate;
mod compensation;
mod events;
mod fact;
mod handler;
mod process_manager;
mod projector;
mod runtime;
mod saga;
mod shape;
mod span;
mod upcaster;

use proc_macro2::{Span, TokenStream};
use quote::quote;

use crate::diagnostics::Diagnostics;
use crate::model::Marker;
use crate::parse::{self, AggregateItem, ProcessManagerItem, ProjectorItem, SagaItem};
use crate::validate;

/// `#[aggregate]`.
pub(crate) fn aggregate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let parsed = parse::aggregate(arguments, item, &mut diagnostics);
    let generated = parsed.model.map(|model| match model {
        AggregateItem::Declaration(mut declaration) => {
            validate::aggregate(&mut declaration, &mut diagnostics);
            aggregate::declaration(&declaration)
        }
        AggregateItem::Block(mut block) => {
            validate::aggregate_block(&mut block, &mut diagnostics);
            aggregate::block(&block)
        }
    });
    finish(parsed.item, generated, diagnostics)
}

/// `#[saga]`.
pub(crate) fn saga(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let parsed = parse::saga(arguments, item, &mut diagnostics);
    let generated = parsed.model.map(|model| match model {
        SagaItem::Declaration(declaration) => saga::declaration(&declaration),
        SagaItem::Block(mut block) => {
            validate::saga_block(&mut block, &mut diagnostics);
            saga::block(&block)
        }
    });
    finish(parsed.item, generated, diagnostics)
}

/// `#[projector]`.
pub(crate) fn projector(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let parsed = parse::projector(arguments, item, &mut diagnostics);
    let generated = parsed.model.map(|model| match model {
        ProjectorItem::Declaration(declaration) => projector::declaration(&declaration),
        ProjectorItem::Block(mut block) => {
            validate::projector_block(&mut block, &mut diagnostics);
            projector::block(&block)
        }
    });
    finish(parsed.item, generated, diagnostics)
}

/// `#[upcaster]`.
pub(crate) fn upcaster(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let parsed = parse::upcaster(arguments, item, &mut diagnostics);
    let generated = parsed.model.map(|model| {
        validate::upcaster(&model, &mut diagnostics);
        upcaster::function(&model)
    });
    finish(parsed.item, generated, diagnostics)
}

/// `#[derive(Events)]`.
pub(crate) fn events(item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let generated = parse::events(item, &mut diagnostics).map(|model| {
        validate::events(&model, &mut diagnostics);
        events::enumeration(&model)
    });
    finish(TokenStream::new(), generated, diagnostics)
}

/// A marker that no block has taken.
pub(crate) fn stray_marker(marker: Marker, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let name = marker.name();
    let (blocks, example) = match marker {
        Marker::Handler => {
            ("an `#[aggregate]`, `#[saga]`, `#[process_manager]` or `#[projector] impl`", "#[aggregate] impl")
        }
        Marker::Apply | Marker::Rejected => ("an `#[aggregate]` or `#[process_manager] impl`", "#[aggregate] impl"),
        Marker::Compensate | Marker::Fact => ("an `#[aggregate] impl`", "#[aggregate] impl"),
        Marker::Timeout => ("a `#[process_manager] impl`", "#[process_manager] impl"),
    };
    diagnostics.report_at(
        Span::call_site(),
        format!("`#[{name}]` stands outside of {blocks} block"),
        "it only marks a method; the attribute of the block around it reads the mark",
        format!("put the method into `{example} … {{ }}`, or the attribute on the block that it is in"),
    );
    finish(item, None, diagnostics)
}

/// `#[process_manager]`.
pub(crate) fn process_manager(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let parsed = parse::process_manager(arguments, item, &mut diagnostics);
    let generated = parsed.model.map(|model| match model {
        ProcessManagerItem::Declaration(declaration) => process_manager::declaration(&declaration),
        ProcessManagerItem::Block(mut block) => {
            validate::process_manager_block(&mut block, &mut diagnostics);
            process_manager::block(&block)
        }
    });
    finish(parsed.item, generated, diagnostics)
}

fn finish(item: TokenStream, generated: Option<TokenStream>, diagnostics: Diagnostics) -> TokenStream {
    let errors = diagnostics.into_tokens();
    quote!(#item #generated #errors)
}
