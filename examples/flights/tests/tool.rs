//! The program at the terminal: its answers, its tool, and a reader that goes away.

#![allow(missing_docs)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn flights(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flights"));
    command.current_dir(directory).args(arguments);
    command
}

fn answer(directory: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = flights(directory, arguments).output().expect("it runs");
    let text = String::from_utf8(stdout).expect("text");
    assert!(status.success(), "{arguments:?}: {text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

/// What the program leaves behind when nobody reads its answer.
fn unread(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child =
        flights(directory, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn the_tool_looks_into_the_program_and_its_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    assert!(
        answer(directory, &["check"])
            .starts_with("ok: 2 aggregates, 7 commands, 7 events, 1 saga, 1 process manager, 1 projector, 0 upcasters")
    );
    assert!(answer(directory, &["docs", "--format", "mermaid"]).starts_with("flowchart LR\n"));
    let before = flights(directory, &["streams"]).output().expect("it runs");
    assert_eq!(before.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&before.stderr).contains("there is no file flights.db"));
    assert!(std::fs::read_dir(directory).expect("it is there").next().is_none(), "looking leaves nothing behind");

    // The story is told to its end, even if nobody reads it.
    assert_eq!(unread(directory, &["run", "--relaxed", "--db", "week.db"]), (Some(0), String::new()));
    let tool = |arguments: &[&str]| answer(directory, &[&["--db", "week.db"], arguments].concat());
    let streams = tool(&["streams", "--domain", "aircraft", "--limit", "2"]);
    assert!(streams.contains("\n2 streams\nthere are more: add `--after aircraft/"), "{streams}");
    let shown = tool(&["show", "aircraft/N258JB", "--limit", "1"]);
    assert!(shown.contains("flights.TookOff\n    {\"flight\": \""), "{shown}");
    let now = tool(&["state", "aircraft", "N258JB"]);
    let then = tool(&["state", "aircraft", "N258JB", "--as-of", "2013-02-08 12:00"]);
    let flown = |text: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix("flown: ")).expect("flown");
        line.trim_end_matches(',').parse::<u32>().expect("a number")
    };
    assert!(flown(&then) < flown(&now), "{then}\n{now}");
    assert!(tool(&["config"]).contains("sqlite week.db (durable)  builder\n"));

    // The example of `--help`: in the air by then, down an hour and a half later.
    let flight = tool(&["flight", "B6625", "2013-02-08", "--as-of", "2013-02-08 20:00", "--db", "week.db"]);
    assert!(flight.contains("JFK → HOU") && flight.contains("departed (2 events)"), "{flight}");

    // What is asked of a branch leaves nothing behind; who asks what cannot be answered is told why.
    let what_if = tool(&["what-if", "--db", "week.db"]);
    assert!(what_if.contains("Rotations that would break: 1 of 13."), "{what_if}");
    assert!(tool(&["editions", "list"]).starts_with("no editions"));
    for (arguments, told) in [
        (&["what-if", "--airport", "BOS", "--db", "week.db"][..], "no flight leaves BOS at that moment or later"),
        (&["what-if", "--from", "2013-02-08", "--db", "week.db"], "add the time"),
        (
            &["rotations", "--db", "week.db"],
            "`flights run --db week.db --fresh --follow-aircraft` tells everything anew",
        ),
        (&["rotations", "yesterday", "--db", "week.db"], "`yesterday` is no day"),
        (&["what-if", "--db", "year.db"], "there is no year.db yet; run `flights run --db year.db` first"),
    ] {
        let refused = flights(directory, arguments).output().expect("it runs");
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains(told), "{refused:?}");
    }

    for arguments in [
        &["storm", "--db", "week.db"][..],
        &["what-if", "--db", "week.db"],
        &["board", "JFK", "--db", "week.db"],
        &["aircraft", "N258JB", "--db", "week.db"],
        &["--db", "week.db", "streams"],
        &["docs"],
        &["--help"],
        // Everything is known by now: there is a line before the work, too.
        &["run", "--relaxed", "--db", "week.db"],
    ] {
        assert_eq!(unread(directory, arguments), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn the_environment_says_where_unless_the_command_line_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = |arguments: &[&str]| {
        let mut command = flights(directory.path(), arguments);
        let output = command.env("ANGZARR_STORAGE", "sqlite:elsewhere.db").output().expect("it runs");
        let config = String::from_utf8(output.stdout).expect("text");
        let line = config.lines().find_map(|line| line.strip_prefix("storage ")).expect("the setting");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(storage(&["config"]), "sqlite elsewhere.db (durable) ANGZARR_STORAGE");
    assert_eq!(storage(&["--db", "chosen.db", "config"]), "sqlite chosen.db (durable) builder");
    let url = "sqlite:chosen.db?durability=relaxed";
    assert_eq!(storage(&["--db", url, "config"]), "sqlite chosen.db (relaxed) builder");
}
