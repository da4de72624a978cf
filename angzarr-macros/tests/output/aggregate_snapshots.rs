pub struct ByDefault {}
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
    impl ::angzarr_runtime::__private::Domain for ByDefault {
        const DOMAIN: &'static str = "by-default";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "by-default",
        name: "ByDefault",
        state: ::core::any::TypeId::of::<ByDefault>,
        snapshot: ::angzarr_runtime::__private::SnapshotPolicy::default_for(
            ::angzarr_runtime::__private::Probe::<ByDefault>::PROST,
        ),
        state_version: 1,
        state_message: ::angzarr_runtime::__private::Probe::<ByDefault>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<ByDefault>,
        clone_state: ::angzarr_runtime::__private::Probe::<ByDefault>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<ByDefault>::DEBUG,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 2u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Aggregate for ByDefault {
        fn descriptor() -> &'static ::angzarr_runtime::__private::AggregateDescriptor {
            &ANGZARR_DESCRIPTOR
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredAggregate(& ANGZARR_DESCRIPTOR)
    }
};
pub struct WithSerde {}
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
    impl ::angzarr_runtime::__private::Domain for WithSerde {
        const DOMAIN: &'static str = "with-serde";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "with-serde",
        name: "WithSerde",
        state: ::core::any::TypeId::of::<WithSerde>,
        snapshot: ::core::option::Option::Some(::angzarr_runtime::__private::SnapshotPolicy {
            every: ::angzarr_runtime::__private::SnapshotPolicy::DEFAULT_EVERY,
            codec: ::angzarr_runtime::__private::serde_codec::<WithSerde>(),
        }),
        state_version: 1,
        state_message: ::angzarr_runtime::__private::Probe::<WithSerde>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<WithSerde>,
        clone_state: ::angzarr_runtime::__private::Probe::<WithSerde>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<WithSerde>::DEBUG,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 5u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Aggregate for WithSerde {
        fn descriptor() -> &'static ::angzarr_runtime::__private::AggregateDescriptor {
            &ANGZARR_DESCRIPTOR
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredAggregate(& ANGZARR_DESCRIPTOR)
    }
};
