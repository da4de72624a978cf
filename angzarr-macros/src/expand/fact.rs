//! `#[fact]`: one descriptor with a thin function.

use proc_macro2::TokenStream;
use quote::quote;

use super::handler::{Given, call};
use super::runtime::{Runtime, enclose};
use super::shape::{self, Taker, local};
use super::span::implement;
use crate::model::{FactHandler, SelfType};

/// A `#[fact]`.
pub(super) fn fact(runtime: &Runtime, state: &SelfType, handler: &FactHandler) -> TokenStream {
    let ty = &state.ty;
    let fact_type = &handler.call.message;
    let method = &handler.about.ident;
    let method_name = method.to_string();
    let about = runtime.about(&handler.about);
    let taker = Taker::of_events(runtime, ty);
    let (state, payload, context, events) = (local("state"), local("payload"), local("context"), local("events"));
    let (fact, returned, into) = (local("fact"), local("returned"), local("into"));
    let emits = handler.returns.as_ref().map(|returns| shape::list(&taker, returns, &into));
    let body = match &handler.returns {
        Some(returns) if !handler.call.broken => {
            let receiver = Some(quote!(#runtime::instance_of::<#ty>(#state)));
            let given = Given { receiver, message: &fact, context: &context };
            let call = call(runtime, &quote!(<#ty>::#method), &handler.call, &given);
            let emit = shape::take(&taker, returns, &returned, &events, &TokenStream::new());
            quote! {
                let #fact = #runtime::decode_message::<#fact_type>(#payload)?;
                let #returned = #call;
                #emit
                ::core::result::Result::Ok(())
            }
        }
        _ => quote!(::core::unreachable!()),
    };
    let once = implement(fact_type, &quote!(#runtime::TakesFact<#fact_type>), ty, TokenStream::new());
    let register = runtime.register("RegisteredFact", &quote!(&ANGZARR_DESCRIPTOR));
    enclose(
        Some(&handler.about),
        &quote! {
            static ANGZARR_DESCRIPTOR: #runtime::FactDescriptor = #runtime::FactDescriptor {
                aggregate: #runtime::aggregate_component::<#ty>,
                method: #method_name,
                fact: #runtime::MessageType::of::<#fact_type>(),
                emits: angzarr_emits,
                run: angzarr_run,
                #about
            };
            fn angzarr_emits(#into: &mut ::std::vec::Vec<#runtime::MessageType>) {
                #emits
            }
            fn angzarr_run(
                #state: &dyn ::core::any::Any,
                #payload: &[u8],
                #context: &#runtime::CommandContext<'_>,
                #events: &mut #runtime::EventSink,
            ) -> ::core::result::Result<(), #runtime::prost::DecodeError> {
                #body
            }
            #once
            #register
        },
    )
}
