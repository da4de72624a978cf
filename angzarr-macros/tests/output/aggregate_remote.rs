/// The stock, which another process keeps.
pub struct Inventory;
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
    impl ::angzarr_runtime::__private::Domain for Inventory {
        const DOMAIN: &'static str = "inventory";
    }
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::RemoteAggregateDescriptor = ::angzarr_runtime::__private::RemoteAggregateDescriptor {
        domain: "inventory",
        name: "Inventory",
        commands: &[
            ::angzarr_runtime::__private::MessageType::of::<ReserveStock>(),
            ::angzarr_runtime::__private::MessageType::of::<pb::ReleaseStock>(),
        ],
        doc: "The stock, which another process keeps.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 3u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Accepts<ReserveStock> for Inventory {}
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Accepts<pb::ReleaseStock> for Inventory {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredRemoteAggregate(& ANGZARR_DESCRIPTOR)
    }
};
