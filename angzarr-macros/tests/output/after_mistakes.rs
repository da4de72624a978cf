pub struct Account {}
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
    impl ::angzarr_runtime::__private::Domain for Account {
        const DOMAIN: &'static str = "Account";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "Account",
        name: "Account",
        state: ::core::any::TypeId::of::<Account>,
        snapshot: ::angzarr_runtime::__private::SnapshotPolicy::default_for(
            ::angzarr_runtime::__private::Probe::<Account>::PROST,
        ),
        state_version: 1,
        state_message: ::angzarr_runtime::__private::Probe::<Account>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<Account>,
        clone_state: ::angzarr_runtime::__private::Probe::<Account>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<Account>::DEBUG,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 2u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Aggregate for Account {
        fn descriptor() -> &'static ::angzarr_runtime::__private::AggregateDescriptor {
            &ANGZARR_DESCRIPTOR
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredAggregate(& ANGZARR_DESCRIPTOR)
    }
};
::core::compile_error! {
    "`Account` cannot be a domain\n= note: names are stored with every event and travel between systems: 1 to 64 of `a-z 0-9 _ -`, starting with a letter\n= help: write a name like `\"account\"`"
}
impl Account {
    async fn open(&mut self, cmd: Open) -> Result<Opened, Rejection> {
        Ok(Opened {})
    }
    fn close(&self, cmd: Close) -> Result<Closed, Rejection> {
        Ok(Closed {})
    }
    fn opened(&self, e: Opened) -> bool {
        true
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::CommandHandlerDescriptor = ::angzarr_runtime::__private::CommandHandlerDescriptor {
        aggregate: <Account as ::angzarr_runtime::__private::Aggregate>::descriptor,
        method: "open",
        command: ::angzarr_runtime::__private::MessageType::of::<Open>(),
        merge: ::core::option::Option::None,
        emits: angzarr_emits,
        decide: ::angzarr_runtime::__private::decide_erased::<Account, Open>,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 7u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <Opened as ::angzarr_runtime::__private::EmittedBy<Account>>::event_types(into);
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Accepts<Open> for Account {}
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Handles<Open> for Account {
        fn handler() -> &'static ::angzarr_runtime::__private::CommandHandlerDescriptor {
            &ANGZARR_DESCRIPTOR
        }
        fn decide(
            &self,
            command: Open,
            context: &::angzarr_runtime::__private::CommandContext<'_>,
            events: &mut ::angzarr_runtime::__private::EventSink,
        ) -> ::core::result::Result<(), ::angzarr_runtime::__private::Rejection> {
            ::core::unreachable!()
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredCommandHandler(& ANGZARR_DESCRIPTOR)
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
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::CommandHandlerDescriptor = ::angzarr_runtime::__private::CommandHandlerDescriptor {
        aggregate: <Account as ::angzarr_runtime::__private::Aggregate>::descriptor,
        method: "close",
        command: ::angzarr_runtime::__private::MessageType::of::<Close>(),
        merge: ::core::option::Option::None,
        emits: angzarr_emits,
        decide: ::angzarr_runtime::__private::decide_erased::<Account, Close>,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 12u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <Closed as ::angzarr_runtime::__private::EmittedBy<Account>>::event_types(into);
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Accepts<Close> for Account {}
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Handles<Close> for Account {
        fn handler() -> &'static ::angzarr_runtime::__private::CommandHandlerDescriptor {
            &ANGZARR_DESCRIPTOR
        }
        fn decide(
            &self,
            command: Close,
            context: &::angzarr_runtime::__private::CommandContext<'_>,
            events: &mut ::angzarr_runtime::__private::EventSink,
        ) -> ::core::result::Result<(), ::angzarr_runtime::__private::Rejection> {
            match <Account>::close(self, command) {
                ::core::result::Result::Ok(returned) => {
                    <Closed as ::angzarr_runtime::__private::EmittedBy<
                        Account,
                    >>::emit(returned, events);
                    ::core::result::Result::Ok(())
                }
                ::core::result::Result::Err(angzarr_error) => {
                    ::core::result::Result::Err(
                        ::angzarr_runtime::__private::IntoRejection::into_rejection(
                            angzarr_error,
                        ),
                    )
                }
            }
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredCommandHandler(& ANGZARR_DESCRIPTOR)
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
        aggregate: <Account as ::angzarr_runtime::__private::Aggregate>::descriptor,
        method: "opened",
        event: ::angzarr_runtime::__private::MessageType::of::<Opened>(),
        apply: ::angzarr_runtime::__private::apply_encoded::<Account, Opened>,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 17u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Applies<Opened> for Account {
        fn event_name() -> ::angzarr_runtime::__private::Name {
            static ANGZARR_NAME: ::angzarr_runtime::__private::NameCell = ::angzarr_runtime::__private::NameCell::new();
            ANGZARR_NAME.get(ANGZARR_DESCRIPTOR.event)
        }
        fn apply(&mut self, event: Opened) {}
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredApply(& ANGZARR_DESCRIPTOR)
    }
};
::core::compile_error! {
    "a command handler looks like this:\n    fn open(&self, cmd: Open) -> Result<Opened, Rejection>\nbut `open` is `async`\n= note: the framework runs it again with fresh state after a conflict, and replays must give the same answer; it waits for nothing\n= help: remove `async`; what needs I/O belongs in a projector or in the caller"
}
::core::compile_error! {
    "`open` takes `&mut self`\n= note: a handler decides and changes nothing: its events change the state, in `#[apply]`\n= help: write `&self`"
}
::core::compile_error! {
    "an `#[apply]` looks like this:\n    fn opened(&mut self, e: Opened)\nbut `opened` takes `&self`\n= note: it folds the event into the state, so it changes the state in place\n= help: write `&mut self`"
}
::core::compile_error! {
    "`opened` returns `bool`\n= note: what happened has happened: it cannot be refused any more, and nobody takes what is returned\n= help: remove the return type; checks belong in the command's `#[handler]`"
}
