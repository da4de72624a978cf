//! `#[aggregate]`: `Domain` and `Aggregate`; `Accepts` and `Handles` for each handler; `Applies` for each apply.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

use super::handler::{Failure, Given, call, fallible};
use super::runtime::{Runtime, enclose};
use super::shape::{self, Taker, local};
use super::span::implement;
use super::{compensation, fact};
use crate::model::{Aggregate, AggregateBlock, Apply, Codec, CommandHandler, Place, SelfType, Snapshot};

/// The declaration.
pub(super) fn declaration(aggregate: &Aggregate) -> TokenStream {
    let runtime = Runtime::find();
    let items = match &aggregate.place {
        Place::Here { snapshot, state_version } => {
            let state = state(&runtime, aggregate, snapshot, *state_version);
            let register = runtime.register("RegisteredAggregate", &quote!(&ANGZARR_DESCRIPTOR));
            quote!(#state #register)
        }
        Place::Remote { handles } => remote_aggregate(&runtime, aggregate, handles),
    };
    enclose(Some(&aggregate.about), &items)
}

fn domain_impl(runtime: &Runtime, aggregate: &Aggregate) -> TokenStream {
    let ty = &aggregate.state.ty;
    let domain = aggregate.domain_or_stand_in();
    implement(ty, &quote!(#runtime::Domain), ty, quote!(const DOMAIN: &'static str = #domain;))
}

/// A state of this program, of an aggregate or a process manager: its traits, and the static `ANGZARR_DESCRIPTOR`.
pub(super) fn state(runtime: &Runtime, aggregate: &Aggregate, snapshot: &Snapshot, state_version: u32) -> TokenStream {
    let SelfType { ty, name } = &aggregate.state;
    let about = runtime.about(&aggregate.about);
    let domain = aggregate.domain_or_stand_in();
    let state_version = Literal::u32_unsuffixed(state_version);
    let snapshot = match snapshot {
        Snapshot::Off => quote!(::core::option::Option::None),
        Snapshot::Default => quote!(#runtime::SnapshotPolicy::default_for(#runtime::Probe::<#ty>::PROST)),
        Snapshot::Every { events, codec } => {
            let every = match events {
                Some(events) => {
                    let events = Literal::u32_unsuffixed(*events);
                    quote!(#events)
                }
                None => quote!(#runtime::SnapshotPolicy::DEFAULT_EVERY),
            };
            let codec = match codec {
                Codec::Prost => quote!(#runtime::prost_codec::<#ty>()),
                Codec::Serde => quote!(#runtime::serde_codec::<#ty>()),
            };
            quote!(::core::option::Option::Some(#runtime::SnapshotPolicy { every: #every, codec: #codec }))
        }
    };
    let aggregate_impl = implement(
        ty,
        &quote!(#runtime::Aggregate),
        ty,
        quote! {
            fn descriptor() -> &'static #runtime::AggregateDescriptor {
                &ANGZARR_DESCRIPTOR
            }
        },
    );
    let domain_impl = domain_impl(runtime, aggregate);
    quote! {
        #domain_impl
        use #runtime::ProbeFallback as _;
        static ANGZARR_DESCRIPTOR: #runtime::AggregateDescriptor = #runtime::AggregateDescriptor {
            domain: #domain,
            name: #name,
            state: ::core::any::TypeId::of::<#ty>,
            snapshot: #snapshot,
            state_version: #state_version,
            state_message: #runtime::Probe::<#ty>::NAME,
            new_state: #runtime::new_state::<#ty>,
            clone_state: #runtime::Probe::<#ty>::CLONE,
            debug_state: #runtime::Probe::<#ty>::DEBUG,
            #about
        };
        #aggregate_impl
    }
}

fn remote_aggregate(runtime: &Runtime, aggregate: &Aggregate, handles: &[syn::Type]) -> TokenStream {
    let SelfType { ty, name } = &aggregate.state;
    let about = runtime.about(&aggregate.about);
    let domain = aggregate.domain_or_stand_in();
    let accepts =
        handles.iter().map(|command| implement(command, &quote!(#runtime::Accepts<#command>), ty, TokenStream::new()));
    let register = runtime.register("RegisteredRemoteAggregate", &quote!(&ANGZARR_DESCRIPTOR));
    let domain_impl = domain_impl(runtime, aggregate);
    quote! {
        #domain_impl
        static ANGZARR_DESCRIPTOR: #runtime::RemoteAggregateDescriptor = #runtime::RemoteAggregateDescriptor {
            domain: #domain,
            name: #name,
            commands: &[#(#runtime::MessageType::of::<#handles>()),*],
            #about
        };
        #(#accepts)*
        #register
    }
}

/// A block.
pub(super) fn block(block: &AggregateBlock) -> TokenStream {
    let runtime = Runtime::find();
    let declaration = block.declaration.as_ref().map(declaration);
    let handlers = block.handlers.iter().map(|handler| command_handler(&runtime, &block.state, handler));
    let applies = block.applies.iter().map(|it| apply(&runtime, &block.state, it));
    let rejections = block.rejections.iter().map(|it| compensation::rejected(&runtime, &block.state, it));
    let compensations = block.compensations.iter().map(|it| compensation::compensate(&runtime, &block.state, it));
    let facts = block.facts.iter().map(|it| fact::fact(&runtime, &block.state, it));
    quote!(#declaration #(#handlers)* #(#applies)* #(#rejections)* #(#compensations)* #(#facts)*)
}

fn command_handler(runtime: &Runtime, state: &SelfType, handler: &CommandHandler) -> TokenStream {
    let ty = &state.ty;
    let command = &handler.call.message;
    let method = handler.about.ident.to_string();
    let about = runtime.about(&handler.about);
    let merge = match &handler.merge {
        Some(strategy) => {
            let variant = Ident::new(strategy.value, strategy.span);
            quote!(::core::option::Option::Some(#runtime::MergeStrategy::#variant))
        }
        None => quote!(::core::option::Option::None),
    };
    let taker = Taker::of_events(runtime, ty);
    let into = local("into");
    let emits = handler.returns.as_ref().map(|returns| shape::list(&taker, &returns.success, &into));
    let decide = decide(runtime, ty, handler, &taker);
    let accepts_impl = implement(command, &quote!(#runtime::Accepts<#command>), ty, TokenStream::new());
    let handles_impl = implement(
        command,
        &quote!(#runtime::Handles<#command>),
        ty,
        quote! {
            fn handler() -> &'static #runtime::CommandHandlerDescriptor {
                &ANGZARR_DESCRIPTOR
            }
            #decide
        },
    );
    let register = runtime.register("RegisteredCommandHandler", &quote!(&ANGZARR_DESCRIPTOR));
    enclose(
        Some(&handler.about),
        &quote! {
            static ANGZARR_DESCRIPTOR: #runtime::CommandHandlerDescriptor = #runtime::CommandHandlerDescriptor {
                aggregate: <#ty as #runtime::Aggregate>::descriptor,
                method: #method,
                command: #runtime::MessageType::of::<#command>(),
                merge: #merge,
                emits: angzarr_emits,
                decide: #runtime::decide_erased::<#ty, #command>,
                #about
            };
            fn angzarr_emits(#into: &mut ::std::vec::Vec<#runtime::MessageType>) {
                #emits
            }
            #accepts_impl
            #handles_impl
            #register
        },
    )
}

fn decide(runtime: &Runtime, ty: &syn::Type, handler: &CommandHandler, taker: &Taker) -> TokenStream {
    let (command, context, events, returned) = (local("command"), local("context"), local("events"), local("returned"));
    let body = match &handler.returns {
        Some(returns) if !handler.call.broken => {
            let method = &handler.about.ident;
            let given = Given { receiver: Some(quote!(self)), message: &command, context: &context };
            let call = call(runtime, &quote!(<#ty>::#method), &handler.call, &given);
            let emit = shape::take(taker, &returns.success, &returned, &events, &TokenStream::new());
            let on_success = quote!(#emit ::core::result::Result::Ok(()));
            fallible(runtime, &call, &returned, returns.error, &Failure::Rejection, &on_success)
        }
        _ => quote!(::core::unreachable!()),
    };
    let message = &handler.call.message;
    quote! {
        fn decide(
            &self,
            #command: #message,
            #context: &#runtime::CommandContext<'_>,
            #events: &mut #runtime::EventSink,
        ) -> ::core::result::Result<(), #runtime::Rejection> {
            #body
        }
    }
}

pub(super) fn apply(runtime: &Runtime, state: &SelfType, apply: &Apply) -> TokenStream {
    let ty = &state.ty;
    let event_type = &apply.call.message;
    let method = &apply.about.ident;
    let method_name = method.to_string();
    let about = runtime.about(&apply.about);
    let (event, context) = (local("event"), local("context"));
    let body = if apply.call.broken {
        TokenStream::new()
    } else {
        let given = Given { receiver: Some(quote!(self)), message: &event, context: &context };
        let call = call(runtime, &quote!(<#ty>::#method), &apply.call, &given);
        quote!(#call;)
    };
    let applies_impl = implement(
        event_type,
        &quote!(#runtime::Applies<#event_type>),
        ty,
        quote! {
            fn event_name() -> #runtime::Name {
                static ANGZARR_NAME: #runtime::NameCell = #runtime::NameCell::new();
                ANGZARR_NAME.get(ANGZARR_DESCRIPTOR.event)
            }
            fn apply(&mut self, #event: #event_type) {
                #body
            }
        },
    );
    let register = runtime.register("RegisteredApply", &quote!(&ANGZARR_DESCRIPTOR));
    enclose(
        Some(&apply.about),
        &quote! {
            static ANGZARR_DESCRIPTOR: #runtime::ApplyDescriptor = #runtime::ApplyDescriptor {
                aggregate: <#ty as #runtime::Aggregate>::descriptor,
                method: #method_name,
                event: #runtime::MessageType::of::<#event_type>(),
                apply: #runtime::apply_encoded::<#ty, #event_type>,
                #about
            };
            #applies_impl
            #register
        },
    )
}
