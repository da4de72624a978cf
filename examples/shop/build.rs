//! Compiles the messages; nothing has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    angzarr_proto::build::compile(&["proto/shop.proto"], &["proto"])?;
    Ok(())
}
