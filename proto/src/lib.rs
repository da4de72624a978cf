//! The wire contract of Angzarr: the generated types of the protobuf package `angzarr`, and small traits that make them
//! pleasant to work with.
//!
//! ```
//! use angzarr_proto::{CommandBook, Cover, Edition, prelude::*};
//!
//! let cover = Cover::of("account", [7; 16]).with_correlation("transfer-7").with_edition("what-if");
//! assert_eq!(cover.root_bytes(), Some([7; 16]));
//! assert_eq!(cover.edition_name(), Some("what-if"));
//!
//! // Any message with a type name travels in an `Any`.
//! let book = CommandBook::single(cover, &Edition::named("bonus"));
//! let command = book.first_command().expect("one command");
//! assert_eq!(command.type_url, "type.googleapis.com/angzarr.Edition");
//! assert_eq!(command.unpack::<Edition>()?.name, "bonus");
//! # Ok::<(), angzarr_proto::UnpackError>(())
//! ```
//!
//! # Features
//! - `services`: gRPC clients and servers of every service of the contract, in modules such as
//!   `command_handler_coordinator_service_client` and `…_server`.
//! - `build`: the module `build`, which compiles your own protos from a build script with nothing installed.
#![forbid(unsafe_code)]

pub use prost;
pub use prost_types;

/// The generated types of the protobuf package `angzarr`.
#[allow(missing_docs, unreachable_pub, rustdoc::all, clippy::all)]
pub mod angzarr {
    include!(concat!(env!("OUT_DIR"), "/angzarr.rs"));
}

#[doc(no_inline)]
pub use angzarr::*;

mod any;
#[cfg(feature = "build")]
pub mod build;
mod command;
mod cover;
mod event;
mod header;
mod time;

pub use any::{AnyExt, TYPE_URL_PREFIX, UnpackError, pack, pack_as, type_name_of, type_url_of};
pub use command::{CommandBookExt, CommandPageExt};
pub use cover::{CoverExt, MAIN_TIMELINE};
pub use event::{EventBookExt, EventPageExt};
pub use header::PageHeaderExt;
pub use time::TimestampExt;

/// Every extension trait, without its name: `use angzarr_proto::prelude::*;`, or `angzarr_runtime::proto::prelude::*`.
pub mod prelude {
    pub use crate::{
        AnyExt as _, CommandBookExt as _, CommandPageExt as _, CoverExt as _, EventBookExt as _, EventPageExt as _,
        PageHeaderExt as _, TimestampExt as _,
    };
}

/// The descriptors of every file of the package and of what they import, as an encoded
/// `google.protobuf.FileDescriptorSet`. It is what gRPC reflection wants.
///
/// ```
/// use angzarr_proto::{FILE_DESCRIPTOR_SET, prost::Message, prost_types::FileDescriptorSet};
///
/// let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?;
/// assert!(set.file.iter().any(|file| file.name() == "angzarr/types.proto"));
/// # Ok::<(), angzarr_proto::prost::DecodeError>(())
/// ```
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/angzarr.descriptors.bin"));
