//! The attributes of Angzarr. Their documentation stands where users meet them: on the re-exports of `angzarr_runtime`.
//!
//! Every attribute goes the same way: `parse` turns the item into a small typed `model` (and reports what does not fit),
//! `validate` looks at the model as a whole, `expand` writes code from it. Mistakes are gathered in `diagnostics`, so
//! that one compile shows all of an item; the user's item is emitted again whatever happened.

// Models are made once for each item of the user's and dropped at once: their size does not matter.
#![allow(clippy::large_enum_variant)]

mod attribute;
mod diagnostics;
mod expand;
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod validate;

use proc_macro::TokenStream;

/// An aggregate: on the struct that is its state, and on `impl` blocks with its `#[handler]` and `#[apply]` methods.
#[proc_macro_attribute]
pub fn aggregate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::aggregate(arguments.into(), item.into()).into()
}

/// A saga: on a function, or on a struct and on `impl` blocks with its `#[handler]` methods.
#[proc_macro_attribute]
pub fn saga(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::saga(arguments.into(), item.into()).into()
}

/// A projector: on a struct, and on `impl` blocks with its `#[handler]` methods.
#[proc_macro_attribute]
pub fn projector(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::projector(arguments.into(), item.into()).into()
}

/// One step of an event's evolution: on a function from an old shape to the next.
#[proc_macro_attribute]
pub fn upcaster(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::upcaster(arguments.into(), item.into()).into()
}

/// An enum of events that a handler may return.
#[proc_macro_derive(Events)]
pub fn events(item: TokenStream) -> TokenStream {
    expand::events(item.into()).into()
}

/// A process manager: on the struct that is its state, and on `impl` blocks with its `#[handler]`, `#[timeout]`, `#[rejected]`
/// and `#[apply]` methods.
#[proc_macro_attribute]
pub fn process_manager(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::process_manager(arguments.into(), item.into()).into()
}

/// Marks a method of an `#[aggregate]`, `#[saga]`, `#[process_manager]` or `#[projector]` block that handles one command or
/// event.
///
/// In a projector, `#[handler(live_only)]` marks one whose effect must not be repeated, such as a mail: a rebuild leaves it
/// out (row J6).
#[proc_macro_attribute]
pub fn handler(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker(model::Marker::Handler, item.into()).into()
}

/// Marks a method of an `#[aggregate]` or `#[process_manager]` block that folds one event into the state.
#[proc_macro_attribute]
pub fn apply(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker(model::Marker::Apply, item.into()).into()
}

/// Marks a method of an `#[aggregate]` or `#[process_manager]` block that answers the rejection of a command.
#[proc_macro_attribute]
pub fn rejected(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker(model::Marker::Rejected, item.into()).into()
}

/// Marks the method of an `#[aggregate]` block that undoes events.
#[proc_macro_attribute]
pub fn compensate(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker(model::Marker::Compensate, item.into()).into()
}

/// Marks a method of an `#[aggregate]` block that says which events a fact means.
#[proc_macro_attribute]
pub fn fact(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker(model::Marker::Fact, item.into()).into()
}

/// Marks a method of a `#[process_manager]` block that runs when a timeout is due.
#[proc_macro_attribute]
pub fn timeout(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::stray_marker(model::Marker::Timeout, item.into()).into()
}
