//! `#[upcaster]`: one descriptor with a thin function.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::handler::{Given, call};
use super::runtime::{Runtime, enclose};
use super::shape::{self, Taker, local};
use crate::model::Upcaster;

/// The function. After a mistake in its signature there is nothing to fall back to: nothing refers to an upcaster.
pub(super) fn function(upcaster: &Upcaster) -> TokenStream {
    let (Some(user), Some(returns)) = (&upcaster.call, &upcaster.returns) else { return TokenStream::new() };
    if user.broken {
        return TokenStream::new();
    }
    let runtime = Runtime::find();
    let function = &upcaster.about.ident;
    let function_name = function.to_string();
    let from = Literal::u32_unsuffixed(upcaster.from.as_ref().map_or(1, |from| from.value));
    let event = match &upcaster.event {
        Some(name) => quote!(::core::option::Option::Some(#name)),
        None => quote!(::core::option::Option::None),
    };
    let old_type = &user.message;
    let about = runtime.about(&upcaster.about);
    let taker = Taker { implemented: quote!(#runtime::UpcastOutput), take: "upcast_into", list: "shapes" };
    let (payload, sink, into) = (local("payload"), local("sink"), local("into"));
    let (old, returned, context) = (local("old"), local("returned"), local("context"));
    let shapes = shape::list(&taker, returns, &into);
    let call = call(&runtime, &quote!(#function), user, &Given { receiver: None, message: &old, context: &context });
    let take = shape::take(&taker, returns, &returned, &sink, &TokenStream::new());
    let register = runtime.register("RegisteredUpcaster", &quote!(&ANGZARR_DESCRIPTOR));
    enclose(
        Some(&upcaster.about),
        &quote! {
            static ANGZARR_DESCRIPTOR: #runtime::UpcasterDescriptor = #runtime::UpcasterDescriptor {
                function: #function_name,
                from: #from,
                event: #event,
                input: #runtime::MessageType::of::<#old_type>(),
                outputs: angzarr_outputs,
                upcast: angzarr_upcast,
                #about
            };
            fn angzarr_outputs(#into: &mut ::std::vec::Vec<#runtime::MessageType>) {
                #shapes
            }
            fn angzarr_upcast(
                #payload: &[u8],
                #sink: &mut #runtime::UpcastSink,
            ) -> ::core::result::Result<(), #runtime::prost::DecodeError> {
                let #old = #runtime::decode_message::<#old_type>(#payload)?;
                let #returned = #call;
                #take
                ::core::result::Result::Ok(())
            }
            #register
        },
    )
}
