//! `#[rejected]` and `#[compensate]` of an aggregate: one descriptor with a thin function for each.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::handler::{Failure, Given, call, fallible};
use super::runtime::{Runtime, enclose};
use super::shape::{self, Taker, local};
use super::span::{function_of, implement};
use crate::model::{About, Call, CompensateHandler, DomainRef, Fallible, RejectedHandler, SelfType};

/// A `#[rejected]`.
pub(super) fn rejected(runtime: &Runtime, state: &SelfType, handler: &RejectedHandler) -> TokenStream {
    let rejected = local("rejected");
    let method = Method { about: &handler.about, call: &handler.call, returns: handler.returns.as_ref() };
    let parameter = &handler.call.message;
    let decode = decode(runtime, parameter);
    let decode = quote!(let #rejected = #runtime::decoded_rejected(#decode(#rejected), #rejected)?;);
    let functions = method.functions(runtime, &state.ty, &rejected, &quote!(#runtime::RejectedCommand), &decode);
    let command = command(runtime, parameter);
    let target = target(runtime, handler.target.as_ref());
    let says = quote!(command: #command, target: #target,);
    method.enclosed(runtime, &state.ty, ["RejectedDescriptor", "RegisteredRejected"], &says, &functions)
}

/// A `#[compensate]`.
pub(super) fn compensate(runtime: &Runtime, state: &SelfType, handler: &CompensateHandler) -> TokenStream {
    let compensate = local("compensate");
    let method = Method { about: &handler.about, call: &handler.call, returns: handler.returns.as_ref() };
    // Whether it is the request shows at the user's own type.
    let take = function_of(&handler.call.message, &quote!(#runtime::CompensateParameter), "take");
    let decode = quote!(let #compensate = #take(#compensate););
    let functions = method.functions(runtime, &state.ty, &compensate, &quote!(#runtime::Compensate), &decode);
    let once = implement(&handler.about.ident, &quote!(#runtime::Compensates), &state.ty, TokenStream::new());
    let functions = quote!(#functions #once);
    let wrapper = ["CompensateDescriptor", "RegisteredCompensate"];
    method.enclosed(runtime, &state.ty, wrapper, &TokenStream::new(), &functions)
}

/// What decodes a `Rejected<…>`: that it is none shows at the user's own type, once.
pub(super) fn decode(runtime: &Runtime, parameter: &syn::Type) -> TokenStream {
    function_of(parameter, &quote!(#runtime::RejectedParameter), "decode")
}

/// The command of a `Rejected<…>`.
pub(super) fn command(runtime: &Runtime, parameter: &syn::Type) -> TokenStream {
    let command = function_of(parameter, &quote!(#runtime::RejectedParameter), "Command");
    quote!(#runtime::MessageType::of::<#command>())
}

/// The one target of a `#[rejected]`.
pub(super) fn target(runtime: &Runtime, target: Option<&DomainRef>) -> TokenStream {
    match target {
        None => quote!(::core::option::Option::None),
        Some(DomainRef::Name(name)) => quote!(::core::option::Option::Some(#name)),
        Some(DomainRef::Aggregate(ty)) => {
            let domain = function_of(ty, &quote!(#runtime::Domain), "DOMAIN");
            quote!(::core::option::Option::Some(#domain))
        }
    }
}

/// What the two have in common: they answer with events or a revocation.
struct Method<'a> {
    about: &'a About,
    call: &'a Call,
    returns: Option<&'a Fallible>,
}

impl Method<'_> {
    /// `angzarr_emits` and `angzarr_run`; `decode` makes the local variable `given` what the method takes.
    fn functions(
        &self,
        runtime: &Runtime,
        ty: &syn::Type,
        given: &Ident,
        given_type: &TokenStream,
        decode: &TokenStream,
    ) -> TokenStream {
        let taker = Taker::of_events(runtime, ty);
        let (state, context, events) = (local("state"), local("context"), local("events"));
        let (returned, into) = (local("returned"), local("into"));
        let emits = self.returns.map(|returns| shape::list(&taker, &returns.success, &into));
        let body = match self.returns {
            Some(returns) if !self.call.broken => {
                let method = &self.about.ident;
                let receiver = Some(quote!(#runtime::instance_of::<#ty>(#state)));
                let arguments = Given { receiver, message: given, context: &context };
                let call = call(runtime, &quote!(<#ty>::#method), self.call, &arguments);
                let emit = shape::take(&taker, &returns.success, &returned, &events, &TokenStream::new());
                let on_success = quote!(#emit ::core::result::Result::Ok(()));
                let rest = fallible(runtime, &call, &returned, returns.error, &Failure::Revocation, &on_success);
                quote!(#decode #rest)
            }
            _ => quote!(::core::unreachable!()),
        };
        quote! {
            fn angzarr_emits(#into: &mut ::std::vec::Vec<#runtime::MessageType>) {
                #emits
            }
            fn angzarr_run(
                #state: &dyn ::core::any::Any,
                #given: &#given_type,
                #context: &#runtime::CommandContext<'_>,
                #events: &mut #runtime::EventSink,
            ) -> ::core::result::Result<(), #runtime::Revocation> {
                #body
            }
        }
    }

    fn enclosed(
        &self,
        runtime: &Runtime,
        ty: &syn::Type,
        [descriptor, wrapper]: [&str; 2],
        says: &TokenStream,
        functions: &TokenStream,
    ) -> TokenStream {
        let descriptor = Ident::new(descriptor, proc_macro2::Span::call_site());
        let method = self.about.ident.to_string();
        let about = runtime.about(self.about);
        let register = runtime.register(wrapper, &quote!(&ANGZARR_DESCRIPTOR));
        enclose(
            Some(self.about),
            &quote! {
                static ANGZARR_DESCRIPTOR: #runtime::#descriptor = #runtime::#descriptor {
                    aggregate: #runtime::aggregate_component::<#ty>,
                    method: #method,
                    #says
                    emits: angzarr_emits,
                    run: angzarr_run,
                    #about
                };
                #functions
                #register
            },
        )
    }
}
