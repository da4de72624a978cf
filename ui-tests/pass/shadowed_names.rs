//! Names of the prelude and of the runtime's traits, used for something else.

#![allow(dead_code, unused_macros)]

use angzarr_runtime::{CommandContext, EventContext, Message, Rejection, aggregate, projector, saga, upcaster};
use angzarr_ui_tests::{run, start};

struct Option;
struct Some;
struct None;
struct Vec;
struct String;
struct Box;
struct Send;
struct Sync;
struct Clone;
struct Iterator;
struct Result;
#[allow(non_snake_case)]
fn Ok() {}
#[allow(non_snake_case)]
fn Err() {}
fn drop() {}
macro_rules! unreachable { () => { compile_error!("mine") } }
macro_rules! assert { ($($x:tt)*) => { compile_error!("mine") } }
mod core {}
mod std {}
mod prost {}
mod inventory {}
mod angzarr_runtime_ {}

/// A message that is called like a container.
mod messages {
    use angzarr_runtime::prost;
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Vec {}
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct DESCRIPTOR {}
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Oldest {}
    angzarr_runtime::name_messages!("shadowed": Vec, DESCRIPTOR, Oldest);
}

#[aggregate(domain = "shadow", snapshot(off))]
#[derive(::core::default::Default)]
struct Shadow {
    count: u32,
}

#[aggregate]
impl Shadow {
    #[handler]
    fn handler(&self, command: messages::Vec) -> ::core::result::Result<messages::DESCRIPTOR, Rejection> {
        let _ = command;
        ::core::result::Result::Ok(messages::DESCRIPTOR {})
    }

    #[apply]
    fn apply(&mut self, events: messages::DESCRIPTOR) {
        let _ = events;
        self.count += 1;
    }

    #[handler]
    fn decide(&self, context: messages::DESCRIPTOR, ctx: &CommandContext<'_>) -> ::core::result::Result<::core::option::Option<messages::DESCRIPTOR>, Rejection> {
        let (_, _) = (context, ctx);
        ::core::result::Result::Ok(::core::option::Option::None)
    }

    fn command(&self) {}
    fn descriptor(&self) {}
    fn event_name(&self) {}
    fn emit(&self) {}
}

#[saga(name = "shadow", from = Shadow)]
fn react(event: messages::DESCRIPTOR) -> ::std::vec::Vec<::angzarr_runtime::AnyCommand> {
    let _ = event;
    ::std::vec::Vec::new()
}

#[projector(name = "shadows", domains = [Shadow])]
struct HANDLER {
    read_model: u32,
    instance: ::std::string::String,
}

#[projector]
impl HANDLER {
    #[handler]
    async fn project(&self, payload: messages::DESCRIPTOR, ctx: &EventContext) -> ::core::result::Result<(), ::angzarr_runtime::ProjectionError> {
        let (_, _) = (payload, ctx);
        ::core::result::Result::Ok(())
    }
}

#[upcaster(from = 1, event = "shadowed.DESCRIPTOR")]
fn upcast(payload: messages::Vec) -> messages::Oldest {
    let _ = payload;
    messages::Oldest {}
}

fn is_message<M: Message>() {}

/// Functions that are called as generated code might call its variables.
#[upcaster(from = 2, event = "shadowed.DESCRIPTOR")]
fn old(returned: messages::Oldest) -> messages::DESCRIPTOR {
    let _ = returned;
    messages::DESCRIPTOR {}
}

#[saga(name = "instance", from = Shadow)]
fn instance(event: messages::DESCRIPTOR) -> ::std::vec::Vec<::angzarr_runtime::AnyCommand> {
    react(event)
}

#[saga(name = "event", from = Shadow)]
fn event(payload: messages::DESCRIPTOR) -> ::std::vec::Vec<::angzarr_runtime::AnyCommand> {
    react(payload)
}

fn main() {
    is_message::<messages::Vec>();
    run(async {
        let projector = HANDLER { read_model: 0, instance: ::core::default::Default::default() };
        let runtime = start(::angzarr_runtime::Runtime::builder().with(projector)).await;
        let id = ::angzarr_runtime::Uuid::new_v4();
        runtime.send::<Shadow>(id, messages::Vec {}).await.unwrap();
        runtime.send::<Shadow>(id, messages::DESCRIPTOR {}).await.unwrap();
        ::std::assert_eq!(runtime.state::<Shadow>(id).await.unwrap().count, 1);
    });
}
