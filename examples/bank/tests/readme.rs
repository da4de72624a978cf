//! The README shows this program, and it does what it says.

use std::process::Command;

const BEGIN: &str = "<!-- bank:begin -->\n";
const END: &str = "<!-- bank:end -->";

#[test]
fn the_readme_shows_the_program_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let shown = format!(
        "{BEGIN}```protobuf\n// proto/bank.proto\n{}```\n\n```rust,ignore\n{}```\n{END}",
        include_str!("../proto/bank.proto"),
        include_str!("../src/main.rs")
    );
    if readme.contains(&shown) {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let (before, rest) = readme.split_once(BEGIN).expect("the begin mark");
        let (_, after) = rest.split_once(END).expect("the end mark");
        std::fs::write(path, format!("{before}{shown}{after}")).expect("the README can be written");
        return;
    }
    panic!("the README shows another program; renew it with `UPDATE_DOCS=1 cargo test -p bank`");
}

#[test]
fn the_program_tells_its_story() {
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..2 {
        let output = Command::new(env!("CARGO_BIN_EXE_bank")).current_dir(&directory).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        for line in [
            "the read model shows 70 already",
            "Ada has 70 after 3 events",
            "yesterday the account did not exist",
            "after the deposit the balance was 120",
            "withdrawing 5 would give Some(Withdrawn { amount: 5, new_balance: 65 })",
            "rejected: insufficient_funds: balance is 70, wanted 500",
            "is at sequence 3, the command expected 1 (merge strategy Strict)",
            "in the branch the balance is 111",
            "on the main timeline it is still 70",
        ] {
            assert!(text.contains(line), "`{line}` is missing in\n{text}");
        }
    }
}

#[test]
fn the_readme_shows_tests_that_run() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |path: &str| std::fs::read_to_string(format!("{directory}/{path}")).expect("the file");
    let readme = read("README.md");
    let (_, rest) = readme.split_once("\n## Testing a domain\n").expect("the section");
    let (section, _) = rest.split_once("\n## ").expect("its end");
    let tests = [read("examples/bank/tests/domain.rs"), read("examples/flights/tests/domain.rs")];
    let shown: Vec<_> = section.split("```rust,ignore\n").skip(1).filter_map(|it| it.split_once("```")).collect();
    assert_eq!(shown.len(), 3);
    for (code, _) in shown {
        assert!(tests.iter().any(|test| test.contains(code)), "no test has this:\n{code}");
    }
}
