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
        a1e2("post.Sent")
        a1e3("Stamped")
    end
    r0[["customs (elsewhere)"]]
    s0{{"charge-sender"}}
    s1{{"customs"}}
    p0[("journal")]
    a0c0 --> a0e0
    a1c0 --> a1e2
    a1c1 --> a1e1
    a1c2 --> a1e2
    a1c2 --> a1e0
    a1c3 --> a1e3
    a1e1 --> p0
    a1e2 --> s0
    a1e2 --> s1
    a1e2 --> p0
    s0 -. commands .-> a0
    s1 -. commands .-> r0
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

2 aggregates, 5 commands, 6 events, 2 sagas, 1 projector.

- [The flow](#flow)
- [Aggregate `bill`](#aggregate-bill): What a customer owes.
- [Aggregate `parcel`](#aggregate-parcel): A parcel, from the table to the road.
- [Aggregates elsewhere](#remotes)
- [Sagas](#sagas)
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
            "Gets commands from whoever sends them, and from saga [`charge-sender`](#component-charge-sender).\n"
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
