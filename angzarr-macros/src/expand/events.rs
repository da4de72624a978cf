//! `#[derive(Events)]`: what the enum may be is what its variants hold.

use proc_macro2::TokenStream;
use quote::quote;

use super::runtime::{Runtime, enclose};
use super::span::function_of;
use crate::model::{EventsEnum, EventsVariant};

/// The enum.
pub(super) fn enumeration(events: &EventsEnum) -> TokenStream {
    let runtime = Runtime::find();
    let ident = &events.ident;
    let state = quote!(AngzarrState);
    let types: Vec<_> = events.variants.iter().map(|variant| &variant.event).collect();
    let emitted_by = quote!(#runtime::EmittedBy<#state>);
    let upcast_output = quote!(#runtime::UpcastOutput);
    let emit = arms(events, &emitted_by, "emit");
    let event_types = types.iter().map(|ty| function_of(*ty, &emitted_by, "event_types"));
    let upcast = arms(events, &upcast_output, "upcast_into");
    let shapes = types.iter().map(|ty| function_of(*ty, &upcast_output, "shapes"));
    enclose(
        None,
        &quote! {
            #[automatically_derived]
            impl<#state> #emitted_by for #ident
            where
                #(#state: #runtime::Applies<#types>,)*
            {
                fn event_types(into: &mut ::std::vec::Vec<#runtime::MessageType>) {
                    #(#event_types(into);)*
                }
                fn emit(self, events: &mut #runtime::EventSink) {
                    match self { #(#emit)* }
                }
            }
            #[automatically_derived]
            impl #upcast_output for #ident {
                fn shapes(into: &mut ::std::vec::Vec<#runtime::MessageType>) {
                    #(#shapes(into);)*
                }
                fn upcast_into(self, events: &mut #runtime::UpcastSink) {
                    match self { #(#upcast)* }
                }
            }
        },
    )
}

fn arms(events: &EventsEnum, implemented: &TokenStream, function: &str) -> Vec<TokenStream> {
    let rest = (events.broken || events.variants.is_empty()).then(|| quote!(_ => ::core::unreachable!(),));
    events
        .variants
        .iter()
        .map(|EventsVariant { ident, field, event, boxed }| {
            let function = function_of(event, implemented, function);
            let value = if *boxed { quote!(*event) } else { quote!(event) };
            quote!(Self::#ident { #field: event } => #function(#value, events),)
        })
        .chain(rest)
        .collect()
}
