//! `#[projector]`: a descriptor of the projector, and one with a thin function for each handler.

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{quote, quote_spanned};

use super::handler::{Failure, Given, call, decode_event, fallible};
use super::runtime::{Runtime, enclose};
use super::saga::instance;
use super::shape::local;
use super::span::function_of;
use crate::model::{
    DomainRef, Projector, ProjectorBlock, ProjectorField, ProjectorHandler, ReadModel, SelfType, Shape,
};

/// The declaration.
pub(super) fn declaration(projector: &Projector) -> TokenStream {
    let runtime = Runtime::find();
    let ident = &projector.about.ident;
    let rust_name = ident.to_string();
    let name = projector.name.as_ref().map_or_else(|| quote!(#rust_name), |name| quote!(#name));
    let domains = projector.domains.iter().map(|domain| match domain {
        DomainRef::Name(name) => quote!(#name),
        DomainRef::Aggregate(ty) => function_of(ty, &quote!(#runtime::Domain), "DOMAIN"),
    });
    let all_editions = projector.all_editions;
    let (instance_function, instance) = instance(&runtime, &quote!(#ident), projector.is_unit);
    let read_model = read_model(&runtime, projector);
    let check = check_read_model(&runtime, projector);
    let about = runtime.about(&projector.about);
    let register = runtime.register("RegisteredProjector", &quote!(&ANGZARR_DESCRIPTOR));
    enclose(
        Some(&projector.about),
        &quote! {
            use #runtime::ProbeFallback as _;
            #instance_function
            fn angzarr_read_model(
                instance: &dyn ::core::any::Any,
            ) -> ::core::option::Option<#runtime::Arc<dyn #runtime::ErasedReadModel>> {
                #read_model
            }
            #check
            static ANGZARR_DESCRIPTOR: #runtime::ProjectorDescriptor = #runtime::ProjectorDescriptor {
                name: #name,
                rust_name: #rust_name,
                component: #runtime::projector_component::<#ident>,
                domains: &[#(#domains),*],
                all_editions: #all_editions,
                instance: #instance,
                read_model: angzarr_read_model,
                #about
            };
            #[automatically_derived]
            impl #runtime::DeclaredProjector for #ident {}
            #register
        },
    )
}

/// The fields that may be the read model.
fn candidates(projector: &Projector) -> Vec<&ProjectorField> {
    projector
        .fields
        .iter()
        .filter(|field| match (&projector.read_model, &field.member) {
            (ReadModel::Found, _) => true,
            (ReadModel::Field(name), syn::Member::Named(member)) => name == member,
            _ => false,
        })
        .collect()
}

fn read_model(runtime: &Runtime, projector: &Projector) -> TokenStream {
    let ident = &projector.about.ident;
    let candidates = candidates(projector);
    if candidates.is_empty() {
        return quote!(::core::option::Option::None);
    }
    let probes = candidates.into_iter().map(|ProjectorField { cfgs, member, ty }| {
        quote! {
            #(#cfgs)*
            if let ::core::option::Option::Some(erase) = #runtime::Probe::<#ty>::READ_MODEL {
                return ::core::option::Option::Some(erase(&projector.#member));
            }
        }
    });
    quote! {
        let projector = #runtime::instance_of::<#ident>(instance);
        #(#probes)*
        ::core::option::Option::None
    }
}

/// What is a read model is known to the compiler only, so the question is asked in a constant.
fn check_read_model(runtime: &Runtime, projector: &Projector) -> TokenStream {
    let candidates = candidates(projector);
    let (span, condition, text) = match &projector.read_model {
        ReadModel::Off => return TokenStream::new(),
        ReadModel::Field(name) => (
            name.span(),
            quote!(found == 1),
            format!(
                "the field `{name}` is not a read model: its type does not implement `ReadModel` and `Clone`, so it cannot \
                 keep the projector's checkpoint; name a field such as a `SqliteReadModel` or a `sqlx::SqlitePool`, or write \
                 `read_model = none`"
            ),
        ),
        ReadModel::Found if candidates.len() < 2 => return TokenStream::new(),
        ReadModel::Found => {
            let example = candidates.first().map_or_else(String::new, |field| match &field.member {
                syn::Member::Named(name) => format!("`read_model = {name}`"),
                syn::Member::Unnamed(_) => "a struct with named fields and `read_model = …`".to_owned(),
            });
            (
                projector.about.ident.span(),
                quote!(found <= 1),
                format!(
                    "`{}` has several fields that are read models, and the checkpoint can be kept in one only; say which one: \
                     {example}",
                    projector.about.ident
                ),
            )
        }
    };
    let counts = candidates.into_iter().map(|ProjectorField { cfgs, ty, .. }| {
        quote! {
            #(#cfgs)*
            { found += #runtime::Probe::<#ty>::READ_MODEL.is_some() as u32; }
        }
    });
    let assert = quote_spanned!(span=> ::core::assert!(#condition, #text));
    quote! {
        const _: () = {
            let mut found = 0_u32;
            #(#counts)*
            #assert;
        };
    }
}

/// A block.
pub(super) fn block(block: &ProjectorBlock) -> TokenStream {
    let runtime = Runtime::find();
    block.handlers.iter().map(|handler| project(&runtime, &block.component, handler)).collect()
}

fn project(runtime: &Runtime, component: &SelfType, handler: &ProjectorHandler) -> TokenStream {
    let ty = &component.ty;
    let method = &handler.about.ident;
    let method_name = method.to_string();
    let event_type = &handler.call.message;
    let live_only = handler.live_only;
    let about = runtime.about(&handler.about);
    let (payload, context, event, returned) = (local("payload"), local("context"), local("event"), local("returned"));
    let body = match &handler.returns {
        Some(returns) if !handler.call.broken => {
            let decode = decode_event(runtime, event_type, &event, &payload);
            let receiver = quote!(#runtime::instance_of::<#ty>(instance));
            let given = Given { receiver: Some(receiver), message: &event, context: &context };
            let call = call(runtime, &quote!(<#ty>::#method), &handler.call, &given);
            let projection = projection(runtime, &returns.success, &returned);
            let on_success = quote!(::core::result::Result::Ok(#projection));
            let rest = fallible(runtime, &call, &returned, returns.error, &Failure::ReactionError, &on_success);
            quote!(#decode #rest)
        }
        _ => quote!(::core::unreachable!()),
    };
    // A future that cannot be sent to another thread is the method's fault.
    let pin = quote_spanned!(method.span()=> ::std::boxed::Box::pin);
    let future = quote_spanned!(method.span()=> async move);
    let body = spanned_group(Delimiter::Brace, body, method.span());
    let future = spanned_group(Delimiter::Parenthesis, quote!(#future #body), method.span());
    let register = runtime.register("RegisteredProjectorHandler", &quote!(&ANGZARR_HANDLER));
    enclose(
        Some(&handler.about),
        &quote! {
            static ANGZARR_HANDLER: #runtime::ProjectorHandlerDescriptor = #runtime::ProjectorHandlerDescriptor {
                component: #runtime::projector_component::<#ty>,
                method: #method_name,
                event: #runtime::MessageType::of::<#event_type>(),
                live_only: #live_only,
                project: angzarr_project,
                #about
            };
            fn angzarr_project<'a>(
                instance: &'a (dyn ::core::any::Any + ::core::marker::Send + ::core::marker::Sync),
                #payload: &'a [u8],
                #context: &'a #runtime::EventContext,
            ) -> #runtime::ProjectFuture<'a> {
                #pin #future
            }
            #register
        },
    )
}

fn projection(runtime: &Runtime, shape: &Shape, value: &proc_macro2::Ident) -> TokenStream {
    match shape {
        Shape::Leaf(ty) => {
            let into = function_of(ty, &quote!(#runtime::ProjectorOutput), "into_projection");
            quote!(#into(#value))
        }
        Shape::Option(inner) => {
            let some = projection(runtime, inner, value);
            quote! {
                match #value {
                    ::core::option::Option::Some(#value) => #some,
                    ::core::option::Option::None => ::core::option::Option::None,
                }
            }
        }
        Shape::Tuple(_) | Shape::Many(_) | Shape::Boxed(_) => quote!(::core::unreachable!()),
    }
}

fn spanned_group(delimiter: Delimiter, tokens: TokenStream, span: Span) -> Group {
    let mut group = Group::new(delimiter, tokens);
    group.set_span(span);
    group
}
