//! A process manager among names of the prelude that mean something else, and one in a crate that calls the runtime by
//! another name.

#![allow(dead_code, unused_macros)]

use angzarr_runtime::declare::RegisteredTimeout;
use angzarr_runtime::{Domain as _, aggregate, process_manager};
use angzarr_ui_renamed::Patience;

struct Option;
struct Some;
struct None;
struct Vec;
struct String;
struct Box;
struct Result;
struct EventSink;
struct ReactionError;
struct Domain;
struct Aggregate;
#[allow(non_snake_case)]
fn Ok() {}
#[allow(non_snake_case)]
fn Err() {}
macro_rules! unreachable { () => { compile_error!("mine") } }
mod core {}
mod std {}
mod prost {}
mod inventory {}

mod messages {
    use angzarr_runtime::prost;
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Vec {}
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Compensate {}
    angzarr_runtime::name_messages!("shadowed": Vec, Compensate);
}

#[process_manager(domain = "shadow", from = [angzarr_ui_renamed::Meter], snapshot(off))]
#[derive(::core::default::Default)]
struct Shadow {
    sink: u32,
}

#[process_manager]
impl Shadow {
    #[angzarr_runtime::handler]
    fn hand_over(&self, sink: messages::Vec, ctx: &::angzarr_runtime::EventContext) -> ::angzarr_runtime::Reaction {
        let (_, _) = (sink, ctx);
        ::angzarr_runtime::Reaction::new().event(messages::Vec {})
    }

    #[angzarr_runtime::timeout("state")]
    fn timeout(&self, context: &::angzarr_runtime::EventContext) -> ::core::option::Option<::angzarr_runtime::Reaction> {
        let _ = context;
        ::core::option::Option::None
    }

    #[angzarr_runtime::rejected]
    fn rejected(
        &self,
        rejected: ::angzarr_runtime::Rejected<messages::Compensate>,
    ) -> ::core::result::Result<::angzarr_runtime::Reaction, ::angzarr_runtime::ReactionError> {
        let _ = rejected;
        ::core::result::Result::Ok(::angzarr_runtime::Reaction::new())
    }

    #[angzarr_runtime::apply]
    fn apply(&mut self, event: messages::Vec) {
        let _ = event;
        self.sink += 1;
    }

    fn event(&self) {}
    fn descriptor(&self) {}
}

#[aggregate(domain = "dark", snapshot(off))]
#[derive(::core::default::Default)]
struct Dark;

#[aggregate]
impl Dark {
    #[angzarr_runtime::compensate]
    fn compensate(&self, compensate: ::angzarr_runtime::Compensate) -> ::core::result::Result<(), ::angzarr_runtime::Revocation> {
        let _ = compensate;
        ::core::result::Result::Ok(())
    }

    #[angzarr_runtime::fact]
    fn fact(&self, fact: messages::Compensate) -> ::core::option::Option<messages::Vec> {
        let _ = fact;
        ::core::option::Option::None
    }

    #[angzarr_runtime::rejected]
    fn rejected(
        &self,
        state: ::angzarr_runtime::Rejected<messages::Vec>,
    ) -> ::core::result::Result<messages::Vec, ::angzarr_runtime::Revocation> {
        ::core::result::Result::Ok(state.into_command())
    }

    #[angzarr_runtime::apply]
    fn apply(&mut self, event: messages::Vec) {
        let _ = event;
    }
}

fn main() {
    ::std::assert_eq!(Shadow::DOMAIN, "shadow");
    ::std::assert_eq!(Patience::DOMAIN, "patience");
    let mut names: ::std::vec::Vec<_> =
        ::angzarr_runtime::inventory::iter::<RegisteredTimeout>().map(|it| it.0.name).collect();
    names.sort();
    ::std::assert_eq!(names, ["state", "too-long"]);
}
