//! From the user's tokens to the model.
//!
//! In: the arguments and the item of an attribute. Out: the item without our markers, and as much of the model as could be
//! read. Every mistake that shows in one place is reported here; what needs two places is in `validate`.

mod aggregate;
mod block;
mod derives;
mod events;
mod form;
mod process_manager;
mod projector;
mod reaction;
mod rejected;
mod return_type;
mod saga;
mod signature;
mod upcaster;

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::visit_mut::VisitMut;
use syn::{Attribute, Expr, Generics, Item, Lit, Meta, Type, TypePath};

pub(crate) use aggregate::{AggregateItem, aggregate};
pub(crate) use events::events;
pub(crate) use process_manager::{ProcessManagerItem, process_manager};
pub(crate) use projector::{ProjectorItem, projector};
pub(crate) use saga::{SagaItem, saga};
pub(crate) use upcaster::upcaster;

use crate::diagnostics::{Diagnostics, source};
use crate::model::{About, SelfType};

/// What became of an attribute's input.
#[derive(Debug)]
pub(crate) struct Parsed<M> {
    /// The user's item, to be emitted whatever happened.
    pub(crate) item: TokenStream,
    pub(crate) model: Option<M>,
}

impl<M> Parsed<M> {
    /// The item as it is, and nothing to generate.
    fn only(item: impl ToTokens) -> Self {
        Self { item: item.into_token_stream(), model: None }
    }
}

/// Parses the item. What is no item is handed back with the parser's words.
fn item(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Result<Item, TokenStream> {
    match syn::parse2(tokens.clone()) {
        Ok(item) => Ok(item),
        Err(error) => {
            diagnostics.syntax(error);
            Err(tokens)
        }
    }
}

/// The doc comment, one line of source a line.
fn doc(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        })
        .flat_map(|text| text.split('\n').map(|line| line.trim_end().to_owned()).collect::<Vec<_>>())
        .collect();
    // A comment starts with the space that separates it from `///`; deeper indentation is the user's.
    let lines: Vec<&str> = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

fn cfgs(attributes: &[Attribute]) -> Vec<Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).cloned().collect()
}

fn about(ident: &Ident, attributes: &[Attribute]) -> About {
    About { ident: ident.clone(), doc: doc(attributes), line: ident.span().start().line, cfgs: cfgs(attributes) }
}

/// What kind of item it is, with its article and the tokens that say so.
fn describe(item: &Item) -> (&'static str, TokenStream) {
    match item {
        Item::Const(it) => ("a constant", it.const_token.to_token_stream()),
        Item::Enum(it) => ("an enum", it.enum_token.to_token_stream()),
        Item::Fn(it) => ("a function", it.sig.fn_token.to_token_stream()),
        Item::Impl(it) => match &it.trait_ {
            Some((path, _)) => ("a trait impl", path.to_token_stream()),
            None => ("an `impl` block", it.impl_token.to_token_stream()),
        },
        Item::Mod(it) => ("a module", it.mod_token.to_token_stream()),
        Item::Static(it) => ("a static", it.static_token.to_token_stream()),
        Item::Struct(it) => ("a struct", it.struct_token.to_token_stream()),
        Item::Trait(it) => ("a trait", it.trait_token.to_token_stream()),
        Item::Type(it) => ("a type alias", it.type_token.to_token_stream()),
        Item::Union(it) => ("a union", it.union_token.to_token_stream()),
        Item::Use(it) => ("a `use`", it.use_token.to_token_stream()),
        other => ("such an item", other.to_token_stream()),
    }
}

/// Tells that the attribute is on the wrong kind of item.
fn wrong_item(attribute: &str, item: &Item, why: &str, write: &str, diagnostics: &mut Diagnostics) {
    let (what, at) = describe(item);
    diagnostics.report(&at, format!("`#[{attribute}]` cannot be on {what}"), why, write);
}

/// Tells if a type is generic: what is registered with the program must be one concrete type.
fn refuse_generics(what: &str, name: &str, generics: &Generics, diagnostics: &mut Diagnostics) -> bool {
    let why = format!("{what} is registered once for the whole program, so it is one concrete type");
    if !generics.params.is_empty() {
        diagnostics.report(
            &generics.params,
            format!("{what} cannot be generic"),
            &why,
            format!("write `{name}` without parameters, with concrete types inside"),
        );
        return true;
    }
    if let Some(clause) = &generics.where_clause {
        diagnostics.report(clause, format!("{what} cannot have a `where` clause"), &why, "remove the clause");
        return true;
    }
    false
}

/// The type that an `impl` block is for; tells if it is no plain path.
fn self_type(what: &str, ty: &Type, diagnostics: &mut Diagnostics) -> Option<SelfType> {
    let plain = bare(ty);
    if let Type::Path(TypePath { qself: None, path, .. }) = plain
        && let Some(last) = path.segments.last()
    {
        if last.arguments.is_empty() {
            return Some(SelfType { ty: plain.clone(), name: last.ident.to_string() });
        }
        diagnostics.report(
            &last.arguments,
            format!("{what} cannot be generic"),
            format!("{what} is registered once for the whole program, so it is one concrete type"),
            format!("write `{}` without parameters, with concrete types inside", last.ident),
        );
        return None;
    }
    diagnostics.report(
        ty,
        format!("`{}` cannot be {what}", source(ty)),
        format!("{what} is a struct with a name"),
        "write the block for a struct: `impl Name { … }`",
    );
    None
}

/// A type without the invisible and the visible parentheses around it.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        other => other,
    }
}

/// The last word of a type's path.
fn last_word(ty: &Type) -> Option<&Ident> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// Puts the concrete type where the user wrote `Self`: generated code stands outside of the block.
struct ReplaceSelf<'a> {
    with: &'a Type,
}

impl VisitMut for ReplaceSelf<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Path(path) = ty
            && path.qself.is_none()
            && path.path.segments.first().is_some_and(|first| first.ident == "Self")
        {
            if path.path.segments.len() == 1 {
                *ty = self.with.clone();
                return;
            }
            let with = self.with;
            let rest = path.path.segments.iter().skip(1);
            if let Ok(replaced) = syn::parse2(quote::quote!(<#with> #(:: #rest)*)) {
                *ty = replaced;
            }
        }
        syn::visit_mut::visit_type_mut(self, ty);
    }
}

fn replace_self(ty: &mut Type, with: &Type) {
    ReplaceSelf { with }.visit_type_mut(ty);
}

/// Where the attribute itself stands: for what is missing.
fn here() -> Span {
    Span::call_site()
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn a_doc_comment_keeps_its_lines_and_its_indentation() {
        let item: syn::ItemStruct = parse_quote! {
            /// First.
            ///
            ///     code
            /// Last.
            struct A;
        };
        assert_eq!(doc(&item.attrs), "First.\n\n    code\nLast.");
    }

    #[test]
    fn self_is_replaced_wherever_it_stands() {
        let with: Type = parse_quote!(pb::Account);
        let mut ty: Type = parse_quote!(Result<(Self, Option<Self::Event>), Rejection>);
        replace_self(&mut ty, &with);
        assert_eq!(source(&ty), "Result<(pb::Account, Option<<pb::Account>::Event>), Rejection>");
    }
}
