//! Orders, stock, payments, and what is between them, said in scenarios.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::Scenario;
use shop::pb::*;
use shop::{Checkout, Inventory, Order, Payment, Report, Status, stock_root};

angzarr_runtime::wiring_test!("order", "inventory", "payment", "checkout");

fn lines() -> Vec<Line> {
    vec![Line { sku: "book".into(), quantity: 2, price: 1_250 }, Line { sku: "lamp".into(), quantity: 1, price: 4_000 }]
}

fn placed() -> OrderPlaced {
    OrderPlaced { customer: "Ada".into(), lines: lines(), total: 6_500 }
}

#[test]
fn an_order_is_placed_once_and_not_empty() {
    let place = |lines| PlaceOrder { customer: "Ada".into(), lines };
    Scenario::<Order>::given(())
        .when(place(lines()))
        .then(placed())
        .and_when(place(lines()))
        .then_rejected("already_placed");
    Scenario::<Order>::given(()).when(place(Vec::new())).then_rejected("empty_order");
    Scenario::<Order>::given(()).when(place([lines(), lines()].concat())).then_rejected("two_lines");
    let nothing = Line { quantity: 0, ..lines()[0].clone() };
    Scenario::<Order>::given(()).when(place(vec![nothing])).then_rejected("no_quantity");
}

#[test]
fn an_order_that_is_off_takes_no_money() {
    let off = OrderCancelled { reason: "late".into() };
    Scenario::<Order>::given((placed(), off)).when(ConfirmOrder {}).then_rejected("cancelled");
    Scenario::<Order>::given(placed())
        .when(ConfirmOrder {})
        .then(OrderConfirmed {})
        .then_state(|order| order.status() == Status::Confirmed)
        .and_when(ConfirmOrder {})
        .then_nothing();
    let delivered = OrderDelivered { carrier: "Swift".into(), signed_by: "Ada".into() };
    Scenario::<Order>::given((placed(), delivered))
        .when(CancelOrder { reason: "late".into() })
        .then_rejected("delivered");
}

#[test]
fn no_more_is_kept_than_there_is() {
    Scenario::<Inventory>::given(StockAdded { quantity: 3 })
        .when(ReserveStock { quantity: 2 })
        .then(StockReserved { quantity: 2, holder: String::new() })
        .then_state(|stock| stock.free == 1)
        .and_when(ReserveStock { quantity: 2 })
        .then_rejected("out_of_stock")
        .and_when(ReleaseStock { quantity: 9 })
        .then(StockReleased { quantity: 2, holder: String::new() })
        .then_state(|stock| (stock.free, stock.kept.len()) == (3, 0))
        .and_when(ReleaseStock { quantity: 2 })
        .then_nothing();
}

#[test]
fn a_card_is_charged_for_what_it_is_good_for() {
    let chosen = |method: Method| MethodChosen { method: method.into(), limit: 100 };
    Scenario::<Payment>::given(()).when(TakePayment { amount: 1 }).then_rejected("no_method");
    Scenario::<Payment>::given(chosen(Method::Card)).when(TakePayment { amount: 101 }).then_rejected("declined");
    Scenario::<Payment>::given(chosen(Method::Card))
        .when(TakePayment { amount: 100 })
        .then(PaymentTaken { amount: 100 })
        .and_when(TakePayment { amount: 100 })
        .then_rejected("already_asked")
        .and_when(CancelPayment {})
        .then((PaymentCancelled {}, PaymentRefunded { amount: 100, reason: "the order is off".into() }))
        .then_state(|payment| payment.taken == 0);
    Scenario::<Payment>::given(chosen(Method::Transfer))
        .when(TakePayment { amount: 101 })
        .then(PaymentRequested { amount: 101 });
}

#[test]
fn each_article_is_reserved_and_money_confirms_the_order() {
    let order = Uuid::from_u128(7);
    Scenario::saga("reserve-stock").when_event::<Order>(order, placed()).then_commands((
        Inventory::command(stock_root("book"), ReserveStock { quantity: 2 }),
        Inventory::command(stock_root("lamp"), ReserveStock { quantity: 1 }),
    ));
    Scenario::saga("confirm-order")
        .when_event::<Payment>(order, PaymentTaken { amount: 6_500 })
        .then_commands(Order::command(order, ConfirmOrder {}));
}

#[test]
fn a_checkout_that_is_not_paid_in_time_gives_back_what_is_kept() {
    let (order, book) = (Uuid::from_u128(7), stock_root("book"));
    let late = || String::from("not paid in time");
    let started = CheckoutStarted { order: order.to_string() };
    let held = LineHeld { stock: book.to_string(), quantity: 2 };
    Scenario::<Checkout>::given((started, LinesExpected { lines: 1 }, held))
        .when_timeout("payment")
        .then(CheckoutCancelled { reason: late() })
        .then_commands((
            Order::command(order, CancelOrder { reason: late() }),
            Inventory::command(book, ReleaseStock { quantity: 2 }),
            Payment::command(order, CancelPayment {}),
        ))
        .then_complete();
}

#[test]
fn a_checkout_takes_the_money_and_is_called_off_if_that_is_refused() {
    let order = Uuid::from_u128(7);
    Scenario::<Checkout>::given(())
        .when_event::<Order>(order, placed())
        .then((CheckoutStarted { order: order.to_string() }, LinesExpected { lines: 2 }))
        .then_commands(Payment::command(order, TakePayment { amount: 6_500 }))
        .then_timeout("payment", std::time::Duration::from_secs(900))
        .and_when_rejected::<Payment>(order, TakePayment { amount: 6_500 }, "declined: the limit is 100")
        .then(CheckoutCancelled { reason: "declined: the limit is 100".into() })
        .then_commands(Order::command(order, CancelOrder { reason: "declined: the limit is 100".into() }));
}

#[tokio::test]
async fn the_report_shows_what_is_paid_and_was_not_given_back() {
    let order = Uuid::from_u128(7);
    let shown = |status: &str, paid| OrderReport {
        order: order.to_string(),
        customer: "Ada".into(),
        status: status.into(),
        total: 6_500,
        paid,
    };
    let back = |amount| PaymentRefunded { amount, reason: String::new() };
    Scenario::projector(Report::in_memory().expect("the schema"))
        .when_event::<Order>(order, placed())
        .await
        .then_projection(shown("placed", 0))
        .and_when_event::<Payment>(order, PaymentTaken { amount: 6_500 })
        .await
        .then_projection(shown("placed", 6_500))
        .and_when_event::<Payment>(order, back(5))
        .await
        .then_projection(shown("placed", 6_500))
        .and_when_event::<Payment>(order, back(6_500))
        .await
        .then_projection(shown("placed", 0));
}
