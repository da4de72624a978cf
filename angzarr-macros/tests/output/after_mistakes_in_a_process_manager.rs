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
        const DOMAIN: &'static str = "Checkout";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "Checkout",
        name: "Checkout",
        state: ::core::any::TypeId::of::<Checkout>,
        snapshot: ::angzarr_runtime::__private::SnapshotPolicy::default_for(
            ::angzarr_runtime::__private::Probe::<Checkout>::PROST,
        ),
        state_version: 1,
        state_message: ::angzarr_runtime::__private::Probe::<Checkout>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<Checkout>,
        clone_state: ::angzarr_runtime::__private::Probe::<Checkout>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<Checkout>::DEBUG,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 2u32,
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
        sources: &[],
        targets: &[],
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredProcessManager for Checkout {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessManager(& ANGZARR_PROCESS_MANAGER)
    }
};
::core::compile_error! {
    "`Checkout` cannot be a domain\n= note: names are stored with every event and travel between systems: 1 to 64 of `a-z 0-9 _ -`, starting with a letter\n= help: write a name like `\"checkout\"`"
}
::core::compile_error! {
    "`from` is empty\n= note: a process manager listens to the events of one or more aggregates, named by their types\n= help: name at least one: `from = [Order]`"
}
impl Checkout {
    async fn placed(&self, e: OrderPlaced) -> Reaction<Self> {
        Reaction::new()
    }
    fn late(&self, e: OrderPlaced) -> Reaction<Self> {
        Reaction::new()
    }
    fn refused(&self, r: Rejected<TakePayment>) -> (Reaction<Self>, Reaction<Self>) {
        (Reaction::new(), Reaction::new())
    }
    fn carrier_says(&self, f: ParcelDelivered) -> OrderDelivered {
        OrderDelivered {}
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
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 7u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_react(
        state: &dyn ::core::any::Any,
        payload: &[u8],
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        ::core::unreachable!()
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::TimeoutDescriptor = ::angzarr_runtime::__private::TimeoutDescriptor {
        component: ::angzarr_runtime::__private::process_manager_component::<Checkout>,
        method: "late",
        name: "late",
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 12u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        ::core::unreachable!()
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
        target: ::core::option::Option::None,
        run: angzarr_run,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 17u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_run(
        state: &dyn ::core::any::Any,
        rejected: &::angzarr_runtime::__private::RejectedCommand,
        context: &::angzarr_runtime::__private::EventContext,
        sink: &mut ::angzarr_runtime::__private::EventSink,
    ) -> ::core::result::Result<(), ::angzarr_runtime::__private::ReactionError> {
        ::core::unreachable!()
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProcessRejected(& ANGZARR_DESCRIPTOR)
    }
};
::core::compile_error! {
    "a process manager has no `#[fact]`\n= note: a fact is for an aggregate: what it means is stored in the aggregate's stream\n= help: put the method into an `#[aggregate] impl` block, and handle the aggregate's event here, with `#[handler]`"
}
::core::compile_error! {
    "a process manager's handler looks like this:\n    fn placed(&self, e: OrderPlaced) -> Reaction\nbut `placed` is `async`\n= note: a process manager is pure: it runs again with fresh state after a conflict or a crash, and waits for nothing\n= help: remove `async`; what needs I/O belongs in a projector or in the caller"
}
::core::compile_error! {
    "`#[timeout]` does not say its name\n= note: a timeout is scheduled and taken back by its name: `Reaction::new().timeout(\"…\", after)`\n= help: write `#[timeout(\"late\")]`, with the name that it is scheduled under"
}
::core::compile_error! {
    "a `#[timeout(…)]` looks like this:\n    fn late(&self) -> Reaction\nbut `late` takes `e : OrderPlaced`\n= note: no message comes with it: it is called with the state and, if it asks for it, the context\n= help: remove it; what it needs is in the state, time and root come from `ctx: &EventContext`"
}
::core::compile_error! {
    "a process manager's `#[rejected]` looks like this:\n    fn refused(&self, r: Rejected<TakePayment>) -> Reaction\nbut `refused` returns `(Reaction, Reaction)`\n= note: all that a process manager can do is react: own events, commands and timeouts are said in a `Reaction`\n= help: write `Reaction`, `Option<Reaction>`, or `Result<Reaction, ReactionError>`; several events or commands are added one after the other: `Reaction::new().event(…).command(…)`"
}
