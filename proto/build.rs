//! Compiles `angzarr/*.proto`, with no `protoc` installed.

use std::error::Error;
use std::path::Path;

const FILES: &[&str] = &[
    "angzarr/types.proto",
    "angzarr/command_handler.proto",
    "angzarr/query.proto",
    "angzarr/stream.proto",
    "angzarr/saga.proto",
    "angzarr/process_manager.proto",
    "angzarr/projector.proto",
    "angzarr/upcaster.proto",
    "angzarr/dlq.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=angzarr");

    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();

    // The comments have done their work once the code is generated: the exported set goes without.
    let mut exported = descriptors.clone();
    for file in &mut exported.file {
        file.source_code_info = None;
    }
    let out_dir = std::env::var("OUT_DIR")?;
    let bytes = protox::prost::Message::encode_to_vec(&exported);
    std::fs::write(Path::new(&out_dir).join("angzarr.descriptors.bin"), bytes)?;

    let mut config = prost_build::Config::new();
    config
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        // The same message has the same bytes every time.
        .btree_map(["."]);
    #[cfg(feature = "services")]
    config.service_generator(
        tonic_prost_build::configure()
            // How a channel connects is up to whoever makes one.
            .build_transport(false)
            .service_generator(),
    );
    config.compile_fds(descriptors)?;
    Ok(())
}
