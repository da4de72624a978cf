//! Components in other languages, behind the feature `remote`: the runtime calls the plain services of the contract.
//!
//! In: a component's name, its domains and its address, said on the builder. Out: an aggregate, saga, process manager or projector
//! that goes the way of every other one. Never: a way of its own; a remote component is asked where a local one's handler would
//! run, and everything around that is the same.

mod address;
mod client;
mod declared;
mod history;
mod question;
mod reactions;
mod timeouts;
mod upcasts;

pub use address::Remote;

pub(crate) use client::Client;
pub(crate) use declared::Declaration;
pub(crate) use question::{Answered, Instead, Question};
