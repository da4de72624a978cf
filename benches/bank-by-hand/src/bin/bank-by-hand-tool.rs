//! The same program as a tool: `check`, `docs`, `streams`, `show`, `state`, `config`.

use std::process::ExitCode;

use angzarr_runtime::{cli, prelude::*};
use bank_by_hand::Balances;

#[tokio::main]
async fn main() -> ExitCode {
    // The tool runs no component: the read model is never opened.
    let pool = match sqlx::SqlitePool::connect_lazy("sqlite:balances.db") {
        Ok(pool) => pool,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    cli::run(Runtime::builder().storage(Sqlite::open("bank.db")).transport(Local::new()).with(Balances { pool })).await
}
