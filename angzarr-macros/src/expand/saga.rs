//! `#[saga]`: a descriptor of the saga, and one with a thin function for each handler.

use proc_macro2::TokenStream;
use quote::quote;

use super::handler::{Failure, Given, call, decode_event, fallible};
use super::runtime::{Runtime, enclose};
use super::shape::{self, Taker, local};
use super::span::function_of;
use crate::model::{About, Saga, SagaBlock, SagaBody, SagaHandler};

/// The declaration.
pub(super) fn declaration(saga: &Saga) -> TokenStream {
    let runtime = Runtime::find();
    let ident = &saga.about.ident;
    match &saga.body {
        SagaBody::Function(handler) => {
            // What connects the saga with its one handler, and its instance: a type that nobody else sees.
            let component = quote!(AngzarrSagaFunction);
            let instance = quote!(::core::option::Option::Some(angzarr_instance));
            let descriptor = descriptor(&runtime, saga, &component, &instance);
            let handler = handler.as_ref().map(|it| react(&runtime, it, &component, &quote!(#ident), None));
            enclose(
                Some(&saga.about),
                &quote! {
                    struct #component;
                    fn angzarr_instance() -> #runtime::Instance {
                        #runtime::Arc::new(#component)
                    }
                    #descriptor
                    #handler
                },
            )
        }
        SagaBody::Struct { is_unit } => {
            let component = quote!(#ident);
            let (function, instance) = instance(&runtime, &component, *is_unit);
            let descriptor = descriptor(&runtime, saga, &component, &instance);
            enclose(Some(&saga.about), &quote!(#function #descriptor))
        }
    }
}

/// Makes the instance of a type that says all by itself.
pub(super) fn instance(runtime: &Runtime, component: &TokenStream, is_unit: bool) -> (TokenStream, TokenStream) {
    if !is_unit {
        return (TokenStream::new(), quote!(::core::option::Option::None));
    }
    let function = quote! {
        fn angzarr_instance() -> #runtime::Instance {
            #runtime::Arc::new(#component)
        }
    };
    (function, quote!(::core::option::Option::Some(angzarr_instance)))
}

fn descriptor(runtime: &Runtime, saga: &Saga, component: &TokenStream, instance: &TokenStream) -> TokenStream {
    let rust_name = saga.about.ident.to_string();
    let name = saga.name.as_ref().map_or_else(|| quote!(#rust_name), |name| quote!(#name));
    let domain = match &saga.from {
        Some(from) => function_of(from, &quote!(#runtime::Domain), "DOMAIN"),
        None => quote!("unknown"),
    };
    let about = runtime.about(&saga.about);
    let register = runtime.register("RegisteredSaga", &quote!(&ANGZARR_DESCRIPTOR));
    quote! {
        static ANGZARR_DESCRIPTOR: #runtime::SagaDescriptor = #runtime::SagaDescriptor {
            name: #name,
            rust_name: #rust_name,
            component: #runtime::saga_component::<#component>,
            domain: #domain,
            instance: #instance,
            #about
        };
        #[automatically_derived]
        impl #runtime::DeclaredSaga for #component {}
        #register
    }
}

/// A block.
pub(super) fn block(block: &SagaBlock) -> TokenStream {
    let runtime = Runtime::find();
    let ty = &block.component.ty;
    let component = quote!(#ty);
    block
        .handlers
        .iter()
        .map(|handler| {
            let method = &handler.about.ident;
            let instance = local("instance");
            let receiver = quote!(#runtime::instance_of::<#ty>(#instance));
            let items = react(&runtime, handler, &component, &quote!(<#ty>::#method), Some(receiver));
            enclose(Some(&handler.about), &items)
        })
        .collect()
}

fn react(
    runtime: &Runtime,
    handler: &SagaHandler,
    component: &TokenStream,
    function: &TokenStream,
    receiver: Option<TokenStream>,
) -> TokenStream {
    let SagaHandler { about: About { ident, .. }, call: user, returns } = handler;
    let method = ident.to_string();
    let event_type = &user.message;
    let about = runtime.about(&handler.about);
    let taker = Taker { implemented: quote!(#runtime::SagaOutput), take: "collect", list: "targets" };
    let (instance, payload, context, commands) =
        (local("instance"), local("payload"), local("context"), local("commands"));
    let (event, returned, into) = (local("event"), local("returned"), local("into"));
    let targets = returns.as_ref().map(|returns| shape::list(&taker, &returns.commands, &into));
    let body = match returns {
        Some(returns) if !user.broken => {
            let decode = decode_event(runtime, event_type, &event, &payload);
            let call = call(runtime, function, user, &Given { receiver, message: &event, context: &context });
            let collect = shape::take(&taker, &returns.commands, &returned, &commands, &quote!(?));
            let on_success = quote!(#collect ::core::result::Result::Ok(()));
            let rest = match returns.error {
                Some(error) => fallible(runtime, &call, &returned, error, &Failure::ReactionError, &on_success),
                None => quote!(let #returned = #call; #on_success),
            };
            quote!(#decode #rest)
        }
        _ => quote!(::core::unreachable!()),
    };
    let register = runtime.register("RegisteredSagaHandler", &quote!(&ANGZARR_HANDLER));
    quote! {
        static ANGZARR_HANDLER: #runtime::SagaHandlerDescriptor = #runtime::SagaHandlerDescriptor {
            component: #runtime::saga_component::<#component>,
            method: #method,
            event: #runtime::MessageType::of::<#event_type>(),
            targets: angzarr_targets,
            react: angzarr_react,
            #about
        };
        fn angzarr_targets(#into: &mut ::std::vec::Vec<#runtime::Target>) {
            #targets
        }
        fn angzarr_react(
            #instance: &dyn ::core::any::Any,
            #payload: &[u8],
            #context: &#runtime::EventContext,
            #commands: &mut #runtime::Emissions,
        ) -> ::core::result::Result<(), #runtime::ReactionError> {
            #body
        }
        #register
    }
}
