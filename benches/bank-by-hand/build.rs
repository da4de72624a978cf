//! Compiles the messages of `examples/bank`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    angzarr_proto::build::compile(&["../../examples/bank/proto/bank.proto"], &["../../examples/bank/proto"])?;
    Ok(())
}
