/// How much is in each account.
pub struct Balances {
    pool: sqlx::SqlitePool,
    #[cfg(test)]
    seen: Seen,
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
    use ::angzarr_runtime::__private::ProbeFallback as _;
    fn angzarr_read_model(
        instance: &dyn ::core::any::Any,
    ) -> ::core::option::Option<
        ::angzarr_runtime::__private::Arc<
            dyn ::angzarr_runtime::__private::ErasedReadModel,
        >,
    > {
        let projector = ::angzarr_runtime::__private::instance_of::<Balances>(instance);
        if let ::core::option::Option::Some(erase) = ::angzarr_runtime::__private::Probe::<
            sqlx::SqlitePool,
        >::READ_MODEL {
            return ::core::option::Option::Some(erase(&projector.pool));
        }
        #[cfg(test)]
        if let ::core::option::Option::Some(erase) = ::angzarr_runtime::__private::Probe::<
            Seen,
        >::READ_MODEL {
            return ::core::option::Option::Some(erase(&projector.seen));
        }
        ::core::option::Option::None
    }
    const _: () = {
        let mut found = 0_u32;
        {
            found
                += ::angzarr_runtime::__private::Probe::<sqlx::SqlitePool>::READ_MODEL
                    .is_some() as u32;
        }
        #[cfg(test)]
        {
            found
                += ::angzarr_runtime::__private::Probe::<Seen>::READ_MODEL.is_some()
                    as u32;
        }
        ::core::assert!(
            found <= 1,
            "`Balances` has several fields that are read models, and the checkpoint can be kept in one only; say which one: `read_model = pool`"
        );
    };
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ProjectorDescriptor = ::angzarr_runtime::__private::ProjectorDescriptor {
        name: "balances",
        rust_name: "Balances",
        component: ::angzarr_runtime::__private::projector_component::<Balances>,
        domains: &[
            "account",
            <shop::Order as ::angzarr_runtime::__private::Domain>::DOMAIN,
        ],
        all_editions: true,
        instance: ::core::option::Option::None,
        read_model: angzarr_read_model,
        doc: "How much is in each account.",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 3u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredProjector for Balances {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProjector(& ANGZARR_DESCRIPTOR)
    }
};
impl Balances {
    async fn withdrawn(
        &self,
        e: Withdrawn,
        ctx: &EventContext,
    ) -> Result<Option<BalanceView>, ProjectionError> {
        self.write(e, ctx).await
    }
    fn opened(&self, _: Opened) -> Result<(), Failure> {
        Ok(())
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
    static ANGZARR_HANDLER: ::angzarr_runtime::__private::ProjectorHandlerDescriptor = ::angzarr_runtime::__private::ProjectorHandlerDescriptor {
        component: ::angzarr_runtime::__private::projector_component::<Balances>,
        method: "withdrawn",
        event: ::angzarr_runtime::__private::MessageType::of::<Withdrawn>(),
        live_only: false,
        project: angzarr_project,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 12u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_project<'a>(
        instance: &'a (dyn ::core::any::Any + ::core::marker::Send + ::core::marker::Sync),
        payload: &'a [u8],
        context: &'a ::angzarr_runtime::__private::EventContext,
    ) -> ::angzarr_runtime::__private::ProjectFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let event = ::angzarr_runtime::__private::decode_event::<
                Withdrawn,
            >(payload)?;
            match <Balances>::withdrawn(
                    ::angzarr_runtime::__private::instance_of::<Balances>(instance),
                    event,
                    <&EventContext as ::angzarr_runtime::__private::TakesContext<
                        _,
                    >>::take(context),
                )
                .await
            {
                ::core::result::Result::Ok(returned) => {
                    ::core::result::Result::Ok(
                        match returned {
                            ::core::option::Option::Some(returned) => {
                                <BalanceView as ::angzarr_runtime::__private::ProjectorOutput>::into_projection(
                                    returned,
                                )
                            }
                            ::core::option::Option::None => ::core::option::Option::None,
                        },
                    )
                }
                ::core::result::Result::Err(angzarr_error) => {
                    ::core::result::Result::Err(
                        ::angzarr_runtime::__private::IntoReactionError::into_reaction_error(
                            angzarr_error,
                        ),
                    )
                }
            }
        })
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProjectorHandler(& ANGZARR_HANDLER)
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
    static ANGZARR_HANDLER: ::angzarr_runtime::__private::ProjectorHandlerDescriptor = ::angzarr_runtime::__private::ProjectorHandlerDescriptor {
        component: ::angzarr_runtime::__private::projector_component::<Balances>,
        method: "opened",
        event: ::angzarr_runtime::__private::MessageType::of::<Opened>(),
        live_only: false,
        project: angzarr_project,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 17u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    fn angzarr_project<'a>(
        instance: &'a (dyn ::core::any::Any + ::core::marker::Send + ::core::marker::Sync),
        payload: &'a [u8],
        context: &'a ::angzarr_runtime::__private::EventContext,
    ) -> ::angzarr_runtime::__private::ProjectFuture<'a> {
        ::std::boxed::Box::pin(async move {
            let event = ::angzarr_runtime::__private::decode_event::<Opened>(payload)?;
            match <Balances>::opened(
                ::angzarr_runtime::__private::instance_of::<Balances>(instance),
                event,
            ) {
                ::core::result::Result::Ok(returned) => {
                    ::core::result::Result::Ok(
                        <() as ::angzarr_runtime::__private::ProjectorOutput>::into_projection(
                            returned,
                        ),
                    )
                }
                ::core::result::Result::Err(angzarr_error) => {
                    ::core::result::Result::Err(
                        ::angzarr_runtime::__private::IntoReactionError::into_reaction_error(
                            angzarr_error,
                        ),
                    )
                }
            }
        })
    }
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProjectorHandler(& ANGZARR_HANDLER)
    }
};
struct OneField {
    pool: sqlx::SqlitePool,
    other: sqlx::SqlitePool,
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
    use ::angzarr_runtime::__private::ProbeFallback as _;
    fn angzarr_read_model(
        instance: &dyn ::core::any::Any,
    ) -> ::core::option::Option<
        ::angzarr_runtime::__private::Arc<
            dyn ::angzarr_runtime::__private::ErasedReadModel,
        >,
    > {
        let projector = ::angzarr_runtime::__private::instance_of::<OneField>(instance);
        if let ::core::option::Option::Some(erase) = ::angzarr_runtime::__private::Probe::<
            sqlx::SqlitePool,
        >::READ_MODEL {
            return ::core::option::Option::Some(erase(&projector.pool));
        }
        ::core::option::Option::None
    }
    const _: () = {
        let mut found = 0_u32;
        {
            found
                += ::angzarr_runtime::__private::Probe::<sqlx::SqlitePool>::READ_MODEL
                    .is_some() as u32;
        }
        ::core::assert!(
            found == 1,
            "the field `pool` is not a read model: its type does not implement `ReadModel` and `Clone`, so it cannot keep the projector's checkpoint; name a field such as a `SqliteReadModel` or a `sqlx::SqlitePool`, or write `read_model = none`"
        );
    };
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ProjectorDescriptor = ::angzarr_runtime::__private::ProjectorDescriptor {
        name: "one-field",
        rust_name: "OneField",
        component: ::angzarr_runtime::__private::projector_component::<OneField>,
        domains: &["account"],
        all_editions: false,
        instance: ::core::option::Option::None,
        read_model: angzarr_read_model,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 23u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredProjector for OneField {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProjector(& ANGZARR_DESCRIPTOR)
    }
};
struct Unit;
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
    use ::angzarr_runtime::__private::ProbeFallback as _;
    fn angzarr_instance() -> ::angzarr_runtime::__private::Instance {
        ::angzarr_runtime::__private::Arc::new(Unit)
    }
    fn angzarr_read_model(
        instance: &dyn ::core::any::Any,
    ) -> ::core::option::Option<
        ::angzarr_runtime::__private::Arc<
            dyn ::angzarr_runtime::__private::ErasedReadModel,
        >,
    > {
        ::core::option::Option::None
    }
    static ANGZARR_DESCRIPTOR: ::angzarr_runtime::__private::ProjectorDescriptor = ::angzarr_runtime::__private::ProjectorDescriptor {
        name: "unit",
        rust_name: "Unit",
        component: ::angzarr_runtime::__private::projector_component::<Unit>,
        domains: &["account"],
        all_editions: false,
        instance: ::core::option::Option::Some(angzarr_instance),
        read_model: angzarr_read_model,
        doc: "",
        location: ::angzarr_runtime::__private::Location {
            file: ::core::file!(),
            line: 29u32,
            package: ::core::env!("CARGO_PKG_NAME"),
        },
    };
    #[automatically_derived]
    impl ::angzarr_runtime::__private::DeclaredProjector for Unit {}
    ::angzarr_runtime::__private::inventory::submit! {
        ::angzarr_runtime::__private::RegisteredProjector(& ANGZARR_DESCRIPTOR)
    }
};
