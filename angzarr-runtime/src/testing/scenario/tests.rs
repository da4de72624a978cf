//! What scenarios assert, and what they say where it is not so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt as _;

use super::super::post_office::{billing::Charge, *};
use super::{Answered, Scenario};
use crate::declare::Domain as _;
use crate::{Revocation, root};

fn packed(grams: u32) -> Packed {
    Packed { label: "books".to_owned(), grams }
}

fn send() -> Send {
    Send { to: "Ada".to_owned() }
}

fn sent() -> Sent {
    Sent { to: "Ada".to_owned() }
}

/// The text of the panic that must come.
fn failure<T>(scenario: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(scenario)) {
        Ok(_) => panic!("the scenario holds and should not"),
        Err(panic) => crate::command::panic_text(panic.as_ref()).to_owned(),
    }
}

#[test]
fn a_command_gives_events_and_a_state() {
    Scenario::<Parcel>::given(packed(500))
        .then_state(|parcel| parcel.grams == 500)
        .when(send())
        .then(sent())
        .then((sent(), None::<Insured>))
        .then_state(|parcel| assert_eq!(parcel.to, "Ada"));
    Scenario::<Parcel>::given((packed(500), vec![packed(2_000)])).when(send()).then((sent(), Insured {}));
    Scenario::<Parcel>::given(()).when(Stamp { count: 0 }).then_nothing();
}

#[test]
fn a_refusal_has_its_code_and_changes_nothing() {
    Scenario::<Parcel>::given(())
        .when(send())
        .then_rejected("empty")
        .then_state(|parcel| parcel.to.is_empty())
        .and_when(Pack { label: "books".to_owned(), grams: 1 })
        .then(packed(1))
        .and_when(send())
        .then(sent());
}

#[test]
fn the_way_of_the_command_is_the_runtimes_own() {
    // Sequences, limits, panics: nothing of it is in the handler.
    Scenario::<Parcel>::given(packed(1)).expecting(0).when(send()).then_error("SEQUENCE_MISMATCH");
    Scenario::<Parcel>::given(packed(1)).expecting(1).when(send()).then(sent());
    Scenario::<Parcel>::given(()).when(Stamp { count: 1_001 }).then_error("LIMIT_EXCEEDED");
    let panicked = Scenario::<Parcel>::given(()).when(Drop {});
    assert_eq!(panicked.outcome().as_ref().unwrap_err().code(), "HANDLER_PANICKED");
}

#[test]
fn time_stands_still_until_it_is_told() {
    Scenario::<Parcel>::given(())
        .when(Stamp { count: 1 })
        .then(Stamped { at: 946_684_800 })
        .at(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .and_when(Stamp { count: 2 })
        .then([Stamped { at: 1_000_000_000 }, Stamped { at: 1_000_000_000 }]);
}

#[test]
fn old_events_come_through_the_upcasters() {
    let old = prost::Message::encode_to_vec(&PackedV1 { label: "books".to_owned() });
    Scenario::<Parcel>::given_stored("post.PackedV1", 1, old)
        .then_state(|parcel| (parcel.label.as_str(), parcel.grams) == ("books", 100));
}

#[test]
fn other_events_fail_with_the_story_and_the_difference() {
    let text = failure(|| {
        Scenario::<Parcel>::given(packed(2_000)).when(send()).then((sent(), Stamped { at: 3 }));
    });
    assert_eq!(
        text,
        "the scenario of `Parcel` came out differently

given
    Packed { label: \"books\", grams: 2000 }

when
    Send { to: \"Ada\" }

then (- expected, + came)
    Sent { to: \"Ada\" }
  - Stamped { at: 3 }
  + post.Insured {}

"
    );
}

#[test]
fn every_wrong_expectation_fails() {
    let failures = [
        (
            failure(|| Scenario::<Parcel>::given(packed(1)).when(send()).then_rejected("empty")),
            "  - rejected: empty\n  +",
        ),
        (failure(|| Scenario::<Parcel>::given(()).when(send()).then_rejected("full")), "  + rejected: empty\n"),
        (
            failure(|| Scenario::<Parcel>::given(()).when(send()).then(sent())),
            "  - Sent { to: \"Ada\" }\n  + rejected: empty",
        ),
        (failure(|| Scenario::<Parcel>::given(packed(1)).when(send()).then_nothing()), "  - nothing\n  + "),
        (failure(|| Scenario::<Parcel>::given(()).when(Stamp { count: 0 }).then(sent())), "  + nothing\n"),
        (
            failure(|| Scenario::<Parcel>::given(()).when(send()).then_error("LIMIT_EXCEEDED")),
            "  - error: LIMIT_EXCEEDED",
        ),
        (
            failure(|| Scenario::<Parcel>::given(packed(7)).then_state(|parcel| parcel.grams == 8)),
            "then the state is not as expected\n    Parcel {",
        ),
        (
            failure(|| Scenario::<Parcel>::given(packed(7)).when(send()).then_state(|parcel| parcel.to == "Bob")),
            "to: \"Ada\"",
        ),
    ];
    for (text, part) in failures {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
}

#[test]
fn a_failure_is_reported_at_the_line_of_the_assertion() {
    let (place, line) = {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
        let kept = seen.clone();
        let before = std::panic::take_hook();
        let this = std::thread::current().id();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == this {
                *kept.lock().unwrap() = info.location().map(|it| (it.file().to_owned(), it.line()));
            }
        }));
        let when = Scenario::<Parcel>::given(packed(1)).when(send());
        let line = line!() + 1;
        let _ = catch_unwind(AssertUnwindSafe(|| when.then_nothing()));
        std::panic::set_hook(before);
        let place = seen.lock().unwrap().clone();
        (place, line)
    };
    let (file, at) = place.expect("a place");
    assert!(file.ends_with("scenario/tests.rs"), "{file}");
    assert_eq!(at, line);
}

#[test]
fn a_saga_gives_commands() {
    let (parcel, ada) = (root("parcel", "1"), root("bill", "Ada"));
    let then = UNIX_EPOCH + Duration::from_secs(86_400);
    Scenario::saga("charge-sender")
        .at(then)
        .when_event::<Parcel>(parcel, sent())
        .then_commands(Bill::command(ada, Charge { cents: 450 }).at(then))
        .and_when_event::<Parcel>(parcel, Sent { to: "myself".to_owned() })
        .then_no_commands()
        .and_when_event::<Parcel>(parcel, Sent::default())
        .then_error("nobody to send it to");
    Scenario::saga_with(ToCustoms { abroad: "Ada" })
        .when_event::<Parcel>(parcel, sent())
        .then_commands([Customs::command(parcel, Declare {})]);
}

#[test]
fn wrong_expectations_of_a_saga_fail() {
    let (parcel, ada) = (root("parcel", "1"), root("bill", "Ada"));
    let reacted = || Scenario::saga("charge-sender").when_event::<Parcel>(parcel, sent());
    let text = failure(|| reacted().then_no_commands());
    assert!(
        text.starts_with("the scenario of the saga `charge-sender` came out differently\n\nwhen\n    parcel/"),
        "{text}"
    );
    assert!(text.contains("  - no command\n  + bill/"), "{text}");
    assert!(text.contains(r##"billing.Charge {"#1": 450}"##), "{text}");
    // The time belongs to the command: without it, it is another one.
    let text = failure(|| reacted().then_commands(Bill::command(ada, Charge { cents: 450 })));
    assert!(text.contains(" at 2000-01-01T00:00:00Z\n"), "{text}");
    let text = failure(|| reacted().then_error("nobody"));
    assert!(text.contains("  - error: …nobody…\n  + bill/"), "{text}");
    // An event that never comes to the saga says why.
    let text = failure(|| {
        let command = Bill::command(ada, Charge { cents: 1 });
        Scenario::saga("charge-sender").when_event::<Parcel>(parcel, packed(1)).then_commands(command)
    });
    assert!(text.contains("no command: it has no handler for `post.Packed`; it handles `post.Sent`"), "{text}");
    let text = failure(|| {
        let command = Bill::command(ada, Charge { cents: 1 });
        Scenario::saga("charge-sender").when_event::<Bill>(ada, sent()).then_commands(command)
    });
    assert!(text.contains("it listens to `parcel`, not to `bill`"), "{text}");
}

#[test]
fn a_saga_that_is_not_there_is_told() {
    let text = failure(|| Scenario::saga("charge-sende"));
    assert!(text.contains("no saga has the name `charge-sende`; did you mean `charge-sender`?"), "{text}");
    let text = failure(|| Scenario::saga("customs"));
    assert!(text.contains("write `Scenario::saga_with(ToCustoms { … })`"), "{text}");
    assert!(failure(|| Scenario::saga_with(3)).contains("`i32` is no saga"));
    assert!(failure(|| Scenario::projector(3)).contains("`i32` is no projector"));
}

#[tokio::test]
async fn a_projector_gives_projections() {
    let journal = Journal::default();
    let parcel = root("parcel", "1");
    Scenario::projector(journal.clone())
        .when_event::<Parcel>(parcel, packed(5))
        .await
        .then_ok()
        .then_projection(Line { text: "#0 books of 5 g".to_owned() })
        .then_projection_of(|line: &Line| line.text.starts_with("#0"))
        .and_when_event::<Parcel>(parcel, sent())
        .await
        .then_nothing()
        .and_when_event::<Parcel>(parcel, Sent { to: "?".to_owned() })
        .await
        .then_error("no such place");
    assert_eq!(*journal.lines.lock().unwrap(), ["#0 books of 5 g"]);
}

#[tokio::test]
async fn wrong_expectations_of_a_projector_fail() {
    let parcel = root("parcel", "1");
    let after = |event: Packed| async move {
        Scenario::projector(Journal::default()).when_event::<Parcel>(parcel, event).await
    };
    let projected = after(packed(5)).await;
    let text = failure(|| projected.then_projection(Line { text: "six".to_owned() }));
    assert!(text.starts_with("the scenario of the projector `journal` came out differently"), "{text}");
    assert!(text.contains("  - Line { text: \"six\" }\n  + Line { text: \"#0 books of 5 g\" }\n"), "{text}");
    let projected = after(packed(5)).await;
    assert!(failure(|| projected.then_nothing()).contains("  - no projection\n  + post.Line"));
    let projected = after(packed(5)).await;
    assert!(failure(|| projected.then_error("x")).contains("  - error: …x…\n"));
    let projected = after(packed(5)).await;
    assert!(
        failure(|| projected.then_projection_of(|line: &Line| line.text.is_empty()))
            .contains("then the projection is not")
    );
    let failed =
        Scenario::projector(Journal::default()).when_event::<Parcel>(parcel, Sent { to: "?".to_owned() }).await;
    assert!(failure(|| failed.then_ok()).contains("  - success\n  + error: no such place"));
}

#[tokio::test]
async fn an_event_that_never_comes_to_the_projector_fails_at_once() {
    let parcel = root("parcel", "1");
    for (scenario, reason) in [
        (
            Scenario::projector(Journal::default()).when_event::<Parcel>(parcel, Insured {}),
            "no handler for `post.Insured`; it handles `post.Packed`, `post.Sent`",
        ),
        (
            Scenario::projector(Journal::default()).when_event::<Bill>(parcel, packed(1)),
            "listens to `parcel`, not to `bill`",
        ),
        (
            Scenario::projector(Journal::default()).with_edition("what-if").when_event::<Parcel>(parcel, packed(1)),
            "it sees the main timeline only",
        ),
    ] {
        let panic = AssertUnwindSafe(std::future::IntoFuture::into_future(scenario)).catch_unwind().await.unwrap_err();
        let text = crate::command::panic_text(panic.as_ref());
        assert!(text.contains(reason), "{text}");
        assert!(text.contains("scenario/tests.rs:"), "{text}");
    }
}

fn charge() -> Charge {
    Charge { cents: 450 }
}

#[test]
fn k2_k4_a_rejection_comes_to_the_aggregate() {
    let bill = root("bill", "Ada");
    let why = "unpaid: no money";
    let back = |why: &str| Returned { why: why.to_owned() };
    // The saga that sends it is found by its type; each rejection is another one.
    Scenario::<Parcel>::given((packed(1), sent()))
        .when_rejected::<Bill>(bill, charge(), why)
        .then(back("unpaid: no money by charge-sender"))
        .then_state(|parcel| parcel.to == "back: unpaid: no money by charge-sender")
        .and_when_rejected::<Bill>(bill, charge(), why)
        .then(back("unpaid: no money by charge-sender"))
        .and_when(Stamp { count: 1 })
        .then(Stamped { at: 946_684_800 })
        .and_when_rejected::<Bill>(bill, charge(), why)
        .then(back("unpaid: no money by charge-sender"));
    let revocation = Revocation::new("it never left").dead_letter().escalate();
    Scenario::<Parcel>::given(packed(1))
        .when_rejected::<Bill>(bill, charge(), why)
        .then_revoked(revocation)
        .then_dead_letter()
        .then_state(|parcel| parcel.to.is_empty())
        .at(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .expecting(1)
        .and_when(Stamp { count: 1 })
        .then(Stamped { at: 1_000_000_000 });
    let to = |to: &str| Scenario::<Parcel>::given((packed(1), Sent { to: to.to_owned() }));
    to("myself").when_rejected::<Bill>(bill, charge(), why).then_revoked(Revocation::new("never mind"));
    to("nobody").when_rejected::<Bill>(bill, charge(), why).then_revoked(Revocation::forward());
    to("panic").when_rejected::<Bill>(bill, charge(), why).then_error("panicked").then_state(|it| it.to == "panic");
    // A target elsewhere, and a method for it alone.
    to("Ada").when_rejected::<Customs>(bill, Declare {}, "forbidden").then(back("forbidden"));
    to("Ada").when_rejected::<Customs>(bill, Declare {}, "later: closed").then(()).then_nothing();
}

#[test]
fn k3_a_rejection_that_nobody_answers_is_a_dead_letter() {
    let parcel = root("parcel", "1");
    Scenario::<Bill>::given(())
        .when_rejected::<Parcel>(parcel, send(), "empty")
        .then_dead_letter()
        .then_state(|bill| bill.cents == 0)
        .and_when_compensate(0..1)
        .then_dead_letter();
    Scenario::<Insurance>::given(())
        .when_rejected::<Parcel>(parcel, send(), "empty")
        .then_dead_letter()
        .and_when_rejected::<Bill>(parcel, charge(), "unpaid")
        .then(Settled { why: "unpaid".to_owned() });
}

#[test]
fn e3_a_compensation_comes_to_the_aggregate() {
    let undone =
        |sequences: &str| Returned { why: format!("the cascade that the command belonged to failed: {sequences}") };
    Scenario::<Parcel>::given(packed(2_000))
        .when(send())
        .then((sent(), Insured {}))
        .and_when_compensate(1..3)
        .then(undone("[1, 2]"))
        .and_when_compensate(3..4)
        .then(undone("[3]"))
        .and_when_fact(Noted { at: "here".to_owned() })
        .then(Tracked { at: "here".to_owned() })
        .and_when_fact(Noted { at: "there".to_owned() })
        .then(Tracked { at: "there".to_owned() });
    Scenario::<Parcel>::given(packed(1))
        .when_compensate(0..1)
        .then_revoked(Revocation::new("not_sent").dead_letter())
        .then_dead_letter();
}

#[test]
fn wrong_expectations_of_a_compensation_fail() {
    let bill = root("bill", "Ada");
    let rejected = |to: &str| {
        let given = Scenario::<Parcel>::given((packed(1), Sent { to: to.to_owned() }));
        given.when_rejected::<Bill>(bill, charge(), "unpaid")
    };
    let text = failure(|| rejected("Ada").then(Returned { why: "unread".to_owned() }));
    assert_eq!(
        text,
        format!(
            "the scenario of `Parcel` came out differently

given
    Packed {{ label: \"books\", grams: 1 }}
    Sent {{ to: \"Ada\" }}

when
    bill/{bill} rejects Charge {{ cents: 450 }}: unpaid

then (- expected, + came)
  - Returned {{ why: \"unread\" }}
  + Returned {{ why: \"unpaid by charge-sender\" }}

"
        )
    );
    let packed_only = || Scenario::<Parcel>::given(packed(1)).when_rejected::<Bill>(bill, charge(), "unpaid");
    let revoked = "  + revoked: it never left (dead letter, escalate)\n  + dead letter: unpaid: it never left";
    let undone = || Scenario::<Parcel>::given((packed(1), sent())).when_compensate(0..2);
    for (text, parts) in [
        // A revocation is not nothing, however little it wants.
        (failure(|| rejected("myself").then_nothing()), ["  - nothing\n  + revoked: never mind\n", "given"]),
        (failure(|| rejected("myself").then(())), ["  - no event\n  + revoked: never mind\n", "given"]),
        (failure(|| packed_only().then(())), [revoked, "  - no event\n"]),
        // Its flags count.
        (
            failure(|| packed_only().then_revoked(Revocation::new("it never left").dead_letter())),
            ["  - revoked: it never left (dead letter)\n", revoked],
        ),
        (failure(|| rejected("Ada").then_revoked(Revocation::new("no"))), ["  - revoked: no\n", "  + post.Returned {"]),
        (failure(|| rejected("Ada").then_dead_letter()), ["  - dead letter\n", "  + post.Returned {"]),
        (failure(|| rejected("nobody").then_dead_letter()), ["  - dead letter\n", "  + revoked:  (forward)\n"]),
        (failure(|| rejected("Ada").then_error("panicked")), ["  - error: …panicked…\n", "  + post.Returned {"]),
        (failure(|| rejected("panic").then_nothing()), ["  - nothing\n", "  + error: "]),
        (failure(|| undone().then_nothing()), ["    a cascade takes back its events 0 to 1\n", "  + post.Returned {"]),
        (
            failure(|| Scenario::<Bill>::given(()).when_rejected::<Parcel>(bill, send(), "empty").then_nothing()),
            ["  - nothing\n", "  + dead letter: empty; no `#[rejected]` method answers to it\n"],
        ),
        (
            failure(|| Scenario::<Bill>::given(()).when_compensate(0..1).then(())),
            ["    a cascade takes back its event 0\n", "`bill` has no `#[compensate]` method\n"],
        ),
        (
            failure(|| Scenario::<Insurance>::given(()).when_rejected::<Parcel>(bill, send(), "empty").then(())),
            ["  - no event\n", "  + dead letter: empty; "],
        ),
    ] {
        for part in parts {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
    }
    // What came before is told.
    let text = failure(|| rejected("myself").and_when_compensate(0..1).then(()));
    assert!(text.contains("\nthen\n    revoked: never mind\n\nwhen\n    a cascade takes back its event 0\n"), "{text}");
    let text = failure(|| rejected("myself").and_when(Stamp { count: 0 }).then_rejected("x"));
    assert!(text.contains("\nthen\n    revoked: never mind\n\nwhen\n    Stamp { count: 0 }\n"), "{text}");
    let noted = Noted { at: String::new() };
    let text = failure(|| rejected("myself").and_when_fact(noted).then_rejected("x"));
    assert!(text.contains("\nwhen\n    the fact Noted { at: \"\" }\n"), "{text}");
}

fn insured() -> Answered<Insurance> {
    Scenario::<Insurance>::given(()).when_event::<Parcel>(root("parcel", "1"), Insured {})
}

#[test]
fn g6_u1_a_process_sends_facts_and_takes_old_events() {
    let parcel = root("parcel", "1");
    let week = Duration::from_secs(7 * 86_400);
    let fact = || Parcel::fact(parcel, Noted { at: "the insurer".to_owned() });
    let old = |town: &str| prost::Message::encode_to_vec(&TrackedV1 { town: town.to_owned() });
    let settled = |why: &str| Settled { why: why.to_owned() };
    insured()
        .then(Covered { cents: 100 })
        .then_facts(fact())
        .then_commands((Bill::command(root("bill", "post"), Charge { cents: 100 }), fact()))
        .then_timeout("lost", week)
        .and_when_stored::<Parcel>(parcel, "post.Tracked", 1, old("Ulm"))
        .then(settled("the town of Ulm"))
        .then_facts(())
        .and_when_event::<Parcel>(parcel, Tracked { at: "there".to_owned() })
        .then(settled("there"))
        .then_complete();
    Scenario::<Insurance>::given(Covered { cents: 7 })
        .when_stored::<Parcel>(parcel, "post.TrackedV1", 1, old("Bonn"))
        .then(settled("the town of Bonn"))
        .and_when_timeout("lost")
        .then(settled("7 for a lost one"))
        .then_complete();
    Scenario::<Insurance>::given(())
        .when_stored::<Parcel>(parcel, "post.Tracked", 9, old("Bonn"))
        .then_error("version 9");
}

#[test]
fn wrong_expectations_of_a_process_fail() {
    let parcel = root("parcel", "1");
    let other = || Parcel::fact(parcel, Noted { at: "nobody".to_owned() });
    let text = failure(|| insured().then_facts(other()));
    assert!(text.contains(&format!("  - parcel/{parcel}: the fact post.Noted {{\"#1\": \"nobody\"}}\n")), "{text}");
    assert!(
        text.contains(&format!("  + parcel/{parcel}: the fact post.Noted {{\"#1\": \"the insurer\"}}\n")),
        "{text}"
    );
    assert!(failure(|| insured().then_facts(())).contains("  - no fact\n"));
    assert!(failure(|| insured().then_dead_letter()).contains("  - dead letter\n"));
    let old = prost::Message::encode_to_vec(&TrackedV1 { town: "Ulm".to_owned() });
    let stored = Scenario::<Insurance>::given(()).when_stored::<Parcel>(parcel, "post.Tracked", 1, old);
    let text = failure(|| stored.then_nothing());
    assert!(text.contains("post.Tracked {\"#1\": \"Ulm\"} (stored as version 1)\n"), "{text}");
    assert!(text.contains("  - nothing\n  + post.Settled {\"#1\": \"the town of Ulm\"}\n"), "{text}");
    let text = failure(|| Scenario::<Insurance>::given(()).when_stored::<Bill>(parcel, "billing.Sent", 1, []));
    assert!(text.contains("it listens to parcel, not to `bill`"), "{text}");
}
