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
    let tests = ["bank", "flights", "shop"].map(|example| read(&format!("examples/{example}/tests/domain.rs")));
    let shown: Vec<_> = section.split("```rust,ignore\n").skip(1).filter_map(|it| it.split_once("```")).collect();
    assert_eq!(shown.len(), 4);
    for (code, _) in shown {
        assert!(tests.iter().any(|test| test.contains(code)), "no test has this:\n{code}");
    }
}

/// A text without what differs from run to run: ids of streams and times of day.
fn masked(text: &str) -> String {
    let is_id = |word: &str| word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4;
    let is_time = |word: &str| word.len() == 12 && word.bytes().filter(|byte| *byte == b':').count() == 2;
    let is_day = |word: &str| {
        word.len() == 10 && word.starts_with("20") && word.bytes().filter(|byte| *byte == b'-').count() == 2
    };
    let mut masked = String::new();
    for piece in text.split_inclusive([' ', '\n', '/', ',']) {
        let word = piece.trim_end_matches([' ', '\n', '/', ',', ':']);
        let mask = match word {
            word if is_id(word) => "ID",
            word if is_time(word) => "TIME",
            word if is_day(word) => "DAY",
            word => word,
        };
        masked.push_str(mask);
        masked.push_str(&piece[word.len()..]);
    }
    masked
}

/// The words of a command line; `"…"` is one.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for (at, part) in line.split('"').enumerate() {
        if at % 2 == 1 { words.push(part) } else { words.extend(part.split_whitespace()) }
    }
    words
}

#[test]
fn the_readme_shows_what_the_tool_answers() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).expect("the README");
    let (_, rest) = readme.split_once("```console\n").expect("the block");
    let (block, _) = rest.split_once("```").expect("its end");
    let directory = tempfile::tempdir().expect("a directory");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).current_dir(&directory).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let tool = env!("CARGO_BIN_EXE_bank-tool");
    run(env!("CARGO_BIN_EXE_bank"), &[]);
    let streams = run(tool, &["streams"]);
    let of = |text: &str| text.split("account/").nth(1).map(|rest| rest[..36].to_owned()).expect("a stream");
    let (shown_id, id) = (of(block), of(&streams));
    let mut compared = 0;
    for step in block.split("$ ").skip(1) {
        let (command, answer) = step.split_once('\n').expect("an answer");
        let Some(arguments) = command.strip_prefix("bank-tool ") else { continue };
        let (arguments, filter) = arguments.split_once(" | ").unwrap_or((arguments, ""));
        let arguments = arguments.replace(&shown_id, &id);
        let came = run(tool, &words(&arguments));
        let (came, answer) = (masked(&came), masked(answer));
        if filter.is_empty() {
            assert_eq!(came, answer, "{command}");
        } else {
            assert!(came.contains(&answer), "{command}: `{answer}` is missing in\n{came}");
        }
        compared += 1;
    }
    assert_eq!(compared, 5);
}
