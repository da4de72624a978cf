//! Components in other languages, in every command that shows components.

use std::process::ExitCode;
use std::time::Duration;

use super::{ask, section};
use crate::Builder;
use crate::docs::{markdown, mermaid};
use crate::remote::Remote;
use crate::testing::post_office;

fn builder() -> Builder {
    post_office::builder()
        .remote_aggregate("depot", Remote::at("http://127.0.0.1:7001").snapshot(100))
        .remote_saga("loader", "parcel", Remote::at("http://me:secret@127.0.0.1:7002").deadline(Duration::from_secs(2)))
        .remote_process_manager("route", ["parcel", "depot"], "http://127.0.0.1:7003")
        .remote_projector("map", ["route", "depot"], "http://127.0.0.1:7004")
        .remote_upcaster("depot", "http://127.0.0.1:7005")
}

const ALL: [&str; 5] = [
    "remote aggregate `depot` at http://127.0.0.1:7001, deadline 10s, a snapshot every 100 events",
    "remote saga `loader`, listens to `parcel`, at http://…@127.0.0.1:7002, deadline 2s",
    "remote process manager `route`, listens to `depot`, `parcel`, at http://127.0.0.1:7003, deadline 10s",
    "remote projector `map`, listens to `depot`, `route`, at http://127.0.0.1:7004, deadline 10s",
    "remote upcaster `depot` at http://127.0.0.1:7005, deadline 10s",
];

#[tokio::test]
async fn check_and_config_name_them() {
    let checked = ask(builder(), &["check"]).await.is(ExitCode::SUCCESS).out;
    let configured = ask(builder(), &["config"]).await.is(ExitCode::SUCCESS).out;
    for line in ALL {
        assert!(checked.contains(&format!("{line}\n")), "`{line}` is missing in\n{checked}");
        assert!(configured.contains(&format!("{line}\n")), "`{line}` is missing in\n{configured}");
    }
    let summary = "ok: 3 aggregates, 5 commands, 8 events, 4 sagas, 2 process managers, 2 projectors, 3 upcasters, \
                   5 of these elsewhere\n";
    assert!(checked.ends_with(summary), "{checked}");
    assert!(!checked.contains("secret") && !configured.contains("secret"));
    let loadable = ask(builder(), &["config", "--format", "toml"]).await.is(ExitCode::SUCCESS).out;
    assert!(!loadable.contains("remote"), "{loadable}");
}

#[tokio::test]
async fn check_explains_what_goes_there() {
    let text = ask(builder(), &["check", "--explain"]).await.is(ExitCode::SUCCESS).out;
    let depot = section(&text, "remote aggregate `depot`");
    assert_eq!(
        depot,
        "  every command for `depot`
    goes there, with the history of its stream; the rejection is its own answer
  its events are listened to by `route`, `map`
  while it is out of reach
    commands are answered UNAVAILABLE and may be retried; those of components wait
"
    );
    let parcel = section(&text, "aggregate `parcel` ");
    for line in [
        "    saga `loader` gets it at http://…@127.0.0.1:7002, and handles it or not\n",
        "    process manager `route` gets it at http://127.0.0.1:7003, and handles it or not, if it has a correlation id\n",
        "    projector `map` does not: it listens to `route`, `depot`\n",
        "    comes for a command of saga `charge-sender`, `loader`\n",
    ] {
        assert!(parcel.contains(line), "`{line}` is missing in\n{parcel}");
    }
    assert!(section(&text, "remote saga `loader`").starts_with("  every event of `parcel` goes there\n"), "{text}");
    assert!(!text.contains("secret"));
}

#[test]
fn the_documentation_shows_them() {
    let registry = builder().check().expect("the wiring");
    let page = markdown(&registry);
    assert!(page.contains("2 aggregates, ") && page.contains(", 5 components elsewhere.\n"), "{page}");
    assert!(page.contains("- [Components elsewhere](#elsewhere)\n"), "{page}");
    for row in [
        "| <a id=\"component-depot\"></a>remote aggregate `depot` | `depot` | `http://127.0.0.1:7001` | 10s | every 100 |\n",
        "| <a id=\"component-loader\"></a>remote saga `loader` | listens to [`parcel`](#aggregate-parcel) | \
         `http://…@127.0.0.1:7002` | 2s | – |\n",
        "| <a id=\"component-map\"></a>remote projector `map` | listens to [`depot`](#component-depot), \
         [`route`](#component-route) | `http://127.0.0.1:7004` | 10s | – |\n",
        "| <a id=\"upcaster-depot\"></a>remote upcaster `depot` | `depot` | `http://127.0.0.1:7005` | 10s | – |\n",
    ] {
        assert!(page.contains(row), "`{row}` is missing in\n{page}");
    }
    assert!(!page.contains("## Aggregate `depot`") && !page.contains("### Saga `loader`"), "{page}");
    assert!(page.contains("saga [`loader`](#component-loader)"), "it may listen to each event of its domain");
    let chart = mermaid(&registry);
    for line in [
        "    e0[[\"depot (elsewhere)\"]]\n",
        "    e1{{\"loader (elsewhere)\"}}\n",
        "    e2{{\"route (elsewhere)\"}}\n",
        "    e3[(\"map (elsewhere)\")]\n",
        "    a1 --> e1\n",
        "    e0 --> e2\n",
        "    a1 --> e2\n",
        "    e0 --> e3\n",
        "    e2 --> e3\n",
    ] {
        assert!(chart.contains(line), "`{line}` is missing in\n{chart}");
    }
}

#[cfg(feature = "server")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_names_them() {
    use clap::Parser as _;

    use super::super::arguments::Arguments;
    use super::super::{Command, serve};

    let Ok(Arguments { command: Command::Serve(arguments), .. }) =
        Arguments::try_parse_from(["post", "serve", "--listen", "127.0.0.1:0"])
    else {
        panic!("not `serve`");
    };
    let mut out = Vec::new();
    let builder = builder().storage(crate::Memory::new());
    serve::run_until(builder, arguments, &mut out, async {}).await.expect("it serves and ends");
    let out = String::from_utf8(out).expect("text");
    for line in ALL {
        assert!(out.contains(&format!("calls the {line}\n")), "`{line}` is missing in\n{out}");
    }
}
