//! The shop as a tool: `check`, `docs`, `streams`, `show`, `state`, `dead-letters`, `rebuild`, `config`. It looks at `shop.db`.

use std::path::Path;
use std::process::ExitCode;

use angzarr_runtime::{Builder, Local, Runtime, Sqlite, cli};
use shop::Report;

#[tokio::main]
async fn main() -> ExitCode {
    match described() {
        Ok(builder) => cli::run(builder).await,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A look leaves nothing behind: where there is no store, no report is made either.
fn described() -> Result<Builder, angzarr_runtime::rusqlite::Error> {
    let db = Path::new("shop.db");
    if db.exists() {
        return shop::builder(db);
    }
    Ok(Runtime::builder().storage(Sqlite::open(db)).transport(Local::new()).with(Report::in_memory()?))
}
