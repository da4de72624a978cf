//! The domain of the bank, for its tool and its tests. The program itself is one file, as the README shows it.

#[path = "main.rs"]
#[allow(dead_code)] // its `main`
mod program;

pub use program::{Account, Balances, pb};
