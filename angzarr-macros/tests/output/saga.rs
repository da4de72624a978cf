/// Keeps goods for what was ordered.
fn reserve_stock(e: OrderPlaced, ctx: &EventContext) -> Vec<Command<Inventory>> {
    Vec::new()
}
#[allow(
    clippy::all,
    clippy::pedantic,
    deprecated,
    elided_lifetimes_in_paths,
    missing_docs,
    unreachable_code,
    unused,
    unused_qualifications
)]
const _: () = {
    struct AngzarrSagaFunction;
    fn angzarr_instance() -> ::angzarr_runtime::__private::Instance {
        ::angzarr_runtime::__private::Arc::new(AngzarrSagaFunction)
    }
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::SagaDescriptor = ::angzarr_runtime::__private::SagaDescriptor {
        name: "reserve-stock",
        rust_name: "reserve_stock",
        component: ::angzarr_runtime::__private::saga_component::<AngzarrSagaFunction>,
        domain: <Order as ::angzarr_runtime::__private::Domain>::DOMAIN,
        instance: ::core::option::Option::Some(angzarr_instance),
        doc: "Keeps goods for what was ordered.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 3u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredSaga for AngzarrSagaFunction {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredSaga(& ANGZARR_DESCRIPTOR)
    }
    static ANGZARR_HANDLER: ::angzarr_runtime::__private::SagaHandlerDescriptor = ::angzarr_runtime::__private::SagaHandlerDescriptor {
        component: ::angzarr_runtime::__private::saga_component::<AngzarrSagaFunction>,
        method: "reserve_stock",
        event: ::angzarr_runtime::__private::MessageType::of::<OrderPlaced>(),
        targets: angzarr_targets,
        react: angzarr_react,
        doc: "Keeps goods for what was ordered.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 3u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_targets(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::Target>,
    ) {
        <Command<Inventory> as ::angzarr_runtime::__private::SagaOutput>::targets(into);
    }
    fn angzarr_react(
        instance: &dyn ::core::any::Any,
        payload: &[u8],
        context: &::angzarr_runtime::__private::EventContext,
        commands: &mut ::angzarr_runtime::__private::Emissions,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let event = ::angzarr_runtime::__private::decode_event::<OrderPlaced>(payload)?;
        let returned = reserve_stock(
            event,
            <&EventContext as ::angzarr_runtime::__private::TakesContext<
                _,
            >>::take(context),
        );
        for returned in returned {
            <Command<
                Inventory,
            > as ::angzarr_runtime::__private::SagaOutput>::collect(returned, commands)?;
        }
        ::core::result::Result::Ok(())
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredSagaHandler(& ANGZARR_HANDLER)
    }
};
pub struct Notify;
#[allow(
    clippy::all,
    clippy::pedantic,
    deprecated,
    elided_lifetimes_in_paths,
    missing_docs,
    unreachable_code,
    unused,
    unused_qualifications
)]
const _: () = {
    fn angzarr_instance() -> ::angzarr_runtime::__private::Instance {
        ::angzarr_runtime::__private::Arc::new(Notify)
    }
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::SagaDescriptor = ::angzarr_runtime::__private::SagaDescriptor {
        name: "notify",
        rust_name: "Notify",
        component: ::angzarr_runtime::__private::saga_component::<Notify>,
        domain: <shop::Order as ::angzarr_runtime::__private::Domain>::DOMAIN,
        instance: ::core::option::Option::Some(angzarr_instance),
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 8u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredSaga for Notify {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredSaga(& ANGZARR_DESCRIPTOR)
    }
};
impl Notify {
    fn placed(
        &self,
        e: &OrderPlaced,
    ) -> Result<(Command<Mail>, Option<AnyCommand>), Failure> {
        mail(e)
    }
}
#[allow(
    clippy::all,
    clippy::pedantic,
    deprecated,
    elided_lifetimes_in_paths,
    missing_docs,
    unreachable_code,
    unused,
    unused_qualifications
)]
const _: () = {
    static ANGZARR_HANDLER: ::angzarr_runtime::__private::SagaHandlerDescriptor = ::angzarr_runtime::__private::SagaHandlerDescriptor {
        component: ::angzarr_runtime::__private::saga_component::<Notify>,
        method: "placed",
        event: ::angzarr_runtime::__private::MessageType::of::<OrderPlaced>(),
        targets: angzarr_targets,
        react: angzarr_react,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 13u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_targets(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::Target>,
    ) {
        <Command<Mail> as ::angzarr_runtime::__private::SagaOutput>::targets(into);
        <AnyCommand as ::angzarr_runtime::__private::SagaOutput>::targets(into);
    }
    fn angzarr_react(
        instance: &dyn ::core::any::Any,
        payload: &[u8],
        context: &::angzarr_runtime::__private::EventContext,
        commands: &mut ::angzarr_runtime::__private::Emissions,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let event = ::angzarr_runtime::__private::decode_event::<OrderPlaced>(payload)?;
        match <Notify>::placed(
            ::angzarr_runtime::__private::instance_of::<Notify>(instance),
            &event,
        ) {
            ::core::result::Result::Ok(returned) => {
                let (returned_0, returned_1) = returned;
                <Command<
                    Mail,
                > as ::angzarr_runtime::__private::SagaOutput>::collect(
                    returned_0,
                    commands,
                )?;
                if let ::core::option::Option::Some(returned_1) = returned_1 {
                    <AnyCommand as ::angzarr_runtime::__private::SagaOutput>::collect(
                        returned_1,
                        commands,
                    )?;
                }
                ::core::result::Result::Ok(())
            }
            ::core::result::Result::Err(angzarr_error) => {
                ::core::result::Result::Err(
                    ::angzarr_runtime::__private::IntoReactionError::into_reaction_error(
                        angzarr_error,
                    ),
                )
            }
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredSagaHandler(& ANGZARR_HANDLER)
    }
};
