//! Every way that an order can go, each cascade error mode, and a restart in the middle.

#![allow(missing_docs)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use angzarr_runtime::dead_letter::{DeadLetter, DeadLetterFilter};
use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::ManualClock;
use shop::pb::*;
use shop::{Checkout, Inventory, Order, Payment, Report, ReportLine, Status, stock_root};

/// What is told on the test's own thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Shop {
    runtime: Runtime,
    clock: ManualClock,
    report: SqliteReadModel,
}

impl Shop {
    async fn in_memory() -> Self {
        let (report, clock) = (Report::in_memory().expect("the schema"), ManualClock::new());
        let model = report.model().clone();
        let runtime = Runtime::builder().with(report).clock(clock.clone()).build().await.expect("it starts");
        Self { runtime, clock, report: model }
    }

    async fn at(db: &Path, clock: &ManualClock) -> Self {
        let runtime = shop::builder(db).expect("the report").clock(clock.clone()).build().await.expect("it starts");
        let report = Report::open(&shop::report_file(db)).expect("the report").model().clone();
        Self { runtime, clock: clock.clone(), report }
    }

    async fn restock(&self, sku: &str, quantity: u32) {
        self.runtime.send::<Inventory>(stock_root(sku), Restock { quantity }).await.expect("it is taken");
    }

    async fn choose(&self, id: u128, method: Method) -> Uuid {
        let order = Uuid::from_u128(id);
        let choose = ChooseMethod { method: method.into(), limit: 10_000 };
        self.runtime.send::<Payment>(order, choose).await.expect("it is taken");
        order
    }

    async fn place(&self, id: u128, method: Method, lines: &[(&str, u32, i64)]) -> Uuid {
        let order = self.choose(id, method).await;
        self.runtime.send::<Order>(order, wanted(lines)).correlation(order.to_string()).await.expect("it is taken");
        order
    }

    async fn placed(&self, id: u128, method: Method, lines: &[(&str, u32, i64)]) -> Uuid {
        let order = self.place(id, method, lines).await;
        self.runtime.settled().await;
        order
    }

    async fn cascade(
        &self,
        id: u128,
        lines: &[(&str, u32, i64)],
        mode: CascadeErrorMode,
    ) -> (Uuid, Result<Receipt, Error>) {
        let order = self.choose(id, Method::Card).await;
        let answer = self
            .runtime
            .send::<Order>(order, wanted(lines))
            .correlation(order.to_string())
            .sync(SyncMode::Cascade)
            .cascade_error_mode(mode)
            .await;
        (order, answer)
    }

    async fn order(&self, order: Uuid) -> Order {
        self.runtime.state::<Order>(order).await.expect("a state").into_state()
    }
    async fn payment(&self, order: Uuid) -> Payment {
        self.runtime.state::<Payment>(order).await.expect("a state").into_state()
    }
    async fn stock(&self, sku: &str) -> Inventory {
        self.runtime.state::<Inventory>(stock_root(sku)).await.expect("a state").into_state()
    }
    async fn checkout(&self, order: Uuid) -> Checkout {
        self.runtime.process::<Checkout>(&order.to_string()).await.expect("a state").into_state()
    }

    /// Types of the events that one workflow left in a domain, in order.
    async fn told(&self, order: Uuid, domain: &str) -> Vec<String> {
        use angzarr_runtime::proto::EventPageExt as _;
        let books = self.runtime.books_by_correlation(&order.to_string()).await.expect("books");
        let of_domain = books.iter().filter(|book| book.cover.as_ref().is_some_and(|cover| cover.domain == domain));
        let events = of_domain.flat_map(|book| &book.pages).filter_map(|page| page.event());
        events.map(|event| event.type_url.rsplit(['/', '.']).next().unwrap_or_default().to_owned()).collect()
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        self.runtime.dead_letters().list(&DeadLetterFilter::default()).await.expect("a list")
    }

    async fn reported(&self, order: Uuid) -> ReportLine {
        let lines = self.report.query(ReportLine::all).await.expect("the report");
        lines.into_iter().find(|line| line.order == order.to_string()).expect("a line")
    }
}

fn wanted(lines: &[(&str, u32, i64)]) -> PlaceOrder {
    let lines =
        lines.iter().map(|(sku, quantity, price)| Line { sku: (*sku).into(), quantity: *quantity, price: *price });
    PlaceOrder { customer: "Ada".into(), lines: lines.collect() }
}

#[tokio::test]
async fn p1_an_order_is_reserved_paid_and_confirmed() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let order = shop.placed(1, Method::Card, &[("book", 2, 1_250)]).await;
    assert_eq!(shop.order(order).await.status(), Status::Confirmed);
    assert_eq!(shop.payment(order).await.taken, 2_500);
    let stock = shop.stock("book").await;
    assert_eq!((stock.free, stock.kept.get(&order.to_string())), (3, Some(&2)));
    let checkout = shop.checkout(order).await;
    assert!(checkout.paid && checkout.cancelled.is_empty(), "{checkout:?}");
    let told = shop.told(order, "checkout").await;
    assert!(told.ends_with(&["Paid".to_owned(), "ProcessManagerCompleted".to_owned()]), "{told:?}");
    let line = shop.reported(order).await;
    assert_eq!((line.status.as_str(), line.total, line.paid, line.missing), ("confirmed", 2_500, 2_500, 0));
    assert!(shop.letters().await.is_empty());
    // Row P5: a timeout that was taken back does not fire, however late it gets.
    shop.clock.advance(Duration::from_secs(3_600));
    shop.runtime.settled().await;
    assert_eq!(shop.told(order, "checkout").await, told);
    shop.runtime.shutdown().await.expect("it ends");
}

#[tokio::test]
async fn p2_an_order_without_correlation_id_has_no_checkout() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let lines = Lines::default();
    let writer = lines.clone();
    let listener = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone());
    let _listening = tracing::subscriber::set_default(listener.finish());
    let order = shop.choose(1, Method::Card).await;
    shop.runtime.send::<Order>(order, wanted(&[("book", 2, 1_250)])).await.expect("it is taken");
    shop.runtime.settled().await;
    assert_eq!(shop.order(order).await.status(), Status::Placed);
    assert_eq!((shop.payment(order).await.taken, shop.stock("book").await.free), (0, 3));
    let statuses = shop.runtime.subscriptions();
    let checkout = statuses.iter().find(|status| status.name == "checkout").expect("its status");
    assert_eq!((checkout.skipped, checkout.ignored), (2, 0), "the order and its article");
    // One hint, however many there are.
    let told = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("text");
    let count = |level| told.lines().filter(|line| line.contains(level) && line.contains("event skipped")).count();
    assert_eq!((count(" INFO "), count("DEBUG ")), (1, 1), "{told}");
}

#[tokio::test]
async fn k2_an_article_that_is_not_there_is_backordered() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    shop.restock("lamp", 1).await;
    let order = shop.placed(1, Method::Card, &[("book", 1, 1_250), ("lamp", 2, 4_000)]).await;
    let state = shop.order(order).await;
    assert_eq!((state.status(), state.backordered.as_slice()), (Status::Confirmed, &["lamp".to_owned()][..]));
    assert_eq!((shop.stock("book").await.free, shop.stock("lamp").await.free), (4, 1));
    assert_eq!(shop.reported(order).await.missing, 1);
    assert!(shop.letters().await.is_empty(), "somebody answered");
}

#[tokio::test]
async fn p6_a_payment_that_is_refused_gives_everything_back() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let order = shop.placed(1, Method::Card, &[("book", 2, 90_000), ("lamp", 1, 1)]).await;
    let state = shop.order(order).await;
    assert_eq!((state.status(), state.backordered.as_slice()), (Status::Cancelled, &["lamp".to_owned()][..]));
    let stock = shop.stock("book").await;
    assert_eq!((stock.free, stock.kept.len()), (5, 0));
    let told = shop.told(order, "checkout").await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("ProcessManagerCompleted"),
        "every article has answered: {told:?}"
    );
    assert_eq!(told.iter().filter(|event| *event == "CheckoutCancelled").count(), 1);
    assert!(shop.checkout(order).await.cancelled.starts_with("declined: "));
    assert_eq!(shop.reported(order).await.status, "cancelled");
    assert!(shop.letters().await.is_empty());
}

#[tokio::test]
async fn p5_a_payment_that_is_late_cancels_the_order_at_its_time() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let order = shop.placed(1, Method::Transfer, &[("book", 2, 1_250)]).await;
    shop.clock.advance(Duration::from_secs(899));
    shop.runtime.settled().await;
    assert_eq!((shop.order(order).await.status(), shop.stock("book").await.free), (Status::Placed, 3));
    shop.clock.advance(Duration::from_secs(1));
    shop.runtime.settled().await;
    assert_eq!((shop.order(order).await.status(), shop.stock("book").await.free), (Status::Cancelled, 5));
    assert!(shop.payment(order).await.cancelled);
    assert_eq!(shop.checkout(order).await.cancelled, "not paid in time");

    let arrived = MoneyArrived { amount: 2_500 };
    let told = shop.runtime.fact::<Payment, _>(order, arrived).external_id("t1").await.expect("it is recorded");
    assert_eq!((told.events_of::<PaymentTaken>().count(), told.events_of::<PaymentRefunded>().count()), (0, 1));
    shop.runtime.settled().await;
    assert_eq!(shop.reported(order).await.paid, 0);
    assert!(shop.letters().await.is_empty());
}

#[tokio::test]
async fn f2_a_transfer_in_time_counts_once() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let order = shop.placed(1, Method::Transfer, &[("book", 2, 1_250)]).await;
    for repeat in [false, true] {
        let fact = shop.runtime.fact::<Payment, _>(order, MoneyArrived { amount: 2_500 });
        let told = fact.external_id("t1").correlation(order.to_string()).await.expect("it is recorded");
        assert_eq!((told.already_processed(), told.events_of::<PaymentTaken>().count()), (repeat, 1));
    }
    shop.runtime.settled().await;
    assert_eq!(shop.order(order).await.status(), Status::Confirmed);
    shop.clock.advance(Duration::from_secs(3_600));
    shop.runtime.settled().await;
    assert_eq!(shop.order(order).await.status(), Status::Confirmed);
    assert_eq!(shop.reported(order).await.paid, 2_500);
}

/// The order was called off by hand while the customer paid: the order refuses the money, and the payment gives it back.
#[tokio::test]
async fn k2_money_for_an_order_that_is_off_goes_back() {
    let shop = Shop::in_memory().await;
    let order = shop.placed(1, Method::Transfer, &[("book", 2, 1_250)]).await;
    let off = CancelOrder { reason: "changed my mind".into() };
    shop.runtime.send::<Order>(order, off).await.expect("it is taken");
    let fact = shop.runtime.fact::<Payment, _>(order, MoneyArrived { amount: 2_500 });
    fact.external_id("t1").correlation(order.to_string()).await.expect("it is recorded");
    shop.runtime.settled().await;
    assert_eq!((shop.order(order).await.status(), shop.payment(order).await.taken), (Status::Cancelled, 0));
    assert_eq!(shop.reported(order).await.paid, 0);
    assert!(shop.letters().await.is_empty());
}

#[tokio::test]
async fn f3_a_parcel_is_delivered_whatever_the_shop_thinks() {
    let shop = Shop::in_memory().await;
    let order = shop.placed(1, Method::Card, &[("book", 1, 1_250)]).await;
    let parcel = ParcelDelivered { carrier: "Swift".into(), signed_by: "Ada".into() };
    let told = shop.runtime.fact::<Order, _>(order, parcel).external_id("s1").await.expect("it is recorded");
    assert_eq!(told.events_of::<OrderDelivered>().count(), 1);
    shop.runtime.settled().await;
    assert_eq!(shop.order(order).await.status(), Status::Delivered);
    assert_eq!(shop.reported(order).await.status, "delivered");
}

#[tokio::test]
async fn s4_a_cascade_answers_when_everything_is_done() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let (order, answer) = shop.cascade(1, &[("book", 2, 1_250)], CascadeErrorMode::FailFast).await;
    let receipt = answer.expect("it succeeds");
    assert!(receipt.missing().is_empty() && receipt.cascade_errors().is_empty(), "{receipt:?}");
    // No waiting here: it is all done.
    assert_eq!((shop.order(order).await.status(), shop.stock("book").await.free), (Status::Confirmed, 3));
    let line = shop.reported(order).await;
    assert_eq!((line.status.as_str(), line.paid), ("confirmed", 2_500));
}

#[tokio::test]
async fn e1_fail_fast_tells_the_first_failure_and_effects_stay() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let (order, answer) = shop.cascade(1, &[("book", 2, 90_000)], CascadeErrorMode::FailFast).await;
    let Err(Error::Cascade(failed)) = answer else { panic!("{answer:?}") };
    assert!(failed.failures[0].message.contains("declined"), "{failed}");
    assert_eq!((failed.failures[0].component.as_str(), failed.events.len(), failed.compensated), ("checkout", 1, 0));
    shop.runtime.settled().await;
    assert_eq!((shop.order(order).await.status(), shop.stock("book").await.free), (Status::Cancelled, 5), "row E5");
}

#[tokio::test]
async fn e2_continue_succeeds_and_lists_what_failed() {
    let shop = Shop::in_memory().await;
    let (order, answer) = shop.cascade(1, &[("book", 2, 90_000), ("lamp", 1, 1)], CascadeErrorMode::Continue).await;
    let receipt = answer.expect("it succeeds");
    let failures: Vec<_> = receipt.cascade_errors().iter().map(|failure| failure.component.as_str()).collect();
    let count = |component| failures.iter().filter(|it| **it == component).count();
    assert_eq!((count("reserve-stock"), count("checkout"), failures.len()), (2, 1, 3), "{failures:?}");
    shop.runtime.settled().await;
    let state = shop.order(order).await;
    assert_eq!((state.status(), state.backordered.len()), (Status::Cancelled, 2), "row E5");
    assert!(shop.letters().await.is_empty());
}

#[tokio::test]
async fn e3_compensate_undoes_what_had_succeeded() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let (order, answer) = shop.cascade(1, &[("book", 2, 1_250), ("lamp", 1, 1)], CascadeErrorMode::Compensate).await;
    let Err(Error::Cascade(failed)) = answer else { panic!("{answer:?}") };
    assert!(failed.failures.iter().any(|failure| failure.message.contains("out_of_stock")), "{failed}");
    assert_eq!(failed.compensated, 3, "book, payment, confirmation: {failed}");
    shop.runtime.settled().await;
    let (state, payment, stock) = (shop.order(order).await, shop.payment(order).await, shop.stock("book").await);
    assert_eq!((state.status(), payment.taken, payment.cancelled), (Status::Cancelled, 0, true));
    assert_eq!((stock.free, stock.kept.len()), (5, 0));
    let line = shop.reported(order).await;
    assert_eq!((line.status.as_str(), line.paid), ("cancelled", 0));
    let count = async |domain, name: &str| shop.told(order, domain).await.iter().filter(|it| *it == name).count();
    assert_eq!(count("payment", "PaymentRefunded").await, 1);
    assert_eq!(count("inventory", "StockReleased").await, 1);
    assert!(shop.letters().await.is_empty());
}

#[tokio::test]
async fn e4_dead_letter_keeps_the_failure_and_the_rest_runs() {
    let shop = Shop::in_memory().await;
    shop.restock("book", 5).await;
    let (order, answer) = shop.cascade(1, &[("book", 2, 1_250), ("lamp", 1, 1)], CascadeErrorMode::DeadLetter).await;
    let receipt = answer.expect("it succeeds");
    assert!(receipt.cascade_errors().is_empty());
    let letters = shop.letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].domain(), "inventory");
    shop.runtime.settled().await;
    let state = shop.order(order).await;
    assert_eq!((state.status(), state.backordered.as_slice()), (Status::Confirmed, &["lamp".to_owned()][..]));
    assert_eq!(shop.letters().await.len(), 1);
}

/// Rows R1, P5: the process ends at any moment after the order is acknowledged, and the next one ends the story.
#[tokio::test]
async fn r1_a_shop_that_stops_in_the_middle_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (db, clock) = (directory.path().join("shop.db"), ManualClock::new());
    let mut orders = Vec::new();
    for id in 1..=8 {
        let shop = Shop::at(&db, &clock).await;
        shop.restock("book", 2).await;
        let method = if id % 2 == 0 { Method::Card } else { Method::Transfer };
        // Nobody waits for what follows: the shop closes at once.
        orders.push(shop.place(id, method, &[("book", 2, 1_250), ("lamp", 1, 100)]).await);
        shop.runtime.shutdown().await.expect("it ends");
    }
    // Everything in time that was under way; whoever pays by transfer has not paid yet.
    let shop = Shop::at(&db, &clock).await;
    shop.runtime.settled().await;
    for (index, order) in orders.iter().enumerate() {
        let wanted = if index % 2 == 1 { Status::Confirmed } else { Status::Placed };
        assert_eq!(shop.order(*order).await.status(), wanted, "{order}");
    }
    shop.runtime.shutdown().await.expect("it ends");
    // The time passes while the shop is closed.
    clock.advance(Duration::from_secs(901));
    let shop = Shop::at(&db, &clock).await;
    shop.runtime.settled().await;
    for (index, order) in orders.iter().enumerate() {
        let wanted = if index % 2 == 1 { Status::Confirmed } else { Status::Cancelled };
        let state = shop.order(*order).await;
        assert_eq!((state.status(), state.backordered.len()), (wanted, 1), "{order}");
        let told = shop.told(*order, "checkout").await;
        let ends = told.iter().filter(|event| *event == "ProcessManagerCompleted").count();
        assert_eq!(ends, 1, "{told:?}");
        let paid = if wanted == Status::Confirmed { 2_600 } else { 0 };
        assert_eq!((shop.payment(*order).await.taken, shop.reported(*order).await.paid), (paid, paid));
    }
    let stock = shop.stock("book").await;
    assert_eq!((stock.free, stock.kept.len()), (8, 4));
    assert!(shop.letters().await.is_empty());
    shop.runtime.shutdown().await.expect("it ends");
}

/// Row J3: the report can be made anew.
#[tokio::test]
async fn j3_the_report_is_rebuilt() {
    let directory = tempfile::tempdir().expect("a directory");
    let shop = Shop::at(&directory.path().join("shop.db"), &ManualClock::new()).await;
    let order = shop.placed(1, Method::Card, &[("book", 1, 1_250)]).await;
    let before = shop.reported(order).await;
    shop.runtime.rebuild("report").await.expect("it is rebuilt");
    assert_eq!(shop.reported(order).await, before);
    shop.runtime.shutdown().await.expect("it ends");
}
