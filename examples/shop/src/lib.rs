//! A shop: an order is placed, its articles are reserved, its payment is taken; whatever is refused or late is put right.
//!
//! The way of the data: [`order`] → [`inventory`] and [`payment`], with the [`checkout`] between them → [`report`].

pub mod checkout;
pub mod inventory;
pub mod order;
pub mod payment;
pub mod report;

/// Messages, from `proto/shop.proto`.
#[allow(missing_docs)]
pub mod pb {
    angzarr_runtime::include_proto!("shop");
}

pub use checkout::Checkout;
pub use inventory::Inventory;
pub use order::{Order, Status};
pub use payment::Payment;
pub use report::{Report, ReportLine};

use std::path::{Path, PathBuf};

use angzarr_runtime::{Builder, Local, Runtime, Sqlite, Uuid, root, rusqlite};

/// The root of an article in stock.
pub fn stock_root(sku: &str) -> Uuid {
    root("sku", sku)
}

/// Where the report of a store stands: beside it.
pub fn report_file(db: &Path) -> PathBuf {
    db.with_extension("report.db")
}

/// The shop on an SQLite file.
///
/// # Errors
/// The report's file cannot be opened.
pub fn builder(db: &Path) -> Result<Builder, rusqlite::Error> {
    let report = Report::open(&report_file(db))?;
    Ok(Runtime::builder().storage(Sqlite::open(db)).transport(Local::new()).with(report))
}

/// An amount of cents, as a person writes it.
pub fn euros(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02} €", cents.abs() / 100, cents.abs() % 100)
}
