//! The tool, after the program has told its story.

use std::path::Path;
use std::process::{Command, Output};

fn tool(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bank-tool")).current_dir(directory).args(arguments).output().expect("it runs")
}

fn answer(directory: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = tool(directory, arguments);
    let text = String::from_utf8(stdout).expect("text");
    assert!(status.success(), "{arguments:?}: {text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

#[test]
fn the_tool_looks_into_the_program_and_its_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    assert!(
        answer(directory, &["check"])
            .starts_with("ok: 1 aggregate, 6 commands, 8 events, 0 sagas, 1 projector, 1 upcaster")
    );
    let before = tool(directory, &["streams"]);
    assert_eq!(before.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&before.stderr).contains("there is no file bank.db"));
    assert!(std::fs::read_dir(directory).expect("it is there").next().is_none(), "looking leaves nothing behind");

    assert!(
        Command::new(env!("CARGO_BIN_EXE_bank")).current_dir(directory).output().expect("it runs").status.success()
    );
    let streams = answer(directory, &["streams"]);
    let main = streams.split_whitespace().find(|word| word.starts_with("account/")).expect("a stream");
    assert!(streams.contains("account@bonus/"), "{streams}");
    let shown = answer(directory, &["show", main]);
    assert!(
        shown.contains("bank.Withdrawn  correlation transfer-7\n    {\"amount\": 50, \"new_balance\": 70}\n"),
        "{shown}"
    );
    let id = main.strip_prefix("account/").expect("its root");
    assert!(answer(directory, &["state", "account", id]).contains("    balance: 70,\n"));
    assert!(answer(directory, &["state", "account", id, "--as-of-sequence", "1"]).contains("    balance: 120,\n"));
    assert!(answer(directory, &["state", "account", id, "--edition", "bonus"]).contains("    balance: 111,\n"));
    assert!(answer(directory, &["config"]).contains("sqlite bank.db (durable)\n"));
    assert!(answer(directory, &["docs"]).starts_with("# Domain reference\n"));
}
