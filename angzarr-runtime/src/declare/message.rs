//! Messages: what commands, events and projections are made of.

use std::any::{Any, TypeId};
use std::sync::OnceLock;

use crate::stream::Name;

/// A protobuf message with a name: every command, event and projection is one.
///
/// It is implemented for everything that derives `prost::Message` and `Clone` and has a `prost::Name`. Messages that
/// `angzarr_runtime::proto::build::compile` made from a `.proto` file have all of it; for structs written by hand,
/// [`name_messages!`](crate::name_messages) adds the name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a protobuf message with a name",
    label = "not a message",
    note = "commands, events and projections need `#[derive(Clone, PartialEq, prost::Message)]` and a protobuf name: generate them from a `.proto` file with `angzarr_runtime::proto::build::compile`, or write `angzarr_runtime::name_messages!(\"my.package\": {Self});`",
    note = "to return several events, use a tuple, `Option<…>`, `Vec<…>`, or an enum with `#[derive(angzarr_runtime::Events)]`"
)]
pub trait Message: prost::Message + prost::Name + Default + Clone + Send + Sync + 'static {}
impl<M: prost::Message + prost::Name + Default + Clone + Send + Sync + 'static> Message for M {}

/// Gives protobuf names to `prost::Message` structs that were written by hand.
///
/// ```
/// #[derive(Clone, PartialEq, prost::Message)]
/// pub struct Opened {}
/// angzarr_runtime::name_messages!("bank": Opened);
///
/// assert_eq!(<Opened as prost::Name>::full_name(), "bank.Opened");
/// ```
#[macro_export]
macro_rules! name_messages {
    ($package:literal, $($rest:tt)*) => {
        ::core::compile_error!("a colon stands between the package and its messages: write `name_messages!(\"my.package\": A, B);`");
    };
    ($package:literal: $($message:ident),+ $(,)?) => {$(
        impl $crate::prost::Name for $message {
            const NAME: &'static str = stringify!($message);
            const PACKAGE: &'static str = $package;
        }
    )+};
}

/// A message type as descriptors name it.
#[derive(Clone, Copy, Debug)]
pub struct MessageType {
    /// Its full protobuf name.
    pub full_name: fn() -> String,
    /// Its Rust type.
    pub id: fn() -> TypeId,
    /// The Rust type's path.
    pub rust_path: fn() -> &'static str,
    /// Decodes one.
    pub decode: fn(&[u8]) -> Result<AnyMessage, prost::DecodeError>,
}

/// A message without its type.
pub type AnyMessage = Box<dyn Any + Send + Sync>;

fn decode<M: Message>(payload: &[u8]) -> Result<AnyMessage, prost::DecodeError> {
    Ok(Box::new(M::decode(payload)?))
}

impl MessageType {
    /// The description of `M`.
    pub const fn of<M: Message>() -> Self {
        Self {
            full_name: <M as prost::Name>::full_name,
            id: TypeId::of::<M>,
            rust_path: std::any::type_name::<M>,
            decode: decode::<M>,
        }
    }
}

/// The name of one event type, made once per program. Generated code holds one for each `#[apply]`.
#[derive(Debug, Default)]
pub struct NameCell(OnceLock<&'static str>);

impl NameCell {
    /// An empty cell.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The full name of a message; a cell must always be asked for the same one.
    pub fn get(&self, message: MessageType) -> Name {
        // The text is leaked on purpose: once for each event type that the program was compiled with.
        Name::from_static(self.0.get_or_init(|| String::leak((message.full_name)())))
    }
}
