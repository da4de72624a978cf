//! `#[derive(Events)]` on an enum.

use proc_macro2::TokenStream;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Fields, GenericArgument, Index, Member, PathArguments, Type, Variant};

use super::{bare, refuse_generics};
use crate::diagnostics::Diagnostics;
use crate::model::{EventsEnum, EventsVariant};

const WHY: &str = "the enum says which of several events it is: one variant for each, with the event in it";

/// Parses the enum. A derive adds to its item, so there is nothing to emit again.
pub(crate) fn events(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Option<EventsEnum> {
    let input: DeriveInput = match syn::parse2(tokens) {
        Ok(input) => input,
        Err(error) => {
            diagnostics.syntax(error);
            return None;
        }
    };
    let example = format!("write `enum {} {{ Opened(AccountOpened), Closed(AccountClosed) }}`", input.ident);
    let data = match input.data {
        Data::Enum(data) => data,
        Data::Struct(data) => {
            diagnostics.report(&data.struct_token, "`#[derive(Events)]` cannot be on a struct", WHY, example);
            return None;
        }
        Data::Union(data) => {
            diagnostics.report(&data.union_token, "`#[derive(Events)]` cannot be on a union", WHY, example);
            return None;
        }
    };
    if refuse_generics("an enum of events", &input.ident.to_string(), &input.generics, diagnostics) {
        return None;
    }
    if data.variants.is_empty() {
        let what = format!("`{}` has no variants", input.ident);
        diagnostics.report(&input.ident, what, WHY, example);
    }
    let variants: Vec<_> = data.variants.iter().filter_map(|variant| parse_variant(variant, diagnostics)).collect();
    let broken = variants.len() < data.variants.len();
    Some(EventsEnum { ident: input.ident, variants, broken })
}

fn parse_variant(variant: &Variant, diagnostics: &mut Diagnostics) -> Option<EventsVariant> {
    let ident = &variant.ident;
    let mut fields = variant.fields.iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        let (what, write) = match variant.fields.len() {
            0 => (format!("the variant `{ident}` holds no event"), format!("write `{ident}(SomeEvent)`")),
            n => (
                format!("the variant `{ident}` holds {n} values"),
                "write a variant for each event; to return several at once, return `Vec<…>` of this enum or a tuple"
                    .to_owned(),
            ),
        };
        let at = match &variant.fields {
            Fields::Unit => quote::ToTokens::to_token_stream(ident),
            other => quote::ToTokens::to_token_stream(other),
        };
        diagnostics.report(&at, what, WHY, write);
        return None;
    };
    let member =
        field.ident.clone().map_or_else(|| Member::Unnamed(Index { index: 0, span: field.ty.span() }), Member::Named);
    let (event, boxed) = match boxed(&field.ty) {
        Some(inner) => (inner.clone(), true),
        None => (bare(&field.ty).clone(), false),
    };
    if !matches!(event, Type::Path(_)) {
        diagnostics.report(
            &event,
            format!("the variant `{ident}` holds no event"),
            "an event is a protobuf message",
            format!("write `{ident}(SomeEvent)`"),
        );
        return None;
    }
    Some(EventsVariant { ident: ident.clone(), field: member, event, boxed })
}

/// The type in a `Box`: clippy asks for one where variants differ much in size.
fn boxed(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = bare(ty) else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Box")?;
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(GenericArgument::Type(inner)) if arguments.args.len() == 1 => Some(bare(inner)),
            _ => None,
        },
        _ => None,
    }
}
