//! Calling the user's function.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::runtime::Runtime;
use super::span::function_of;
use crate::model::Call;

/// What a call may be given, each a local variable.
pub(super) struct Given<'a> {
    /// The receiver, if it is a method.
    pub(super) receiver: Option<TokenStream>,
    pub(super) message: &'a Ident,
    pub(super) context: &'a Ident,
}

/// `function(receiver, message, context)`.
pub(super) fn call(runtime: &Runtime, function: &TokenStream, call: &Call, given: &Given<'_>) -> TokenStream {
    let receiver = given.receiver.iter();
    let message = given.message;
    let message = if call.by_reference { quote!(&#message) } else { quote!(#message) };
    let awaited = call.is_async.then(|| quote!(.await));
    let context = context(runtime, call.context.as_ref(), given.context).into_iter();
    quote!(#function(#(#receiver,)* #message #(, #context)*) #awaited)
}

/// The context as an argument, if the function takes it: whether it is one shows at the user's own type.
pub(super) fn context(runtime: &Runtime, ty: Option<&syn::Type>, context: &Ident) -> Option<TokenStream> {
    let take = function_of(ty?, &quote!(#runtime::TakesContext<_>), "take");
    Some(quote!(#take(#context)))
}

/// What a handler may fail with, and what becomes of it.
pub(super) enum Failure {
    Rejection,
    Revocation,
    ReactionError,
}

/// What converts the user's error, shown at the user's error type.
fn convert_error(runtime: &Runtime, at: Span, failure: &Failure, error: &Ident) -> TokenStream {
    let (name, function) = match failure {
        Failure::Rejection => ("IntoRejection", "into_rejection"),
        Failure::Revocation => ("IntoRevocation", "into_revocation"),
        Failure::ReactionError => ("IntoReactionError", "into_reaction_error"),
    };
    let name = Ident::new(name, at);
    let function = Ident::new(function, at);
    quote!(#runtime::#name::#function(#error))
}

/// A fallible call, taken apart: `on_success` sees the success as `returned`.
pub(super) fn fallible(
    runtime: &Runtime,
    call: &TokenStream,
    returned: &Ident,
    error_at: Span,
    failure: &Failure,
    on_success: &TokenStream,
) -> TokenStream {
    // Bound and used at the user's error type, so that the compiler's words are about that type and not about an attribute.
    let error = Ident::new("angzarr_error", error_at);
    let converted = convert_error(runtime, error_at, failure, &error);
    quote! {
        match #call {
            ::core::result::Result::Ok(#returned) => { #on_success }
            ::core::result::Result::Err(#error) => ::core::result::Result::Err(#converted),
        }
    }
}

/// The type of decoded events: an error is the reaction's.
pub(super) fn decode_event(runtime: &Runtime, ty: &syn::Type, event: &Ident, payload: &Ident) -> TokenStream {
    quote!(let #event = #runtime::decode_event::<#ty>(#payload)?;)
}
