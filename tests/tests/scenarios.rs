//! Scenarios of components take the way of the runtime: upcasters, panics, the sequences of each stream.

#![allow(missing_docs)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::Scenario;
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::person::Person;
use futures_util::FutureExt as _;
use prost::Message as _;

fn book(amount: i64) -> Command<Ledger> {
    Ledger::command(root("ledger", "moves"), Book { amount, ..Book::default() })
}

/// A fee for each part of an address, and for a fact a number that tells its place.
#[saga(name = "fees", from = Person)]
struct Fees;

#[saga]
impl Fees {
    #[handler]
    fn street(&self, e: StreetChanged) -> Command<Ledger> {
        assert!(e.street != "Nowhere", "there is no such street");
        book(1)
    }
    #[handler]
    fn city(&self, _: CityChanged) -> Command<Ledger> {
        book(2)
    }
    #[handler]
    fn learned(&self, _: FactLearned, ctx: &EventContext) -> Command<Ledger> {
        book(i64::from(ctx.sequence()))
    }
}

/// What it saw, as its view.
#[projector(name = "addresses", domains = [Person])]
struct Addresses;

#[projector]
impl Addresses {
    #[handler]
    async fn street(&self, e: StreetChanged, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        assert!(e.street != "Nowhere", "there is no such street");
        Ok(SeenView { sequence: ctx.sequence(), event: e.street })
    }
    #[handler]
    async fn learned(&self, e: FactLearned, ctx: &EventContext) -> Result<SeenView, ProjectionError> {
        Ok(SeenView { sequence: ctx.sequence(), event: e.text })
    }
}

fn ada() -> Uuid {
    root("person", "Ada")
}

fn address(street: &str) -> Vec<u8> {
    AddressChanged { address: format!("{street}, London") }.encode_to_vec()
}

fn rumour(true_after_all: bool) -> Vec<u8> {
    RumourHeard { text: "she writes programs".into(), true_after_all }.encode_to_vec()
}

fn fact() -> FactLearned {
    FactLearned { text: "she writes programs".into() }
}

/// The text of the panic that must come.
fn failure<T>(scenario: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(scenario)) {
        Ok(_) => panic!("the scenario holds and should not"),
        Err(panic) => panic.downcast_ref::<String>().expect("a text").clone(),
    }
}

#[test]
fn u1_a_saga_gets_old_events_through_the_upcasters() {
    Scenario::saga("fees")
        .when_stored::<Person>(ada(), "test.AddressChanged", 1, address("St James's Square"))
        .then_commands((book(1), book(2)))
        .and_when_stored::<Person>(ada(), "test.RumourHeard", 1, rumour(true))
        .then_commands(book(1))
        .and_when_stored::<Person>(ada(), "test.RumourHeard", 1, rumour(false))
        .then_no_commands();
    let text = failure(|| {
        Scenario::saga("fees").when_stored::<Person>(ada(), "test.RumourHeard", 1, rumour(false)).then_commands(book(0))
    });
    assert!(text.contains("  + no command: an upcaster drops it\n"), "{text}");
    assert!(text.contains("test.RumourHeard {\"#1\": \"she writes programs\"} (stored as version 1)\n"), "{text}");
}

#[test]
fn u5_a_saga_fails_on_an_event_of_a_newer_program() {
    Scenario::saga("fees")
        .when_stored::<Person>(ada(), "test.FactLearned", 9, fact().encode_to_vec())
        .then_error("schema version 9");
}

#[tokio::test]
async fn u1_a_projector_gets_old_events_through_the_upcasters() {
    Scenario::projector(Addresses)
        .when_stored::<Person>(ada(), "test.AddressChanged", 1, address("St James's Square"))
        .await
        .then_projection(SeenView { sequence: 0, event: "St James's Square".into() })
        .and_when_stored::<Person>(ada(), "test.RumourHeard", 1, rumour(true))
        .await
        .then_projection(SeenView { sequence: 1, event: "she writes programs".into() })
        .and_when_stored::<Person>(ada(), "test.FactLearned", 9, fact().encode_to_vec())
        .await
        .then_error("schema version 9");
    let dropped = async {
        Scenario::projector(Addresses).when_stored::<Person>(ada(), "test.RumourHeard", 1, rumour(false)).await
    };
    let panic = AssertUnwindSafe(dropped).catch_unwind().await.expect_err("the projector never sees it");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("an upcaster drops it"), "{text}");
}

#[tokio::test]
async fn a_handler_that_panics_has_failed() {
    let nowhere = || StreetChanged { street: "Nowhere".into() };
    Scenario::saga("fees")
        .when_event::<Person>(ada(), nowhere())
        .then_error("panicked: there is no such street")
        .and_when_event::<Person>(ada(), StreetChanged::default())
        .then_commands(book(1));
    Scenario::projector(Addresses)
        .when_event::<Person>(ada(), nowhere())
        .await
        .then_error("`street` panicked: there is no such street");
}

#[tokio::test]
async fn sequences_are_counted_per_stream() {
    let bob = root("person", "Bob");
    Scenario::saga("fees")
        .when_event::<Person>(ada(), fact())
        .then_commands(book(0))
        .and_when_event::<Person>(bob, fact())
        .then_commands(book(0))
        .and_when_event::<Person>(ada(), fact())
        .then_commands(book(1));
    let seen = |sequence| SeenView { sequence, event: fact().text };
    Scenario::projector(Addresses)
        .when_event::<Person>(ada(), fact())
        .await
        .then_projection(seen(0))
        .and_when_event::<Person>(bob, fact())
        .await
        .then_projection(seen(0))
        .and_when_event::<Person>(ada(), fact())
        .await
        .then_projection(seen(1));
}

#[test]
fn g5_a_saga_may_have_nothing_to_do_with_an_event_but_not_with_a_foreign_one() {
    Scenario::saga("fees").when_event::<Person>(ada(), PersonNamed::default()).then_no_commands();
    for text in [
        failure(|| Scenario::saga("fees").when_event::<Account>(ada(), fact()).then_no_commands()),
        failure(|| Scenario::saga("fees").when_event::<Account>(ada(), fact()).then_commands(())),
    ] {
        assert!(
            text.contains("  + the saga never sees the event: it listens to `person`, not to `account`\n"),
            "{text}"
        );
    }
}
