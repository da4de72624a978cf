//! How generated code names the runtime, and the parts that every descriptor has.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote};

use crate::model::About;

/// Paths into the runtime, under the name that the user's crate has given it.
pub(super) struct Runtime {
    root: TokenStream,
}

impl Runtime {
    /// Looks the name up in the user's `Cargo.toml`.
    pub(super) fn find() -> Self {
        let name = match crate_name("angzarr-runtime") {
            Ok(FoundCrate::Name(name)) => name,
            // The runtime's own tests and doctests, and crates that get it in another way.
            Ok(FoundCrate::Itself) | Err(_) => "angzarr_runtime".to_owned(),
        };
        let name = Ident::new(&name, Span::call_site());
        Self { root: quote!(::#name) }
    }

    /// Registers a descriptor with the program.
    pub(super) fn register(&self, wrapper: &str, descriptor: &TokenStream) -> TokenStream {
        let wrapper = Ident::new(wrapper, Span::call_site());
        quote!(#self::inventory::submit! { #self::#wrapper(#descriptor) })
    }

    /// The fields `doc` and `location` of a descriptor.
    pub(super) fn about(&self, about: &About) -> TokenStream {
        let doc = &about.doc;
        let line = Literal::u32_suffixed(u32::try_from(about.line).unwrap_or(0));
        quote! {
            doc: #doc,
            location: #self::Location {
                file: ::core::file!(),
                line: #line,
                package: ::core::env!("CARGO_PKG_NAME"),
            },
        }
    }
}

impl ToTokens for Runtime {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let root = &self.root;
        tokens.extend(quote!(#root::__private));
    }
}

/// Closes generated items off: they add no name to the user's module, and the user's lints do not look at them.
pub(super) fn enclose(about: Option<&About>, items: &TokenStream) -> TokenStream {
    let cfgs = about.map_or(&[][..], |about| about.cfgs.as_slice());
    quote! {
        #(#cfgs)*
        #[allow(clippy::all, clippy::pedantic, deprecated, elided_lifetimes_in_paths, missing_docs, unreachable_code, unused, unused_qualifications)]
        const _: () = {
            #items
        };
    }
}
