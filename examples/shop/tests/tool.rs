//! The program at the terminal, and its tool.

#![allow(missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

fn answer(program: &str, directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let Output { status, stdout, stderr } = command.current_dir(directory).args(arguments).output().expect("it runs");
    let text = String::from_utf8(stdout).expect("text");
    assert!(status.success(), "{arguments:?}: {text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

#[test]
fn the_program_tells_its_story_and_the_tool_looks_into_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let (program, tool) = (env!("CARGO_BIN_EXE_shop"), env!("CARGO_BIN_EXE_shop-tool"));
    let checked = answer(tool, directory, &["check"]);
    assert!(checked.starts_with("ok: 3 aggregates, "), "{checked}");
    assert!(std::fs::read_dir(directory).expect("it is there").next().is_none(), "looking leaves nothing behind");

    // Twice into one file: the second story does not mind the first.
    for told in 1..=2 {
        let story = answer(program, directory, &["--db", "shop.db"]);
        for line in [
            "placed: Ada for 25.00 €",
            "the answer comes when all is done: the order is confirmed; 25.00 € are paid",
            "the parcel is delivered: that is news",
            "the parcel is delivered: that was known already",
            "the order is confirmed, backordered: lamp; 52.50 € are paid",
            "books that are free: 0 fewer than before",
            "16 minutes later: the order is cancelled; 0.00 € are paid",
            "then the bank says 12.50 € came in: it goes back, nobody waits for it",
            "FailFast: failed, rejected: out_of_stock: 1 wanted, 0 left; compensated 0",
            "Continue: accepted, 1 failure",
            "Compensate: failed, rejected: out_of_stock: 1 wanted, 0 left; compensated 2",
            "DeadLetter: accepted, 0 failures",
            &format!("dead letters: {told}"),
        ] {
            assert!(story.contains(line), "`{line}` is missing in\n{story}");
        }
    }
    let letters = answer(tool, directory, &["dead-letters", "list"]);
    assert!(letters.contains("out_of_stock") && letters.ends_with("2 dead letters\n"), "{letters}");
    assert!(answer(tool, directory, &["docs"]).starts_with("# Domain reference\n"));
    assert!(answer(tool, directory, &["streams", "--domain", "checkout"]).contains("checkout/"));
}

#[test]
fn the_environment_says_where_unless_the_command_line_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command.current_dir(&directory).env("ANGZARR_STORAGE", "sqlite:elsewhere.db").args(arguments);
        assert!(command.output().expect("it runs").status.success());
    };
    let is_there = |file: &str| directory.path().join(file).exists();
    run(&["--db", "chosen.db"]);
    assert!(is_there("chosen.db") && !is_there("elsewhere.db"));
    run(&[]);
    assert!(is_there("elsewhere.db"));
}
