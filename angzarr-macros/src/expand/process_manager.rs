//! `#[process_manager]`: its state as an aggregate's, a descriptor of its own, and one with a thin function for each method.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;

use super::handler::{Failure, Given, call, context, decode_event, fallible};
use super::runtime::{Runtime, enclose};
use super::shape::local;
use super::span::{function_of, implement};
use super::{aggregate, compensation};
use crate::model::{
    About, Place, ProcessHandler, ProcessManager, ProcessManagerBlock, ProcessRejected, Reacted, Snapshot,
    TimeoutHandler,
};

/// The declaration.
pub(super) fn declaration(process: &ProcessManager) -> TokenStream {
    let runtime = Runtime::find();
    let ty = &process.state.state.ty;
    // No key of the attribute's can say `remote`.
    let (snapshot, state_version) = match &process.state.place {
        Place::Here { snapshot, state_version } => (snapshot, *state_version),
        Place::Remote { .. } => (&Snapshot::Default, 1),
    };
    let state = aggregate::state(&runtime, &process.state, snapshot, state_version);
    let domains = |types: &[syn::Type]| -> Vec<TokenStream> {
        types.iter().map(|ty| function_of(ty, &quote!(#runtime::Domain), "DOMAIN")).collect()
    };
    let (sources, targets) = (domains(&process.sources), domains(&process.targets));
    let register = runtime.register("RegisteredProcessManager", &quote!(&ANGZARR_PROCESS_MANAGER));
    enclose(
        Some(&process.state.about),
        &quote! {
            #state
            static ANGZARR_PROCESS_MANAGER: #runtime::ProcessManagerDescriptor = #runtime::ProcessManagerDescriptor {
                state: &ANGZARR_DESCRIPTOR,
                sources: &[#(#sources),*],
                targets: &[#(#targets),*],
            };
            #[automatically_derived]
            impl #runtime::DeclaredProcessManager for #ty {}
            #register
        },
    )
}

/// A block.
pub(super) fn block(block: &ProcessManagerBlock) -> TokenStream {
    let runtime = Runtime::find();
    let declaration = block.declaration.as_ref().map(declaration);
    let methods = Methods { runtime: &runtime, ty: &block.state.ty };
    let handlers = block.handlers.iter().map(|it| methods.handler(it));
    let timeouts = block.timeouts.iter().map(|it| methods.timeout(it));
    let rejections = block.rejections.iter().map(|it| methods.rejected(it));
    let applies = block.applies.iter().map(|it| aggregate::apply(&runtime, &block.state, it));
    quote!(#declaration #(#handlers)* #(#timeouts)* #(#rejections)* #(#applies)*)
}

struct Methods<'a> {
    runtime: &'a Runtime,
    ty: &'a syn::Type,
}

/// What differs between the kinds of methods.
struct Kind<'a> {
    descriptor: &'a str,
    wrapper: &'a str,
    /// The field of the function.
    function: &'a str,
    /// The fields in which the descriptor says what the method is for.
    says: TokenStream,
    /// The parameter between the state and the context.
    parameter: TokenStream,
    body: TokenStream,
}

impl Methods<'_> {
    fn handler(&self, handler: &ProcessHandler) -> TokenStream {
        let runtime = self.runtime;
        let event_type = &handler.call.message;
        let (payload, event) = (local("payload"), local("event"));
        let decode = decode_event(runtime, event_type, &event, &payload);
        let kind = Kind {
            descriptor: "ProcessHandlerDescriptor",
            wrapper: "RegisteredProcessHandler",
            function: "react",
            says: quote!(event: #runtime::MessageType::of::<#event_type>(),),
            parameter: quote!(#payload: &[u8],),
            body: self.reacts(handler.returns.as_ref(), handler.call.broken, || {
                let call = self.call(&handler.about, &handler.call, &event);
                (decode, call)
            }),
        };
        let once = implement(event_type, &quote!(#runtime::ReactsTo<#event_type>), self.ty, TokenStream::new());
        self.enclosed(&handler.about, &kind, &once)
    }

    fn rejected(&self, handler: &ProcessRejected) -> TokenStream {
        let runtime = self.runtime;
        let parameter = &handler.call.message;
        let rejected = local("rejected");
        let command = compensation::command(runtime, parameter);
        let target = compensation::target(runtime, handler.target.as_ref());
        let kind = Kind {
            descriptor: "ProcessRejectedDescriptor",
            wrapper: "RegisteredProcessRejected",
            function: "run",
            says: quote!(command: #command, target: #target,),
            parameter: quote!(#rejected: &#runtime::RejectedCommand,),
            body: self.reacts(handler.returns.as_ref(), handler.call.broken, || {
                let decode = compensation::decode(runtime, parameter);
                let decode = quote!(
                    let #rejected = #runtime::decoded_rejected_of_process(#decode(#rejected), #rejected)?;
                );
                (decode, self.call(&handler.about, &handler.call, &rejected))
            }),
        };
        self.enclosed(&handler.about, &kind, &TokenStream::new())
    }

    fn timeout(&self, timeout: &TimeoutHandler) -> TokenStream {
        let (runtime, ty) = (self.runtime, self.ty);
        let method = &timeout.about.ident;
        let name = match &timeout.name {
            Some(name) => quote!(#name),
            None => {
                let stand_in = method.to_string();
                quote!(#stand_in)
            }
        };
        let kind = Kind {
            descriptor: "TimeoutDescriptor",
            wrapper: "RegisteredTimeout",
            function: "run",
            says: quote!(name: #name,),
            parameter: TokenStream::new(),
            body: self.reacts(timeout.returns.as_ref(), timeout.broken, || {
                let state = self.state();
                let context = context(runtime, timeout.context.as_ref(), &local("context")).into_iter();
                (TokenStream::new(), quote!(<#ty>::#method(#state #(, #context)*)))
            }),
        };
        self.enclosed(&timeout.about, &kind, &TokenStream::new())
    }

    /// The state that a method is called on.
    fn state(&self) -> TokenStream {
        let (runtime, ty, state) = (self.runtime, self.ty, local("state"));
        quote!(#runtime::instance_of::<#ty>(#state))
    }

    fn call(&self, about: &About, user: &crate::model::Call, message: &Ident) -> TokenStream {
        let (ty, method) = (self.ty, &about.ident);
        let given = Given { receiver: Some(self.state()), message, context: &local("context") };
        call(self.runtime, &quote!(<#ty>::#method), user, &given)
    }

    /// Prepares, calls, and hands the reaction over; what does not fit shows at the user's return type.
    fn reacts(
        &self,
        returns: Option<&Reacted>,
        broken: bool,
        call: impl FnOnce() -> (TokenStream, TokenStream),
    ) -> TokenStream {
        let Some(returns) = returns.filter(|_| !broken) else { return quote!(::core::unreachable!()) };
        let (runtime, ty) = (self.runtime, self.ty);
        let (prepare, call) = call();
        let (returned, sink) = (local("returned"), local("sink"));
        let hand_over = function_of(&returns.reaction, &quote!(#runtime::ProcessOutput<#ty>), "hand_over");
        let on_success = quote!(#hand_over(#returned, #sink));
        let rest = match returns.error {
            Some(error) => fallible(runtime, &call, &returned, error, &Failure::ReactionError, &on_success),
            None => quote!(let #returned = #call; #on_success),
        };
        quote!(#prepare #rest)
    }

    fn enclosed(&self, about: &About, kind: &Kind<'_>, besides: &TokenStream) -> TokenStream {
        let (runtime, ty) = (self.runtime, self.ty);
        let word = |name| Ident::new(name, Span::call_site());
        let (descriptor, function, angzarr_function) =
            (word(kind.descriptor), word(kind.function), word(&format!("angzarr_{}", kind.function)));
        let Kind { says, parameter, body, .. } = kind;
        let method = about.ident.to_string();
        let fields = runtime.about(about);
        let (state, context, sink) = (local("state"), local("context"), local("sink"));
        let register = runtime.register(kind.wrapper, &quote!(&ANGZARR_DESCRIPTOR));
        enclose(
            Some(about),
            &quote! {
                static ANGZARR_DESCRIPTOR: #runtime::#descriptor = #runtime::#descriptor {
                    component: #runtime::process_manager_component::<#ty>,
                    method: #method,
                    #says
                    #function: #angzarr_function,
                    #fields
                };
                fn #angzarr_function(
                    #state: &dyn ::core::any::Any,
                    #parameter
                    #context: &#runtime::EventContext,
                    #sink: &mut #runtime::EventSink,
                ) -> ::core::result::Result<(), #runtime::ReactionError> {
                    #body
                }
                #besides
                #register
            },
        )
    }
}
