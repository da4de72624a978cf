//! Scenarios of process managers, facts and compensations: the same decisions as in a runtime, without one.

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
fn f1_f3_facts_follow_one_another() {
    let arrived = |by: &str| Arrived { by: by.into() };
    Scenario::<Parcel>::given(())
        .when(Pack { trouble: String::new() })
        .then(Packed { trouble: String::new() })
        .and_when_fact(Weighed { grams: 5_000 })
        .then((Weighed { grams: 5_000 }, Scanned {}))
        .and_when_fact(Lost {})
        .then(Lost {})
        .then_state(|parcel| parcel.at == "nowhere" && parcel.flagged)
        .and_when_fact(Delivered { by: "bike".into() })
        .then(arrived("bike"))
        .and_when_fact(Delivered { by: "panic".into() })
        .then_error("HANDLER_PANICKED")
        .and_when_fact(Delivered { by: "foot".into() })
        .then(arrived("foot"));
}

#[test]
fn g6_a_process_sends_a_fact_beside_its_commands() {
    Scenario::<Checkout>::given(())
        .when_event::<Order>(order(), placed(50, "fact"))
        .then_facts(Parcel::fact(root("parcel", "two"), Lost {}))
        .and_when_event::<Payment>(order(), PaymentTaken { amount: 50 })
        .then_facts(());
}

/// As `k1_k2_k5_…` and `k4_…` see it in a runtime.
#[test]
fn k2_k4_an_order_hears_what_was_rejected() {
    let reserve = |quantity, trouble: &str| Reserve { quantity, trouble: trouble.into() };
    let why = "out_of_stock: 0 are left";
    let backordered = |index| Backordered { why: why.into(), index };
    let rejected = |trouble: &str| {
        Scenario::<Order>::given(placed(0, trouble)).when_rejected::<Stock>(shelf(), reserve(5, trouble), why)
    };
    rejected("")
        .then(backordered(5))
        .then_state(|order| order.story == ["placed", "backordered: out_of_stock: 0 are left"])
        .and_when_rejected::<Stock>(shelf(), reserve(6, ""), why)
        .then(backordered(6))
        .and_when(Cancel { why: "enough".into() })
        .then(OrderCancelled { why: "enough".into() })
        .and_when_rejected::<Stock>(shelf(), reserve(7, "shrug"), why)
        .then_revoked(Revocation::new("never mind"));
    rejected("give up")
        .then_revoked(Revocation::new("nothing to be done").system_event().dead_letter().escalate())
        .then_dead_letter()
        .then_state(|order| order.story == ["placed"]);
    rejected("abort").then_revoked(Revocation::new("stop everything").abort());
    rejected("panic").then_error("panicked");
    // Another method of the same aggregate, for another command.
    Scenario::<Order>::given(placed(0, ""))
        .when_rejected::<Parcel>(root("parcel", "one"), Pack { trouble: String::new() }, "no_box: all gone")
        .then(OrderCancelled { why: "no_box".into() });
}

#[test]
fn k2_k3_who_does_not_decide_hands_on_or_gives_up() {
    let pack = || Pack { trouble: String::new() };
    Scenario::<Stock>::given(Filled { quantity: 3 })
        .when_rejected::<Parcel>(root("parcel", "one"), pack(), "no_box")
        .then_revoked(Revocation::forward());
    Scenario::<Payment>::given(())
        .when_rejected::<Parcel>(root("parcel", "one"), pack(), "no_box")
        .then_dead_letter()
        .then_state(|payment| payment.taken == 0);
}

#[test]
fn e3_what_had_succeeded_is_taken_back() {
    let reserved = Reserved { quantity: 2, trouble: String::new() };
    Scenario::<Stock>::given((Filled { quantity: 3 }, reserved))
        .when_compensate(1..2)
        .then(Released { quantity: 1, sequences: vec![1] })
        .then_state(|stock| stock.free == 2);
    Scenario::<Payment>::given(())
        .when(TakePayment { amount: 5 })
        .then(PaymentTaken { amount: 5 })
        .and_when_compensate(0..1)
        .then(PaymentReturned { sequences: vec![0] })
        .then_state(|payment| payment.taken == 0);
    Scenario::<Parcel>::given(Packed { trouble: String::new() }).when_compensate(0..1).then_dead_letter();
}

#[test]
fn a_wrong_expectation_of_a_revocation_shows_its_flags() {
    let wrong = std::panic::catch_unwind(|| {
        Scenario::<Order>::given(placed(0, ""))
            .when_rejected::<Stock>(shelf(), Reserve { quantity: 5, trouble: "give up".into() }, "out_of_stock")
            .then_revoked(Revocation::new("nothing to be done"));
    });
    let text = *wrong.expect_err("it differs").downcast::<String>().expect("a text");
    for line in [
        "given\n    OrderPlaced {",
        "rejects Reserve { quantity: 5, trouble: \"give up\" }: out_of_stock\n",
        "  - revoked: nothing to be done\n",
        "  + revoked: nothing to be done (system event, dead letter, escalate)\n",
    ] {
        assert!(text.contains(line), "`{line}` is missing in\n{text}");
    }
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
