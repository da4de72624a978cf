//! Tells what a shop can live through, in plain lines, and ends.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use angzarr_runtime::Builder;
use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::ManualClock;
use clap::Parser;
use shop::pb::*;
use shop::{Inventory, Order, Payment, Report, ReportLine, euros, report_file, stock_root};

/// A shop: orders, stock, payments, and what happens when something is refused, late or missing.
#[derive(Parser)]
struct Arguments {
    /// Where events are kept; the report stands beside it. Without it, where the configuration says (`ANGZARR_STORAGE`), or in a
    /// directory that goes away.
    #[arg(long)]
    db: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir()?;
    let db = arguments.db.as_ref().map_or_else(|| directory.path().join("shop.db"), Clone::clone);
    let builder = shop::builder(&db)?.configure();
    // What was chosen on the command line wins over the configuration.
    let builder = if arguments.db.is_some() { builder.storage(Sqlite::open(&db)) } else { builder };
    match tell(&db, builder).await {
        // `shop | head`: the reader has seen enough.
        Err(error) if is_closed_pipe(error.as_ref()) => Ok(()),
        told => told,
    }
}

fn is_closed_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// `println!` would panic when nobody reads any more.
fn say(line: impl AsRef<str>) -> io::Result<()> {
    writeln!(io::stdout(), "{}", line.as_ref())
}

async fn tell(db: &Path, builder: Builder) -> Result<(), Box<dyn Error>> {
    // The story moves the clock on: nobody wants to wait a quarter of an hour for it.
    let clock = ManualClock::at(SystemTime::now());
    let runtime = builder.clock(clock.clone()).build().await?;
    let shop = Shop { runtime: runtime.clone(), clock };
    let told = async {
        shop.everything_is_well().await?;
        shop.out_of_stock().await?;
        shop.card_declined().await?;
        shop.late_transfer().await?;
        shop.cascades().await
    }
    .await;
    runtime.shutdown().await?;
    told?;

    say("\nThe report:")?;
    let report = Report::open(&report_file(db))?;
    for ReportLine { customer, status, total, paid, missing, .. } in report.model().query(ReportLine::all).await? {
        let missing = if missing > 0 { format!("  {missing} article missing") } else { String::new() };
        say(format!("  {customer:<8}{status:<11}{:>10}  paid {:>10}{missing}", euros(total), euros(paid)))?;
    }
    Ok(())
}

struct Shop {
    runtime: Runtime,
    clock: ManualClock,
}

fn line(sku: &str, quantity: u32, price: i64) -> Line {
    Line { sku: sku.into(), quantity, price }
}

impl Shop {
    async fn everything_is_well(&self) -> Result<(), Box<dyn Error>> {
        say("Everything is well")?;
        self.runtime.send::<Inventory>(stock_root("book"), Restock { quantity: 10 }).await?;
        let order = self.new_order(Method::Card, 10_000).await?;
        let receipt = self
            .runtime
            .send::<Order>(order, place("Ada", [line("book", 2, 1_250)]))
            .correlation(order.to_string())
            .sync(SyncMode::Cascade)
            .await?;
        for seen in receipt.projections_of::<OrderReport>("report") {
            say(format!("  placed: {} for {}", seen.customer, euros(seen.total)))?;
        }
        say(format!("  the answer comes when all is done: {}", self.order(order).await?))?;
        let parcel = ParcelDelivered { carrier: "Swift".into(), signed_by: "Ada".into() };
        for _ in 0..2 {
            let told = self
                .runtime
                .fact::<Order, _>(order, parcel.clone())
                .external_id("swift-4711")
                .correlation(order.to_string())
                .await?;
            let news = if told.already_processed() { "was known already" } else { "is news" };
            say(format!("  the carrier says the parcel is delivered: that {news}"))?;
        }
        say(format!("  {}", self.order(order).await?))?;
        Ok(())
    }

    async fn out_of_stock(&self) -> Result<(), Box<dyn Error>> {
        say("\nAn article is missing")?;
        let order = self.placed("Bob", Method::Card, [line("book", 1, 1_250), line("lamp", 1, 4_000)]).await?;
        say(format!("  {}", self.order(order).await?))?;
        Ok(())
    }

    async fn card_declined(&self) -> Result<(), Box<dyn Error>> {
        say("\nThe card is declined")?;
        let before = self.free("book").await?;
        let order = self.placed("Cleo", Method::Card, [line("book", 3, 90_000)]).await?;
        say(format!("  {}", self.order(order).await?))?;
        say(format!("  books that are free: {} fewer than before", before - self.free("book").await?))?;
        Ok(())
    }

    async fn late_transfer(&self) -> Result<(), Box<dyn Error>> {
        say("\nThe transfer is late")?;
        let order = self.placed("Dan", Method::Transfer, [line("book", 1, 1_250)]).await?;
        say(format!("  {}", self.order(order).await?))?;
        self.clock.advance(Duration::from_secs(16 * 60));
        self.runtime.settled().await;
        say(format!("  16 minutes later: {}", self.order(order).await?))?;
        let arrived =
            self.runtime.fact::<Payment, _>(order, MoneyArrived { amount: 1_250 }).external_id("transfer-1").await?;
        for back in arrived.events_of::<PaymentRefunded>() {
            say(format!("  then the bank says {} came in: it goes back, {}", euros(back.amount), back.reason))?;
        }
        Ok(())
    }

    async fn cascades(&self) -> Result<(), Box<dyn Error>> {
        say("\nOrders of a lamp that is not there, answered when all is done")?;
        for (customer, mode) in [
            ("Eve", CascadeErrorMode::FailFast),
            ("Fay", CascadeErrorMode::Continue),
            ("Gus", CascadeErrorMode::Compensate),
            ("Hal", CascadeErrorMode::DeadLetter),
        ] {
            let order = self.new_order(Method::Card, 10_000).await?;
            let answer = self
                .runtime
                .send::<Order>(order, place(customer, [line("lamp", 1, 4_000)]))
                .correlation(order.to_string())
                .sync(SyncMode::Cascade)
                .cascade_error_mode(mode)
                .await;
            match answer {
                Ok(receipt) => {
                    say(format!("  {mode:?}: accepted, {} failures told", receipt.cascade_errors().len()))?;
                    for failure in receipt.cascade_errors() {
                        say(format!("    {}: {}", failure.component, failure.message))?;
                    }
                }
                Err(angzarr_runtime::Error::Cascade(failed)) => {
                    let failure = failed.failures.first().map_or("", |failure| failure.message.as_str());
                    say(format!("  {mode:?}: failed, {failure}; compensated {}", failed.compensated))?;
                }
                Err(error) => return Err(error.into()),
            }
            self.runtime.settled().await;
            say(format!("    {}", self.order(order).await?))?;
        }
        let letters =
            self.runtime.dead_letters().list(&angzarr_runtime::dead_letter::DeadLetterFilter::default()).await?;
        say(format!("  dead letters: {}", letters.len()))?;
        Ok(())
    }

    /// An order that can be paid.
    async fn new_order(&self, method: Method, limit: i64) -> angzarr_runtime::Result<Uuid> {
        let order = Uuid::new_v4();
        let choose = ChooseMethod { method: method.into(), limit };
        self.runtime.send::<Payment>(order, choose).correlation(order.to_string()).await?;
        Ok(order)
    }

    /// An order that is placed, and all that follows from it by itself.
    async fn placed<const N: usize>(
        &self,
        customer: &str,
        method: Method,
        lines: [Line; N],
    ) -> angzarr_runtime::Result<Uuid> {
        let order = self.new_order(method, 10_000).await?;
        self.runtime.send::<Order>(order, place(customer, lines)).correlation(order.to_string()).await?;
        self.runtime.settled().await;
        Ok(order)
    }

    /// How an order stands, said in one line.
    async fn order(&self, order: Uuid) -> angzarr_runtime::Result<String> {
        let (state, payment) = tokio::try_join!(async { self.runtime.state::<Order>(order).await }, async {
            self.runtime.state::<Payment>(order).await
        })?;
        let missing = match state.backordered.as_slice() {
            [] => String::new(),
            missing => format!(", backordered: {}", missing.join(", ")),
        };
        Ok(format!("the order is {:?}{missing}; {} are paid", state.status(), euros(payment.taken)).to_lowercase())
    }

    async fn free(&self, sku: &str) -> angzarr_runtime::Result<u32> {
        Ok(self.runtime.state::<Inventory>(stock_root(sku)).await?.free)
    }
}

fn place<const N: usize>(customer: &str, lines: [Line; N]) -> PlaceOrder {
    PlaceOrder { customer: customer.into(), lines: lines.into() }
}
