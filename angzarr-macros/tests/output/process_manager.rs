/// From the order to the payment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Checkout {}
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
    impl ::angzarr_runtime::__private::Domain for Checkout {
        const DOMAIN: &'static str = "checkout";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "checkout",
        name: "Checkout",
        state: ::core::any::TypeId::of::<Checkout>,
        snapshot: ::core::option::Option::Some(::angzarr_runtime::__private::SnapshotPolicy {
            every: 50,
            codec: ::angzarr_runtime::__private::prost_codec::<Checkout>(),
        }),
        state_version: 2,
        state_message: ::angzarr_runtime::__private::Probe::<Checkout>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<Checkout>,
        clone_state: ::angzarr_runtime::__private::Probe::<Checkout>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<Checkout>::DEBUG,
        doc: "From the order to the payment.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 4u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Aggregate for Checkout {
        fn descriptor() -> &'static ::angzarr_runtime::__private::AggregateDescriptor {
            &ANGZARR_DESCRIPTOR
        }
    }
    static ANGZARR_PROCESS_MANAGER: ::angzarr_runtime::__private::ProcessManagerDescriptor = ::angzarr_runtime::__private::ProcessManagerDescriptor {
        state: &ANGZARR_DESCRIPTOR,
        sources: &[
            <Order as ::angzarr_runtime::__private::Domain>::DOMAIN,
            <payment::Payment as ::angzarr_runtime::__private::Domain>::DOMAIN,
        ],
        targets: &[<Shipping as ::angzarr_runtime::__private::Domain>::DOMAIN],
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredProcessManager for Checkout {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessManager(& ANGZARR_PROCESS_MANAGER)
    }
};
impl Checkout {
    /// The customer wants it.
    fn placed(&self, e: OrderPlaced, ctx: &EventContext) -> Reaction<Self> {
        self.start()
    }
    fn paid(&self, e: &PaymentTaken) -> Result<Option<Reaction<Self>>, Failure> {
        book(e)
    }
    fn late(&self, ctx: &EventContext) -> Option<angzarr_runtime::Reaction<Self>> {
        None
    }
    #[cfg(feature = "patience")]
    fn second(&self) -> Reaction<Self> {
        self.start()
    }
    fn refused(&self, r: Rejected<TakePayment>, ctx: &EventContext) -> Reaction<Self> {
        self.start()
    }
    fn stuck(&self, r: &Rejected<Ship>) -> Reaction<Self> {
        self.start()
    }
    fn started(&mut self, e: CheckoutStarted) {}
    fn start(&self) -> Reaction<Self> {
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ProcessHandlerDescriptor = ::angzarr_runtime::__private::ProcessHandlerDescriptor {
        component: ::angzarr_runtime::__private::process_manager_component::<Checkout>,
        method: "placed",
        event: ::angzarr_runtime::__private::MessageType::of::<OrderPlaced>(),
        react: angzarr_react,
        doc: "The customer wants it.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 10u32,
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
        let returned = <Checkout>::placed(
            ::angzarr_runtime::__private::instance_of::<Checkout>(state),
            event,
            <&EventContext as ::angzarr_runtime::__private::TakesContext<
                _,
            >>::take(context),
        );
        <Reaction<
            Checkout,
        > as ::angzarr_runtime::__private::ProcessOutput<
            Checkout,
        >>::hand_over(returned, sink)
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::ReactsTo<OrderPlaced> for Checkout {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessHandler(& ANGZARR_DESCRIPTOR)
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
        component: ::angzarr_runtime::__private::process_manager_component::<Checkout>,
        method: "paid",
        event: ::angzarr_runtime::__private::MessageType::of::<PaymentTaken>(),
        react: angzarr_react,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 15u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_react(
        state: &dyn ::core::any::Any,
        payload: &[u8],
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let event = ::angzarr_runtime::__private::decode_event::<PaymentTaken>(payload)?;
        match <Checkout>::paid(
            ::angzarr_runtime::__private::instance_of::<Checkout>(state),
            &event,
        ) {
            ::core::result::Result::Ok(returned) => {
                <Option<
                    Reaction<Checkout>,
                > as ::angzarr_runtime::__private::ProcessOutput<
                    Checkout,
                >>::hand_over(returned, sink)
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
    #[automatically_derived]
    impl ::angzarr_runtime::__private::ReactsTo<PaymentTaken> for Checkout {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessHandler(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::TimeoutDescriptor = ::angzarr_runtime::__private::TimeoutDescriptor {
        component: ::angzarr_runtime::__private::process_manager_component::<Checkout>,
        method: "late",
        name: "payment",
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 20u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let returned = <Checkout>::late(
            ::angzarr_runtime::__private::instance_of::<Checkout>(state),
            <&EventContext as ::angzarr_runtime::__private::TakesContext<
                _,
            >>::take(context),
        );
        <Option<
            angzarr_runtime::Reaction<Checkout>,
        > as ::angzarr_runtime::__private::ProcessOutput<
            Checkout,
        >>::hand_over(returned, sink)
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredTimeout(& ANGZARR_DESCRIPTOR)
    }
};
#[cfg(feature = "patience")]
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::TimeoutDescriptor = ::angzarr_runtime::__private::TimeoutDescriptor {
        component: ::angzarr_runtime::__private::process_manager_component::<Checkout>,
        method: "second",
        name: "second-reminder",
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 26u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let returned = <Checkout>::second(
            ::angzarr_runtime::__private::instance_of::<Checkout>(state),
        );
        <Reaction<
            Checkout,
        > as ::angzarr_runtime::__private::ProcessOutput<
            Checkout,
        >>::hand_over(returned, sink)
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredTimeout(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ProcessRejectedDescriptor = ::angzarr_runtime::__private::ProcessRejectedDescriptor {
        component: ::angzarr_runtime::__private::process_manager_component::<Checkout>,
        method: "refused",
        command: ::angzarr_runtime::__private::MessageType::of::<
            <Rejected<
                TakePayment,
            > as ::angzarr_runtime::__private::RejectedParameter>::Command,
        >(),
        target: ::core::option::Option::Some(
            <payment::Payment as ::angzarr_runtime::__private::Domain>::DOMAIN,
        ),
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 31u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        rejected: &::angzarr_runtime::__private::RejectedCommand,
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let rejected = ::angzarr_runtime::__private::decoded_rejected_of_process(
            <Rejected<
                TakePayment,
            > as ::angzarr_runtime::__private::RejectedParameter>::decode(rejected),
            rejected,
        )?;
        let returned = <Checkout>::refused(
            ::angzarr_runtime::__private::instance_of::<Checkout>(state),
            rejected,
            <&EventContext as ::angzarr_runtime::__private::TakesContext<
                _,
            >>::take(context),
        );
        <Reaction<
            Checkout,
        > as ::angzarr_runtime::__private::ProcessOutput<
            Checkout,
        >>::hand_over(returned, sink)
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessRejected(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ProcessRejectedDescriptor = ::angzarr_runtime::__private::ProcessRejectedDescriptor {
        component: ::angzarr_runtime::__private::process_manager_component::<Checkout>,
        method: "stuck",
        command: ::angzarr_runtime::__private::MessageType::of::<
            <Rejected<Ship> as ::angzarr_runtime::__private::RejectedParameter>::Command,
        >(),
        target: ::core::option::Option::Some("shipping"),
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 36u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        rejected: &::angzarr_runtime::__private::RejectedCommand,
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        let rejected = ::angzarr_runtime::__private::decoded_rejected_of_process(
            <Rejected<
                Ship,
            > as ::angzarr_runtime::__private::RejectedParameter>::decode(rejected),
            rejected,
        )?;
        let returned = <Checkout>::stuck(
            ::angzarr_runtime::__private::instance_of::<Checkout>(state),
            &rejected,
        );
        <Reaction<
            Checkout,
        > as ::angzarr_runtime::__private::ProcessOutput<
            Checkout,
        >>::hand_over(returned, sink)
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessRejected(& ANGZARR_DESCRIPTOR)
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
        aggregate: <Checkout as ::angzarr_runtime::__private::Aggregate>::descriptor,
        method: "started",
        event: ::angzarr_runtime::__private::MessageType::of::<CheckoutStarted>(),
        apply: ::angzarr_runtime::__private::apply_encoded::<Checkout, CheckoutStarted>,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 41u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Applies<CheckoutStarted> for Checkout {
        fn event_name() -> ::angzarr_runtime::__private::Name {
            static ANGZARR_NAME: ::angzarr_runtime::__private::NameCell = ::angzarr_runtime::__private::NameCell::new();
            ANGZARR_NAME.get(ANGZARR_DESCRIPTOR.event)
        }
        fn apply(&mut self, event: CheckoutStarted) {
            <Checkout>::started(self, event);
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredApply(& ANGZARR_DESCRIPTOR)
    }
};
