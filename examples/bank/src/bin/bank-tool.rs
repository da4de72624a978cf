//! The same program as a tool: `check`, `docs`, `streams`, `show`, `state`, `dead-letters`, `rebuild`, `serve`, `config`.

use std::process::ExitCode;

use angzarr_runtime::{cli, prelude::*};
use bank::Balances;

#[tokio::main]
async fn main() -> ExitCode {
    // For a look the read model is never opened; `rebuild`, `serve` and `dead-letters retry` start the program and open it.
    let pool = match sqlx::SqlitePool::connect_lazy("sqlite:balances.db") {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    cli::run(Runtime::builder().storage(Sqlite::open("bank.db")).transport(Local::new()).with(Balances { pool })).await
}
