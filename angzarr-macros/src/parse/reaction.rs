//! Whose reaction it is: in a `#[process_manager] impl` block, `Reaction` alone means `Reaction<Self>`.

use syn::visit_mut::VisitMut;
use syn::{ImplItem, ItemImpl, PathArguments, ReturnType, Type, TypePath};

/// Says it in the return types of all methods of a block, marked or not.
pub(super) fn own_in_block(block: &mut ItemImpl) {
    for item in &mut block.items {
        if let ImplItem::Fn(method) = item
            && let ReturnType::Type(_, ty) = &mut method.sig.output
        {
            own(ty, &syn::parse_quote!(Self));
        }
    }
}

/// Says it in one type.
pub(super) fn own(ty: &mut Type, process: &Type) {
    Own { process }.visit_type_mut(ty);
}

struct Own<'a> {
    process: &'a Type,
}

impl VisitMut for Own<'_> {
    fn visit_type_path_mut(&mut self, path: &mut TypePath) {
        syn::visit_mut::visit_type_path_mut(self, path);
        if path.qself.is_none()
            && let Some(last) = path.path.segments.last_mut()
            && last.ident == "Reaction"
            && last.arguments.is_empty()
        {
            let (process, span) = (self.process, last.ident.span());
            // At the place of the user's word, whatever the compiler may have to say about it.
            let mut arguments: syn::AngleBracketedGenericArguments = syn::parse_quote_spanned!(span=> <Self>);
            if let Some(argument) = arguments.args.first_mut() {
                *argument = syn::GenericArgument::Type(respan(process, span));
            }
            last.arguments = PathArguments::AngleBracketed(arguments);
        }
    }
}

/// The same type, shown at another place.
fn respan(ty: &Type, span: proc_macro2::Span) -> Type {
    use quote::ToTokens;
    fn at(tokens: proc_macro2::TokenStream, span: proc_macro2::Span) -> proc_macro2::TokenStream {
        tokens
            .into_iter()
            .map(|mut tree| {
                if let proc_macro2::TokenTree::Group(group) = &tree {
                    tree = proc_macro2::Group::new(group.delimiter(), at(group.stream(), span)).into();
                }
                // Names are looked up where they were written; only the place changes.
                tree.set_span(tree.span().located_at(span));
                tree
            })
            .collect()
    }
    syn::parse2(at(ty.to_token_stream(), span)).unwrap_or_else(|_| ty.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::source;

    #[test]
    fn a_reaction_without_an_owner_becomes_the_process_managers() {
        for (written, becomes) in [
            ("Reaction", "Reaction<Checkout>"),
            ("angzarr_runtime::Reaction", "angzarr_runtime::Reaction<Checkout>"),
            ("Result<Option<Reaction>, ReactionError>", "Result<Option<Reaction<Checkout>>, ReactionError>"),
            ("Reaction<Other>", "Reaction<Other>"),
            ("chemistry::ReactionRate", "chemistry::ReactionRate"),
        ] {
            let mut ty: Type = syn::parse_str(written).expect("a type");
            own(&mut ty, &syn::parse_quote!(Checkout));
            assert_eq!(source(&ty), becomes);
        }
    }
}
