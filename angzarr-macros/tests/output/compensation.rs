impl Order {
    /// The stock is used up.
    fn out_of_stock(
        &self,
        r: Rejected<ReserveStock>,
    ) -> Result<OrderBackordered, Revocation> {
        Ok(OrderBackordered {})
    }
    fn undeliverable(
        &self,
        r: &Rejected<Send>,
        ctx: &CommandContext,
    ) -> Result<(Noted, Option<Closed>), Failure> {
        note(r)
    }
    fn undo(&self, c: Compensate) -> Result<Vec<OrderCancelled>, Revocation> {
        Ok(Vec::new())
    }
    fn carrier_says(&self, f: ParcelDelivered, ctx: &CommandContext) -> OrderDelivered {
        OrderDelivered {}
    }
    fn bank_says(&self, f: &Booked) -> Option<Paid> {
        None
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::RejectedDescriptor = ::angzarr_runtime::__private::RejectedDescriptor {
        aggregate: ::angzarr_runtime::__private::aggregate_component::<Order>,
        method: "out_of_stock",
        command: ::angzarr_runtime::__private::MessageType::of::<
            <Rejected<
                ReserveStock,
            > as ::angzarr_runtime::__private::RejectedParameter>::Command,
        >(),
        target: ::core::option::Option::None,
        emits: angzarr_emits,
        run: angzarr_run,
        doc: "The stock is used up.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 5u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <OrderBackordered as ::angzarr_runtime::__private::EmittedBy<
            Order,
        >>::event_types(into);
    }
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        rejected: &::angzarr_runtime::__private::RejectedCommand,
        context: &::angzarr_runtime::__private::CommandContext<'_>,
        events: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::Revocation> {
        let rejected = ::angzarr_runtime::__private::decoded_rejected(
            <Rejected<
                ReserveStock,
            > as ::angzarr_runtime::__private::RejectedParameter>::decode(rejected),
            rejected,
        )?;
        match <Order>::out_of_stock(
            ::angzarr_runtime::__private::instance_of::<Order>(state),
            rejected,
        ) {
            ::core::result::Result::Ok(returned) => {
                <OrderBackordered as ::angzarr_runtime::__private::EmittedBy<
                    Order,
                >>::emit(returned, events);
                ::core::result::Result::Ok(())
            }
            ::core::result::Result::Err(angzarr_error) => {
                ::core::result::Result::Err(
                    ::angzarr_runtime::__private::IntoRevocation::into_revocation(
                        angzarr_error,
                    ),
                )
            }
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredRejected(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::RejectedDescriptor = ::angzarr_runtime::__private::RejectedDescriptor {
        aggregate: ::angzarr_runtime::__private::aggregate_component::<Order>,
        method: "undeliverable",
        command: ::angzarr_runtime::__private::MessageType::of::<
            <Rejected<Send> as ::angzarr_runtime::__private::RejectedParameter>::Command,
        >(),
        target: ::core::option::Option::Some(
            <Mail as ::angzarr_runtime::__private::Domain>::DOMAIN,
        ),
        emits: angzarr_emits,
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 10u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <Noted as ::angzarr_runtime::__private::EmittedBy<Order>>::event_types(into);
        <Closed as ::angzarr_runtime::__private::EmittedBy<Order>>::event_types(into);
    }
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        rejected: &::angzarr_runtime::__private::RejectedCommand,
        context: &::angzarr_runtime::__private::CommandContext<'_>,
        events: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::Revocation> {
        let rejected = ::angzarr_runtime::__private::decoded_rejected(
            <Rejected<
                Send,
            > as ::angzarr_runtime::__private::RejectedParameter>::decode(rejected),
            rejected,
        )?;
        match <Order>::undeliverable(
            ::angzarr_runtime::__private::instance_of::<Order>(state),
            &rejected,
            <&CommandContext as ::angzarr_runtime::__private::TakesContext<
                _,
            >>::take(context),
        ) {
            ::core::result::Result::Ok(returned) => {
                let (returned_0, returned_1) = returned;
                <Noted as ::angzarr_runtime::__private::EmittedBy<
                    Order,
                >>::emit(returned_0, events);
                if let ::core::option::Option::Some(returned_1) = returned_1 {
                    <Closed as ::angzarr_runtime::__private::EmittedBy<
                        Order,
                    >>::emit(returned_1, events);
                }
                ::core::result::Result::Ok(())
            }
            ::core::result::Result::Err(angzarr_error) => {
                ::core::result::Result::Err(
                    ::angzarr_runtime::__private::IntoRevocation::into_revocation(
                        angzarr_error,
                    ),
                )
            }
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredRejected(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::CompensateDescriptor = ::angzarr_runtime::__private::CompensateDescriptor {
        aggregate: ::angzarr_runtime::__private::aggregate_component::<Order>,
        method: "undo",
        emits: angzarr_emits,
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 15u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <OrderCancelled as ::angzarr_runtime::__private::EmittedBy<
            Order,
        >>::event_types(into);
    }
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        compensate: &::angzarr_runtime::__private::Compensate,
        context: &::angzarr_runtime::__private::CommandContext<'_>,
        events: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::Revocation> {
        let compensate = <Compensate as ::angzarr_runtime::__private::CompensateParameter>::take(
            compensate,
        );
        match <Order>::undo(
            ::angzarr_runtime::__private::instance_of::<Order>(state),
            compensate,
        ) {
            ::core::result::Result::Ok(returned) => {
                for returned in returned {
                    <OrderCancelled as ::angzarr_runtime::__private::EmittedBy<
                        Order,
                    >>::emit(returned, events);
                }
                ::core::result::Result::Ok(())
            }
            ::core::result::Result::Err(angzarr_error) => {
                ::core::result::Result::Err(
                    ::angzarr_runtime::__private::IntoRevocation::into_revocation(
                        angzarr_error,
                    ),
                )
            }
        }
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Compensates for Order {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredCompensate(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::FactDescriptor = ::angzarr_runtime::__private::FactDescriptor {
        aggregate: ::angzarr_runtime::__private::aggregate_component::<Order>,
        method: "carrier_says",
        fact: ::angzarr_runtime::__private::MessageType::of::<ParcelDelivered>(),
        emits: angzarr_emits,
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 20u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <OrderDelivered as ::angzarr_runtime::__private::EmittedBy<
            Order,
        >>::event_types(into);
    }
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        payload: &[u8],
        context: &::angzarr_runtime::__private::CommandContext<'_>,
        events: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::prost::DecodeError> {
        let fact = ::angzarr_runtime::__private::decode_message::<
            ParcelDelivered,
        >(payload)?;
        let returned = <Order>::carrier_says(
            ::angzarr_runtime::__private::instance_of::<Order>(state),
            fact,
            <&CommandContext as ::angzarr_runtime::__private::TakesContext<
                _,
            >>::take(context),
        );
        <OrderDelivered as ::angzarr_runtime::__private::EmittedBy<
            Order,
        >>::emit(returned, events);
        ::core::result::Result::Ok(())
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::TakesFact<ParcelDelivered> for Order {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredFact(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::FactDescriptor = ::angzarr_runtime::__private::FactDescriptor {
        aggregate: ::angzarr_runtime::__private::aggregate_component::<Order>,
        method: "bank_says",
        fact: ::angzarr_runtime::__private::MessageType::of::<Booked>(),
        emits: angzarr_emits,
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 25u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <Paid as ::angzarr_runtime::__private::EmittedBy<Order>>::event_types(into);
    }
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        payload: &[u8],
        context: &::angzarr_runtime::__private::CommandContext<'_>,
        events: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::prost::DecodeError> {
        let fact = ::angzarr_runtime::__private::decode_message::<Booked>(payload)?;
        let returned = <Order>::bank_says(
            ::angzarr_runtime::__private::instance_of::<Order>(state),
            &fact,
        );
        if let ::core::option::Option::Some(returned) = returned {
            <Paid as ::angzarr_runtime::__private::EmittedBy<
                Order,
            >>::emit(returned, events);
        }
        ::core::result::Result::Ok(())
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::TakesFact<Booked> for Order {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredFact(& ANGZARR_DESCRIPTOR)
    }
};
