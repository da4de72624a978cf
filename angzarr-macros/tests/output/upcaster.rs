/// V1 had one `name`; V2 has `first_name` and `last_name`.
fn split_name(old: OwnerRegisteredV1) -> OwnerRegistered {
    split(old)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::UpcasterDescriptor = ::angzarr_runtime::__private::UpcasterDescriptor {
        function: "split_name",
        from: 1,
        event: ::core::option::Option::None,
        input: ::angzarr_runtime::__private::MessageType::of::<OwnerRegisteredV1>(),
        outputs: angzarr_outputs,
        upcast: angzarr_upcast,
        doc: "V1 had one `name`; V2 has `first_name` and `last_name`.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 3u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_outputs(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <OwnerRegistered as ::angzarr_runtime::__private::UpcastOutput>::shapes(into);
    }
    fn angzarr_upcast(
        payload: &[u8],
        sink: &mut ::angzarr_runtime::__private::UpcastSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::prost::DecodeError> {
        let old = ::angzarr_runtime::__private::decode_message::<
            OwnerRegisteredV1,
        >(payload)?;
        let returned = split_name(old);
        <OwnerRegistered as ::angzarr_runtime::__private::UpcastOutput>::upcast_into(
            returned,
            sink,
        );
        ::core::result::Result::Ok(())
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredUpcaster(& ANGZARR_DESCRIPTOR)
    }
};
fn split_event(old: OwnerRegisteredV2) -> Option<(Registered, Vec<Named>)> {
    None
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::UpcasterDescriptor = ::angzarr_runtime::__private::UpcasterDescriptor {
        function: "split_event",
        from: 2,
        event: ::core::option::Option::Some("bank.OwnerRegistered"),
        input: ::angzarr_runtime::__private::MessageType::of::<OwnerRegisteredV2>(),
        outputs: angzarr_outputs,
        upcast: angzarr_upcast,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 8u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_outputs(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <Registered as ::angzarr_runtime::__private::UpcastOutput>::shapes(into);
        <Named as ::angzarr_runtime::__private::UpcastOutput>::shapes(into);
    }
    fn angzarr_upcast(
        payload: &[u8],
        sink: &mut ::angzarr_runtime::__private::UpcastSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::prost::DecodeError> {
        let old = ::angzarr_runtime::__private::decode_message::<
            OwnerRegisteredV2,
        >(payload)?;
        let returned = split_event(old);
        if let ::core::option::Option::Some(returned) = returned {
            let (returned_0, returned_1) = returned;
            <Registered as ::angzarr_runtime::__private::UpcastOutput>::upcast_into(
                returned_0,
                sink,
            );
            for returned_1 in returned_1 {
                <Named as ::angzarr_runtime::__private::UpcastOutput>::upcast_into(
                    returned_1,
                    sink,
                );
            }
        }
        ::core::result::Result::Ok(())
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredUpcaster(& ANGZARR_DESCRIPTOR)
    }
};
