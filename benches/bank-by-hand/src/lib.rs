//! The domain, for the tool. The crate has the targets that `examples/bank` has, so that both are as much work.

#[path = "main.rs"]
#[allow(dead_code)] // its `main`
mod program;

pub use program::{Account, Balances, pb};
