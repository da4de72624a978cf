impl pb::AccountState {
    fn opened(&mut self, e: &pb::Opened) {
        self.open = true;
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
    impl ::angzarr_runtime::__private::Domain for pb::AccountState {
        const DOMAIN: &'static str = "account";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "account",
        name: "AccountState",
        state: ::core::any::TypeId::of::<pb::AccountState>,
        snapshot: ::core::option::Option::None,
        state_version: 1,
        state_message: ::angzarr_runtime::__private::Probe::<pb::AccountState>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<pb::AccountState>,
        clone_state: ::angzarr_runtime::__private::Probe::<pb::AccountState>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<pb::AccountState>::DEBUG,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 2u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Aggregate for pb::AccountState {
        fn descriptor() -> &'static ::angzarr_runtime::__private::AggregateDescriptor {
            &ANGZARR_DESCRIPTOR
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredAggregate(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ApplyDescriptor = ::angzarr_runtime::__private::ApplyDescriptor {
        aggregate: <pb::AccountState as ::angzarr_runtime::__private::Aggregate>::descriptor,
        method: "opened",
        event: ::angzarr_runtime::__private::MessageType::of::<pb::Opened>(),
        apply: ::angzarr_runtime::__private::apply_encoded::<
            pb::AccountState,
            pb::Opened,
        >,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 4u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Applies<pb::Opened> for pb::AccountState {
        fn event_name() -> ::angzarr_runtime::__private::Name {
            static ANGZARR_NAME: ::angzarr_runtime::__private::NameCell = ::angzarr_runtime::__private::NameCell::new();
            ANGZARR_NAME.get(ANGZARR_DESCRIPTOR.event)
        }
        fn apply(&mut self, event: pb::Opened) {
            <pb::AccountState>::opened(self, &event);
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredApply(& ANGZARR_DESCRIPTOR)
    }
};
