//! Asks at compile time what a type can do, without asking the user to say it.
//!
//! Generated code names a concrete type, so an inherent constant (with bounds) wins over a trait's constant (without):
//! `Probe::<Account>::CLONE` is `Some` exactly when `Account: Clone`, and `None` by the trait otherwise.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use super::{SnapshotCodec, State};
use crate::reaction::{ErasedReadModel, ReadModel, erase_read_model};

/// Takes a field as the projector's read model.
pub type ToReadModel<T> = fn(&T) -> Arc<dyn ErasedReadModel>;

/// See the module.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<T>);

impl<T: Clone + Send + Sync + 'static> Probe<T> {
    /// Copies a state.
    pub const CLONE: Option<fn(&dyn Any) -> State> = Some(clone_state::<T>);
}
impl<T: std::fmt::Debug + 'static> Probe<T> {
    /// Shows a state.
    pub const DEBUG: Option<fn(&dyn Any) -> String> = Some(debug_state::<T>);
}
impl<T: prost::Message + Default + Send + Sync + 'static> Probe<T> {
    /// Encodes a state as the protobuf message that it is.
    pub const PROST: Option<SnapshotCodec> = Some(prost_codec::<T>());
}
impl<T: prost::Name> Probe<T> {
    /// Full protobuf name.
    pub const NAME: Option<fn() -> String> = Some(T::full_name);
}
impl<T: ReadModel + Clone> Probe<T> {
    /// Takes a field as the projector's read model.
    pub const READ_MODEL: Option<ToReadModel<T>> = Some(erase_read_model::<T>);
}

/// The answer where the inherent constants of [`Probe`] do not apply.
pub trait ProbeFallback<T> {
    /// Not `Clone`.
    const CLONE: Option<fn(&dyn Any) -> State> = None;
    /// Not `Debug`.
    const DEBUG: Option<fn(&dyn Any) -> String> = None;
    /// No protobuf message.
    const PROST: Option<SnapshotCodec> = None;
    /// No name in protobuf.
    const NAME: Option<fn() -> String> = None;
    /// No read model.
    const READ_MODEL: Option<ToReadModel<T>> = None;
}
impl<T> ProbeFallback<T> for Probe<T> {}

fn clone_state<T: Clone + Send + Sync + 'static>(state: &dyn Any) -> State {
    match state.downcast_ref::<T>() {
        Some(state) => Box::new(state.clone()),
        None => unreachable!("the registry pairs states and their functions by type"),
    }
}

fn debug_state<T: std::fmt::Debug + 'static>(state: &dyn Any) -> String {
    state.downcast_ref::<T>().map_or_else(String::new, |state| format!("{state:#?}"))
}

/// A state that is a protobuf message can be stored as a snapshot.
#[diagnostic::on_unimplemented(
    message = "`snapshot(…)` cannot store `{Self}`: it is not a protobuf message",
    label = "not a protobuf message",
    note = "derive `prost::Message` for the state, or derive serde's `Serialize` and `Deserialize` and write `snapshot(every = …, codec = Serde)`"
)]
pub trait ProstState: prost::Message + Default + Send + Sync + 'static {}
impl<T: prost::Message + Default + Send + Sync + 'static> ProstState for T {}

/// A state that serde can store as a snapshot.
#[diagnostic::on_unimplemented(
    message = "`codec = Serde` cannot store `{Self}`: it does not implement serde's `Serialize` and `Deserialize`",
    label = "not serialisable",
    note = "derive `serde::Serialize` and `serde::Deserialize` for the state"
)]
pub trait SerdeState: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {}
impl<T: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static> SerdeState for T {}

/// Snapshots of a state that is a protobuf message.
pub const fn prost_codec<T: ProstState>() -> SnapshotCodec {
    SnapshotCodec {
        name: "prost",
        encode: |state| match state.downcast_ref::<T>() {
            Some(state) => Ok(state.encode_to_vec()),
            None => Err("the state is of another type".into()),
        },
        decode: |bytes| match T::decode(bytes) {
            Ok(state) => Ok(Box::new(state)),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// Snapshots of a state that serde can write, as JSON.
pub const fn serde_codec<T: SerdeState>() -> SnapshotCodec {
    SnapshotCodec {
        name: "serde",
        encode: |state| match state.downcast_ref::<T>() {
            Some(state) => serde_json::to_vec(state).map_err(|error| error.to_string()),
            None => Err("the state is of another type".into()),
        },
        decode: |bytes| match serde_json::from_slice::<T>(bytes) {
            Ok(state) => Ok(Box::new(state)),
            Err(error) => Err(error.to_string()),
        },
    }
}
