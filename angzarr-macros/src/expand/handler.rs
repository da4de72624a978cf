//! Calling the user's function.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};

use super::runtime::Runtime;
use super::span::Ends;
use crate::model::Call;

/// What a call may be given, each a local variable.
pub(super) struct Given<'a> {
    /// The receiver, if it is a method.
    pub(super) receiver: Option<TokenStream>,
    pub(super) message: &'a Ident,
    pub(super) context: &'a Ident,
}

/// `function(receiver, message, context)`.
pub(super) fn call(function: &TokenStream, call: &Call, given: &Given<'_>) -> TokenStream {
    let receiver = given.receiver.iter();
    let message = given.message;
    let message = if call.by_reference { quote!(&#message) } else { quote!(#message) };
    let awaited = call.is_async.then(|| quote!(.await));
    match &call.context {
        Some(ty) => {
            // The compiler compares the context's type at the user's own tokens.
            let context = Ident::new("context_as_declared", given.context.span());
            let mut value = given.context.clone();
            value.set_span(given.context.span().located_at(Ends::of(ty).start));
            quote! {{
                let #context: #ty = #value;
                #function(#(#receiver,)* #message, #context) #awaited
            }}
        }
        None => quote!(#function(#(#receiver,)* #message) #awaited),
    }
}

/// What converts the user's error, shown at the user's error type.
pub(super) fn convert_error(at: proc_macro2::Span, into: &TokenStream, error: &Ident) -> TokenStream {
    let convert = quote_spanned!(at=> ::core::convert::Into);
    let function = quote_spanned!(at=> into);
    quote!(#convert::<#into>::#function(#error))
}

/// A fallible call, taken apart: `on_success` sees the success as `returned`.
pub(super) fn fallible(
    call: &TokenStream,
    returned: &Ident,
    error_span: proc_macro2::Span,
    error_type: &TokenStream,
    on_success: &TokenStream,
) -> TokenStream {
    let error = super::shape::local("error");
    let error_value = convert_error(error_span, error_type, &error);
    quote! {
        match #call {
            ::core::result::Result::Ok(#returned) => { #on_success }
            ::core::result::Result::Err(#error) => ::core::result::Result::Err(#error_value),
        }
    }
}

/// The type of decoded events: an error is the reaction's.
pub(super) fn decode_event(runtime: &Runtime, ty: &syn::Type, event: &Ident, payload: &Ident) -> TokenStream {
    quote!(let #event = #runtime::decode_event::<#ty>(#payload)?;)
}
