//! Where the compiler points when generated code does not fit: at the user's own tokens.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

/// First and last token of something that the user wrote: stable Rust cannot join them, but the compiler joins what a node
/// starts and ends with.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) start: Span,
    pub(super) end: Span,
}

impl Ends {
    pub(super) fn of(tokens: &dyn ToTokens) -> Self {
        let mut spans = tokens.to_token_stream().into_iter().map(|tree| tree.span());
        let start = spans.next().unwrap_or_else(Span::call_site);
        Self { start, end: spans.last().unwrap_or(start) }
    }
}

/// `impl Trait for Type { … }`: of two that contradict each other the compiler shows `at`; what the type itself lacks is shown
/// at the type.
pub(super) fn implement(
    at: &dyn ToTokens,
    implemented: &TokenStream,
    ty: &dyn ToTokens,
    body: TokenStream,
) -> TokenStream {
    let ends = Ends::of(at);
    let keyword = quote_spanned!(ends.start=> impl);
    let mut body = Group::new(Delimiter::Brace, body);
    body.set_span(ends.end);
    quote!(#[automatically_derived] #keyword #implemented for #ty #body)
}

/// `<ty as Trait>::function`, shown as `ty`.
pub(super) fn function_of(ty: &dyn ToTokens, implemented: &TokenStream, function: &str) -> TokenStream {
    let ends = Ends::of(ty);
    let open = quote_spanned!(ends.start=> <);
    let function = proc_macro2::Ident::new(function, ends.end);
    quote!(#open #ty as #implemented>::#function)
}
