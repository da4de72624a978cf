//! The documentation of a small program, in full where that is short.

use super::{Format, markdown, mermaid, model};
use crate::declare::Target;
use crate::registry::Registry;
use crate::testing::post_office;

fn registry() -> Registry {
    post_office::builder().check().expect("the wiring")
}

/// From a heading to the next one of its rank.
fn chapter<'p>(page: &'p str, heading: &str) -> &'p str {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no `{heading}` in\n{page}")) + 1;
    let mark = format!("\n{} ", heading.split(' ').next().unwrap_or_default());
    let rest = &page[start..];
    rest.find(&mark).map_or(rest, |end| &rest[..end])
}

#[test]
fn the_diagram_shows_every_way() {
    assert_eq!(
        mermaid(&registry()),
        r#"flowchart LR
    subgraph a0 ["bill"]
        a0c0[/"Charge"/]
        a0e0("Charged")
        a0e1("billing.Sent")
    end
    subgraph a1 ["parcel"]
        a1c0[/"Drop"/]
        a1c1[/"Pack"/]
        a1c2[/"Send"/]
        a1c3[/"Stamp"/]
        a1e0("Insured")
        a1e1("Packed")
        a1e2("Returned")
        a1e3("post.Sent")
        a1e4("Stamped")
        a1e5("Tracked")
    end
    r0[["customs (elsewhere)"]]
    s0{{"charge-sender"}}
    s1{{"customs"}}
    s2{{"pay-out"}}
    m0{{"insurance"}}
    p0[("journal")]
    a0c0 --> a0e0
    a1c0 --> a1e3
    a1c1 --> a1e1
    a1c2 --> a1e3
    a1c2 --> a1e0
    a1c3 --> a1e4
    a1e0 --> m0
    a1e1 --> p0
    a1e3 --> s0
    a1e3 --> s1
    a1e3 --> p0
    a1e5 --> m0
    m0 --> s2
    s0 -. commands .-> a0
    s1 -. commands .-> r0
    s2 -. commands .-> a0
    s2 -. facts .-> a1
    m0 -. commands .-> a0
    m0 -. commands .-> r0
    m0 -. "timeout lost" .-> m0
"#
    );
}

#[test]
fn the_page_begins_with_figures_and_contents() {
    let page = markdown(&registry());
    let (head, _) = page.split_once("\n<a id=\"flow\">").expect("the flow");
    assert_eq!(
        head,
        "# Domain reference

Made from the program's registry. Change the code, not this page.

2 aggregates, 5 commands, 8 events, 3 sagas, 1 process manager, 1 projector.

- [The flow](#flow)
- [Aggregate `bill`](#aggregate-bill): What a customer owes.
- [Aggregate `parcel`](#aggregate-parcel): A parcel, from the table to the road.
- [Aggregates elsewhere](#remotes)
- [Sagas](#sagas)
- [Process managers](#process-managers)
- [Projectors](#projectors)
- [When something fails](#failures)
- [Upcasters](#upcasters)
- [Messages](#messages)
"
    );
    assert!(page.contains(&format!("```mermaid\n{}```\n", mermaid(&registry()))));
}

#[test]
fn a_command_says_what_it_does_and_what_comes_of_it() {
    let page = markdown(&registry());
    let parcel = chapter(&page, "## Aggregate `parcel`");
    assert!(parcel.contains("State: `Parcel`, a snapshot every 3 events (prost).\n"), "{parcel}");
    for row in [
        "| [`Pack`](#post.Pack) | Puts something \\| into it. |",
        "| [`Send`](#post.Send) | Gives it to the postman.<br>Heavy ones are insured. |",
        "| `Strict` | [`post.Sent`](#post.Sent)<br>[`Insured`](#post.Insured) |",
        "| as the sender says | [`Packed`](#post.Packed) |",
        "| `Commutative` | [`Stamped`](#post.Stamped) |",
    ] {
        assert!(parcel.contains(row), "`{row}` is missing in\n{parcel}");
    }
}

#[test]
fn an_event_says_where_it_comes_from_and_who_listens() {
    let page = markdown(&registry());
    let parcel = chapter(&page, "## Aggregate `parcel`");
    let row = parcel.lines().find(|line| line.starts_with("| [`post.Sent`](#post.Sent)")).expect("the row");
    let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
    assert_eq!(cells[3], "[`Drop`](#post.Drop)<br>[`Send`](#post.Send)");
    assert_eq!(cells[4], "`sent`");
    assert_eq!(
        cells[5],
        "saga [`charge-sender`](#component-charge-sender)<br>saga [`customs`](#component-customs)<br>projector [`journal`](#component-journal)"
    );
    assert!(parcel.contains("| [`Insured`](#post.Insured) | Nothing to remember. |"), "{parcel}");
    assert!(parcel.contains("| [`Packed`](#post.Packed) v2 |"), "{parcel}");
    let bill = chapter(&page, "## Aggregate `bill`");
    assert!(bill.contains("| no command of this version | `sent` | – |"), "{bill}");
}

#[test]
fn components_and_their_ways_are_shown() {
    let page = markdown(&registry());
    let sagas = chapter(&page, "## Sagas");
    assert!(
        sagas.contains("### Saga `charge-sender`\n\nWho sends pays.\n\nListens to [`parcel`](#aggregate-parcel).\n"),
        "{sagas}"
    );
    assert!(sagas.contains("| [`Charge`](#billing.Charge) to [`bill`](#aggregate-bill) |"), "{sagas}");
    let row = "| [`post.Sent`](#post.Sent) | `sent` | [`Declare`](#post.Declare) to `customs` |";
    assert!(sagas.contains(row), "{sagas}");
    let bill = chapter(&page, "## Aggregate `bill`");
    assert!(
        bill.contains(
            "Gets commands from whoever sends them, and from saga [`charge-sender`](#component-charge-sender), \
             saga [`pay-out`](#component-pay-out), process manager [`insurance`](#component-insurance).\n"
        ),
        "{bill}"
    );
    let parcel = chapter(&page, "## Aggregate `parcel`");
    assert!(!parcel.contains("Gets commands"), "{parcel}");
    let projectors = chapter(&page, "## Projectors");
    assert!(projectors.contains("| [`Packed`](#post.Packed) | `packed` |"), "{projectors}");
    assert!(projectors.contains("| A destination that cannot be spelled fails. |"), "{projectors}");
    let elsewhere = chapter(&page, "## Aggregates elsewhere");
    assert!(
        elsewhere.contains("| `customs` | `Customs` | Declared, not here. | [`Declare`](#post.Declare) |"),
        "{elsewhere}"
    );
    let upcasters = chapter(&page, "## Upcasters");
    assert!(upcasters.contains("### `post.Packed`, now version 2\n"), "{upcasters}");
    assert!(
        upcasters.contains("| version 1 | [`PackedV1`](#post.PackedV1) | `weigh` | [`Packed`](#post.Packed) | The first version did not weigh. |"),
        "{upcasters}"
    );
}

#[test]
fn f3_k2_e3_an_aggregate_says_what_it_does_about_facts_and_failures() {
    let page = markdown(&registry());
    let parcel = chapter(&page, "## Aggregate `parcel`");
    let (_, rest) = parcel.split_once("\n### Facts\n").expect("the facts");
    assert_eq!(
        rest.split("\n<a id=").next(),
        Some(
            "
What happened outside and cannot be refused.

| Fact | What becomes of it | Events |
|---|---|---|
| [`Noted`](#post.Noted) | What a carrier says. | [`Tracked`](#post.Tracked) |

### Compensation

| When | What it does | Events |
|---|---|---|
| [`Charge`](#billing.Charge) is rejected | Who does not pay gets it back. | [`Returned`](#post.Returned) |
| [`Declare`](#post.Declare) is rejected by `customs` | `stopped` | [`Returned`](#post.Returned) |
| a cascade that its events belong to is taken back | Only what is on its way can be called back. | [`Returned`](#post.Returned) |
"
        )
    );
    for (event, origins) in [
        ("Tracked", "the fact [`Noted`](#post.Noted)"),
        (
            "Returned",
            "when [`Charge`](#billing.Charge) is rejected<br>when [`Declare`](#post.Declare) is rejected by \
             `customs`<br>a compensation",
        ),
    ] {
        let row = parcel.lines().find(|line| line.starts_with(&format!("| [`{event}`]"))).expect("its row");
        assert!(row.contains(&format!("| {origins} |")), "{row}");
    }
    let bill = chapter(&page, "## Aggregate `bill`");
    assert!(!bill.contains("### Facts") && !bill.contains("### Compensation"), "{bill}");
}

#[test]
fn p1_p5_p6_a_process_manager_says_what_it_waits_for() {
    let page = markdown(&registry());
    let processes = chapter(&page, "## Process managers");
    assert_eq!(
        processes.split("\n<a id=\"projectors\"").next(),
        Some(
            "## Process managers

Each process is known by a correlation id.

<a id=\"component-insurance\"></a>
### Process manager `insurance`

Pays for what never arrives.

State: `Insurance`. Listens to [`parcel`](#aggregate-parcel). Sends to [`bill`](#aggregate-bill), `customs`.

| When | What it does |
|---|---|
| [`Insured`](#post.Insured) | Covers it for a week. |
| [`Tracked`](#post.Tracked) | `tracked` |
| the timeout `lost` is due | A week is over. |
| [`Charge`](#billing.Charge) is rejected | `uncovered` |

| Own event | What happened | Fields | Listened to by |
|---|---|---|---|
| [`Covered`](#post.Covered) | – | see the Rust type `angzarr_runtime::testing::post_office::Covered` | – |
| [`Settled`](#post.Settled) | It is in the books. | see the Rust type `angzarr_runtime::testing::post_office::Settled` | saga [`pay-out`](#component-pay-out) |
"
        )
    );
    let parcel = chapter(&page, "## Aggregate `parcel`");
    let row = parcel.lines().find(|line| line.starts_with("| [`Insured`](#post.Insured)")).expect("the row");
    assert!(row.ends_with("| process manager [`insurance`](#component-insurance) |"), "{row}");
}

#[test]
fn k3_d2_what_fails_has_a_place() {
    let page = markdown(&registry());
    let failures = chapter(&page, "## When something fails");
    let others = "any other: the dead letters of its target's domain";
    let charge = "[`Charge`](#billing.Charge) is rejected";
    let parcel = "of [`parcel`](#aggregate-parcel)";
    let declare = "[`Declare`](#post.Declare) is rejected by `customs`";
    let from_parcel = format!("{charge}: `not_paid` {parcel}<br>{declare}: `stopped` {parcel}<br>{others}");
    let from_process = format!("{charge}: `uncovered` of [`insurance`](#component-insurance)<br>{others}");
    for (component, answers, letters) in [
        (
            "saga [`charge-sender`](#component-charge-sender)",
            from_parcel.as_str(),
            "waits in the dead letters of `charge-sender`",
        ),
        ("saga [`customs`](#component-customs)", &from_parcel, "waits in the dead letters of `customs`"),
        ("saga [`pay-out`](#component-pay-out)", &from_process, "waits in the dead letters of `pay-out`"),
        (
            "process manager [`insurance`](#component-insurance)",
            &format!("{charge}: `uncovered`<br>{others}"),
            "waits in the dead letters of `insurance`",
        ),
        (
            "projector [`journal`](#component-journal)",
            "–",
            "parks its stream in the dead letters, with the events behind it",
        ),
    ] {
        let row = format!("| {component} | {answers} | {letters} |\n");
        assert!(failures.contains(&row), "`{row}` is missing in\n{failures}");
    }
}

/// Whatever is declared stands in the model, in the order of its names, and in both texts.
#[test]
fn nothing_that_is_declared_is_lost() {
    let registry = registry();
    let (model, page, chart) = (model::Model::of(&registry), markdown(&registry), mermaid(&registry));
    for (declared, it) in registry.aggregates.values().zip(&model.aggregates) {
        assert_eq!(declared.descriptor.domain, it.domain);
        assert!(declared.facts.keys().eq(it.facts.iter().map(|fact| &fact.what)), "{}", it.domain);
        let rejected = it.rejected.iter().map(|it| (it.what.clone(), it.target));
        assert!(declared.rejected.keys().cloned().eq(rejected), "{}", it.domain);
        assert_eq!(declared.compensate.map(|it| it.method), it.compensate.as_ref().map(|it| it.method));
        let applied = it.events.iter().filter(|event| event.applied_by.is_some()).count();
        assert_eq!(declared.appliers.len(), applied);
        for fact in &it.facts {
            assert!(model.messages.contains_key(&fact.what) && page.contains(&format!("<a id=\"{}\"></a>", fact.what)));
        }
    }
    for (declared, it) in registry.process_managers.values().zip(&model.processes) {
        assert_eq!(declared.descriptor.state.domain, it.domain);
        assert!(declared.handlers.keys().eq(it.handlers.iter().map(|handler| &handler.event)));
        assert!(declared.timeouts.keys().eq(it.timeouts.iter().map(|timeout| &timeout.name)));
        assert!(declared.rejected.keys().cloned().eq(it.rejected.iter().map(|it| (it.what.clone(), it.target))));
        assert!(chart.contains(&format!("{{{{\"{}\"}}}}", it.domain)), "{chart}");
        for timeout in &it.timeouts {
            assert!(page.contains(&format!("the timeout `{}` is due", timeout.name)), "{page}");
            assert!(chart.contains(&format!("\"timeout {}\"", timeout.name)), "{chart}");
        }
        for event in &it.events {
            assert!(page.contains(&format!("<a id=\"{}\"></a>", event.full_name)), "{page}");
        }
    }
    assert_eq!(model.aggregates.len(), registry.aggregates.len());
    assert_eq!(model.processes.len(), registry.process_managers.len());
    assert_eq!(model.sagas.len(), registry.sagas.len());
}

#[test]
fn every_link_has_its_place() {
    let page = markdown(&registry());
    let links: Vec<_> = page.split("](#").skip(1).filter_map(|rest| rest.split_once(')')).map(|(id, _)| id).collect();
    assert!(links.len() > 40, "{}", links.len());
    for id in links {
        assert_eq!(page.matches(&format!("<a id=\"{id}\"></a>")).count(), 1, "{id}");
    }
}

#[test]
fn the_same_program_gives_the_same_text() {
    assert_eq!(markdown(&registry()), markdown(&registry()));
    let page = markdown(&registry());
    assert!(!page.contains(".rs"), "no place in the source: it would go stale with every line");
}

#[test]
fn formats_have_names() {
    assert_eq!(Format::NAMES.map(str::parse), [Ok(Format::Markdown), Ok(Format::Mermaid)]);
    assert_eq!("mmd".parse(), Ok(Format::Mermaid));
    assert_eq!("html".parse::<Format>().unwrap_err(), "`html` is no format of this version; write markdown or mermaid");
    assert_eq!(Format::Mermaid.render(&registry()), mermaid(&registry()));
}

#[test]
fn a_saga_whose_type_names_no_target_may_send_to_any() {
    let handler =
        |targets| model::Handler { event: "post.Sent".to_owned(), method: "sent", doc: "", live_only: false, targets };
    let saga = |targets| model::Saga { name: "s", doc: "", domain: "parcel", handlers: vec![handler(targets)] };
    let mut model = model::Model::of(&registry());
    model.sagas = vec![saga(vec![Target::Domain("parcel"), Target::Any])];
    let page = super::markdown::page(&model);
    let several = "[`Drop`](#post.Drop), [`Pack`](#post.Pack), [`Send`](#post.Send) or [`Stamp`](#post.Stamp)";
    let row = format!("| `sent` | {several} to [`parcel`](#aggregate-parcel)<br>any command, to any aggregate |");
    assert!(chapter(&page, "## Sagas").contains(&row), "{page}");
    let chart = super::mermaid::flowchart(&model);
    for line in ["    any([\"any aggregate\"])\n", "    s0 -. commands .-> a1\n", "    s0 -. commands .-> any\n"] {
        assert!(chart.contains(line), "`{line}` is missing in\n{chart}");
    }
    model.sagas = vec![saga(Vec::new())];
    assert!(!super::mermaid::flowchart(&model).contains("any"), "nobody sends to any");
}
