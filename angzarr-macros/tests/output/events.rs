pub enum Outcome {
    Opened(AccountOpened),
    Refused { event: Box<pb::OpeningRefused> },
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
    impl<AngzarrState> ::angzarr_runtime::__private::EmittedBy<AngzarrState> for Outcome
    where
        AngzarrState: ::angzarr_runtime::__private::Applies<AccountOpened>,
        AngzarrState: ::angzarr_runtime::__private::Applies<pb::OpeningRefused>,
    {
        fn event_types(
            into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
        ) {
            <AccountOpened as ::angzarr_runtime::__private::EmittedBy<
                AngzarrState,
            >>::event_types(into);
            <pb::OpeningRefused as ::angzarr_runtime::__private::EmittedBy<
                AngzarrState,
            >>::event_types(into);
        }
        fn emit(self, events: &mut ::angzarr_runtime::__private::EventSink) {
            match self {
                Self::Opened { 0: event } => {
                    <AccountOpened as ::angzarr_runtime::__private::EmittedBy<
                        AngzarrState,
                    >>::emit(event, events)
                }
                Self::Refused { event: event } => {
                    <pb::OpeningRefused as ::angzarr_runtime::__private::EmittedBy<
                        AngzarrState,
                    >>::emit(*event, events)
                }
            }
        }
    }
    #[automatically_derived]
    impl ::angzarr_runtime::__private::UpcastOutput for Outcome {
        fn shapes(
            into: &mut ::std::vec::Vec<::angzarr_runtime::__private::MessageType>,
        ) {
            <AccountOpened as ::angzarr_runtime::__private::UpcastOutput>::shapes(into);
            <pb::OpeningRefused as ::angzarr_runtime::__private::UpcastOutput>::shapes(
                into,
            );
        }
        fn upcast_into(self, events: &mut ::angzarr_runtime::__private::UpcastSink) {
            match self {
                Self::Opened { 0: event } => {
                    <AccountOpened as ::angzarr_runtime::__private::UpcastOutput>::upcast_into(
                        event,
                        events,
                    )
                }
                Self::Refused { event: event } => {
                    <pb::OpeningRefused as ::angzarr_runtime::__private::UpcastOutput>::upcast_into(
                        *event,
                        events,
                    )
                }
            }
        }
    }
};
