/// A customer's account.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Account {
    #[prost(int64, tag = "1")]
    pub balance: i64,
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
    impl ::angzarr_runtime::__private::Domain for Account {
        const DOMAIN: &'static str = "account";
    }
    use ::angzarr_runtime::__private::ProbeFallback as _;
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::AggregateDescriptor = ::angzarr_runtime::__private::AggregateDescriptor {
        domain: "account",
        name: "Account",
        state: ::core::any::TypeId::of::<Account>,
        snapshot: ::core::option::Option::Some(::angzarr_runtime::__private::SnapshotPolicy {
            every: 50,
            codec: ::angzarr_runtime::__private::prost_codec::<Account>(),
        }),
        state_version: 2,
        state_message: ::angzarr_runtime::__private::Probe::<Account>::NAME,
        new_state: ::angzarr_runtime::__private::new_state::<Account>,
        clone_state: ::angzarr_runtime::__private::Probe::<Account>::CLONE,
        debug_state: ::angzarr_runtime::__private::Probe::<Account>::DEBUG,
        doc: "A customer's account.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 4u32,
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
impl Account {
    /// Must see the current balance.
    fn withdraw<'a>(
        &'a self,
        cmd: Withdraw,
        ctx: &'a CommandContext<'a>,
    ) -> Result<(Withdrawn, Option<Vec<Noted>>), Refusal> {
        decide(self, cmd, ctx)
    }
    #[cfg(feature = "points")]
    fn touch(&self, _: &Touch) -> Result<(), Rejection> {
        Ok(())
    }
    fn withdrawn(&mut self, e: Withdrawn) {
        self.balance -= e.amount;
    }
    fn helper(&self) {}
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
        method: "withdraw",
        command: ::angzarr_runtime::__private::MessageType::of::<Withdraw>(),
        merge: ::core::option::Option::Some(
            ::angzarr_runtime::__private::MergeStrategy::Strict,
        ),
        emits: angzarr_emits,
        decide: ::angzarr_runtime::__private::decide_erased::<Account, Withdraw>,
        doc: "Must see the current balance.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 13u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {
        <Withdrawn as ::angzarr_runtime::__private::EmittedBy<
            Account,
        >>::event_types(into);
        <Noted as ::angzarr_runtime::__private::EmittedBy<Account>>::event_types(into);
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Accepts<Withdraw> for Account {}
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Handles<Withdraw> for Account {
        fn handler() -> &'static ::angzarr_runtime::__private::CommandHandlerDescriptor {
            &ANGZARR_DESCRIPTOR
        }
        fn decide(
            &self,
            command: Withdraw,
            context: &::angzarr_runtime::__private::CommandContext<'_>,
            events: &mut ::angzarr_runtime::__private::EventSink,
        ) -> ::core::result::Result<(), ::angzarr_runtime::__private::Rejection> {
            match <Account>::withdraw(
                self,
                command,
                <&'_ CommandContext<
                    '_,
                > as ::angzarr_runtime::__private::TakesContext<_>>::take(context),
            ) {
                ::core::result::Result::Ok(returned) => {
                    let (returned_0, returned_1) = returned;
                    <Withdrawn as ::angzarr_runtime::__private::EmittedBy<
                        Account,
                    >>::emit(returned_0, events);
                    if let ::core::option::Option::Some(returned_1) = returned_1 {
                        for returned_1 in returned_1 {
                            <Noted as ::angzarr_runtime::__private::EmittedBy<
                                Account,
                            >>::emit(returned_1, events);
                        }
                    }
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
#[cfg(feature = "points")]
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
        method: "touch",
        command: ::angzarr_runtime::__private::MessageType::of::<Touch>(),
        merge: ::core::option::Option::None,
        emits: angzarr_emits,
        decide: ::angzarr_runtime::__private::decide_erased::<Account, Touch>,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 19u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_emits(
        into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
    ) {}
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Accepts<Touch> for Account {}
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Handles<Touch> for Account {
        fn handler() -> &'static ::angzarr_runtime::__private::CommandHandlerDescriptor {
            &ANGZARR_DESCRIPTOR
        }
        fn decide(
            &self,
            command: Touch,
            context: &::angzarr_runtime::__private::CommandContext<'_>,
            events: &mut ::angzarr_runtime::__private::EventSink,
        ) -> ::core::result::Result<(), ::angzarr_runtime::__private::Rejection> {
            match <Account>::touch(self, &command) {
                ::core::result::Result::Ok(returned) => {
                    let () = returned;
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
        method: "withdrawn",
        event: ::angzarr_runtime::__private::MessageType::of::<Withdrawn>(),
        apply: ::angzarr_runtime::__private::apply_encoded::<Account, Withdrawn>,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 24u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::Applies<Withdrawn> for Account {
        fn event_name() -> ::angzarr_runtime::__private::Name {
            static ANGZARR_NAME: ::angzarr_runtime::__private::NameCell = ::angzarr_runtime::__private::NameCell::new();
            ANGZARR_NAME.get(ANGZARR_DESCRIPTOR.event)
        }
        fn apply(&mut self, event: Withdrawn) {
            <Account>::withdrawn(self, event);
        }
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredApply(& ANGZARR_DESCRIPTOR)
    }
};
