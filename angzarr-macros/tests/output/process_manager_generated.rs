impl pb::CheckoutState {
    fn placed(&self, e: OrderPlaced) -> Reaction<Self> {
        Reaction::new()
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
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Domain for pb::CheckoutState {
        const DOMAIN: &'static str = "checkout";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "checkout",
        name: "CheckoutState",
        state: ::core::any::TypeId::of::<pb::CheckoutState>,
        snapshot: ::angzarr_runtime::__private::SnapshotPolicy::default_for(
            ::angzarr_runtime::__private::Probe::<pb::CheckoutState>::PROST,
        ),
        state_version: 1,
        state_message: ::angzarr_runtime::__private::Probe::<pb::CheckoutState>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<pb::CheckoutState>,
        clone_state: ::angzarr_runtime::__private::Probe::<pb::CheckoutState>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<pb::CheckoutState>::DEBUG,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 2u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Aggregate for pb::CheckoutState {
        fn descriptor() -> &'static ::angzarr_runtime::__private::AggregateDescriptor {
            &ANGZARR_DESCRIPTOR
        }
    }
    static ANGZARR_PROCESS_MANAGER: ::angzarr_runtime::__private::ProcessManagerDescriptor = ::angzarr_runtime::__private::ProcessManagerDescriptor {
        state: &ANGZARR_DESCRIPTOR,
        sources: &[<Order as ::angzarr_runtime::__private::Domain>::DOMAIN],
        targets: &[],
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredProcessManager for pb::CheckoutState {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessManager(& ANGZARR_PROCESS_MANAGER)
    }
};
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ProcessHandlerDescriptor = ::angzarr_runtime::__private::ProcessHandlerDescriptor {
        component: ::angzarr_runtime::__private::process_manager_component::<
            pb::CheckoutState,
        >,
        method: "placed",
        event: ::angzarr_runtime::__private::MessageType::of::<OrderPlaced>(),
        react: angzarr_react,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 4u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_react(
        state: &dyn ::core::any::Any,
        payload: &[u8],
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let event = ::angzarr_runtime::__private::decode_event::<OrderPlaced>(payload)?;
        let returned = <pb::CheckoutState>::placed(
            ::angzarr_runtime::__private::instance_of::<pb::CheckoutState>(state),
            event,
        );
        <Reaction<
            pb::CheckoutState,
        > as ::angzarr_runtime::__private::ProcessOutput<
            pb::CheckoutState,
        >>::hand_over(returned, sink)
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::ReactsTo<OrderPlaced> for pb::CheckoutState {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessHandler(& ANGZARR_DESCRIPTOR)
    }
};
