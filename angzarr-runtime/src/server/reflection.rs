//! What callers can ask about: services, and every message that is known here.
//!
//! In: the descriptors of the contract and of the program's own protos. Out: reflection, in both versions that tools speak.
//! Never: a service that this server does not offer.

use angzarr_proto as proto;
use tonic_reflection::server::{Builder, v1, v1alpha};

use super::builder::OFFERED;
use super::error::{ServeError, whole_text};
use crate::Runtime;

/// Both of them.
pub(super) fn services(
    runtime: &Runtime,
) -> Result<
    (
        v1::ServerReflectionServer<impl v1::ServerReflection>,
        v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>,
    ),
    ServeError,
> {
    let failed = |error: tonic_reflection::server::Error| ServeError::Reflection { message: whole_text(&error) };
    Ok((described(runtime).build_v1().map_err(failed)?, described(runtime).build_v1alpha().map_err(failed)?))
}

fn described(runtime: &Runtime) -> Builder<'static> {
    let mut builder = Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection")
        .with_service_name("grpc.reflection.v1alpha.ServerReflection");
    // What travels in an `Any`: without it tools cannot show or write payloads.
    for descriptors in &runtime.registry().proto_descriptors {
        builder = builder.register_encoded_file_descriptor_set(descriptors.file_descriptor_set);
    }
    OFFERED.into_iter().fold(builder, |builder, name| builder.with_service_name(name))
}
