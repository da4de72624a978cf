//! Scenarios of process managers and facts: the same decisions as in a runtime, without one.

use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::Scenario;

use crate::domain::*;

fn order() -> Uuid {
    root("order", "1")
}

fn placed(price: i64, trouble: &str) -> OrderPlaced {
    OrderPlaced { lines: 0, quantity: 0, price, trouble: trouble.into() }
}

fn started(price: i64) -> Started {
    Started { price, order: order().as_bytes().to_vec() }
}

fn take(amount: i64) -> Command<Payment> {
    Payment::command(order(), TakePayment { amount })
}

#[test]
fn p1_p5_p7_a_process_from_its_start_to_its_end() {
    Scenario::<Checkout>::given(())
        .when_event::<Order>(order(), placed(7, ""))
        .then(started(7))
        .then_commands(take(7))
        .then_timeout("payment", PAYMENT_TIME)
        .then_state(|checkout| checkout.story == ["started 7"])
        .and_when_event::<Payment>(order(), PaymentTaken { amount: 7 })
        .then(Paid { amount: 7 })
        .then_commands(Vec::<AnyCommand>::new())
        .then_timeout_cancelled("payment")
        .then_complete()
        .and_when_event::<Order>(order(), placed(9, ""))
        .then_ignored()
        .then_nothing();
}

#[test]
fn p5_p6_what_is_late_and_what_is_refused() {
    let cancel = |why: &str| Order::command(order(), Cancel { why: why.into() });
    Scenario::<Checkout>::given(started(13)).when_timeout("payment").then(()).then_commands(cancel("late"));
    Scenario::<Checkout>::given(started(5_001))
        .when_rejected::<Payment>(order(), TakePayment { amount: 5_001 }, "too_much: 5001 is too much")
        .then(GaveUp { why: "too_much: 5001 is too much".into() })
        .then_commands(cancel("too_much 5001 of 1"));
    Scenario::<Checkout>::given(()).when_event::<Order>(order(), placed(5, "process fails")).then_error("on purpose");
    Scenario::<Checkout>::given(())
        .when_event::<Order>(order(), placed(5, "unknown timeout"))
        .then_error("did you mean `payment`?");
    Scenario::<Checkout>::given(()).when_event::<Order>(order(), OrderCancelled::default()).then_nothing();
}

#[test]
fn f3_a_fact_comes() {
    Scenario::<Parcel>::given(()).when_fact(Delivered { by: "bike".into() }).then(Arrived { by: "bike".into() });
    Scenario::<Parcel>::given(()).when_fact(Filled { quantity: 1 }).then_error("UNKNOWN_FACT");
}

#[test]
fn the_difference_names_what_did_not_come() {
    let wrong = std::panic::catch_unwind(|| {
        Scenario::<Checkout>::given(()).when_event::<Order>(order(), placed(7, "")).then_commands(take(8));
    });
    let text = *wrong.expect_err("it differs").downcast::<String>().expect("a text");
    for line in ["- payment/", "+ payment/", "+ timeout `payment` in 900s"] {
        assert!(text.contains(line), "{text}");
    }
}
