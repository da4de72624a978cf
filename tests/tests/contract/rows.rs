//! Every row of the contract that this version promises is named by a test somewhere in the workspace: the test's name begins
//! with the row, or with several rows one after the other. What must not compile is proved by a program in `ui-tests`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rows that a test proves. A later issue adds to this list.
const ROWS: &[&str] = &[
    "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11", // the command pipeline
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", // merge strategies
    "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", // sync modes
    "e1", "e2", "e3", "e4", "e5", // cascade error modes
    "g1", "g2", "g3", "g5", "g6", // sagas
    "p1", "p2", "p3", "p4", "p5", "p6", "p7", // process managers
    "k1", "k2", "k3", "k4", "k5", // compensation
    "f1", "f2", "f3", // facts
    "j1", "j2", "j3", "j4", "j5", "j6", // projectors
    "d1", "d2", "d4", "d5", // dead letters
    "t1", "t2", "t3", // temporal queries
    "b1", "b2", "b3", "b4", "b5", "b6", "b7", // editions
    "n1", "n2", "n3", "n4", "n5", "n6", // snapshots
    "u1", "u2", "u3", "u4", "u5", // upcasting
    "r1", "r2", "r3", "r6", "r7", // delivery and recovery
    "i1", "i2", "i3", "i4", // correlation
    "l",  // limits
];

/// A row that is a compile error, the programs that prove it, and what the compiler's words must say.
const COMPILE_ERRORS: &[(&str, &[&str], &str)] =
    &[("g4", &["saga_on_two_domains", "saga_with_apply", "saga_mut_self"], "process manager")];

#[test]
fn every_compile_error_of_a_row_has_its_program() {
    let programs = workspace().join("ui-tests/fail");
    for (row, names, words) in COMPILE_ERRORS {
        for name in *names {
            assert!(programs.join(format!("{name}.rs")).is_file(), "{row}: there is no program `{name}`");
            let said = std::fs::read_to_string(programs.join(format!("{name}.stderr"))).unwrap_or_default();
            assert!(said.contains(words), "{row}: `{name}` is not told about a {words}:\n{said}");
        }
    }
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

#[test]
fn only_tests_count_and_only_by_how_their_names_begin() {
    // One string a line: this file is looked through like any other.
    let text = [
        "fn c1_no_test() {}",
        "#[test]",
        "fn c2_a_test() {}",
        "#[test]",
        "#[cfg(unix)]",
        "fn m1_m8_two_rows_and_not_c3() {}",
        "#[test]",
        "fn rest_of_c4() {}",
        "on_every_store! {",
        "    async fn t1_on_every_store(store) {",
        "        async fn t2_inside() {}",
        "    }",
        "}",
        "async fn t3_behind() {}",
    ]
    .join("\n");
    let names = test_functions(&text);
    assert_eq!(names, ["c2_a_test", "m1_m8_two_rows_and_not_c3", "rest_of_c4", "t1_on_every_store"]);
    let rows: Vec<_> = names.into_iter().flat_map(rows_of).collect();
    assert_eq!(rows, ["c2", "m1", "m8", "t1"]);
}

/// The rows that a test's name begins with.
fn rows_of(name: &str) -> Vec<&'static str> {
    name.split('_').map_while(|part| ROWS.iter().find(|row| **row == part)).copied().collect()
}

#[test]
fn every_row_is_named_by_a_test() {
    let mut files = Vec::new();
    rust_files(workspace(), &mut files);
    assert!(files.len() > 50, "only {} files found under {}", files.len(), workspace().display());
    let mut tests: BTreeMap<&str, Vec<String>> = ROWS.iter().map(|row| (*row, Vec::new())).collect();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        for name in test_functions(&text) {
            for row in rows_of(name) {
                tests.entry(row).or_default().push(name.to_owned());
            }
        }
    }
    let missing: Vec<&str> = tests.iter().filter(|(_, tests)| tests.is_empty()).map(|(row, _)| *row).collect();
    assert!(missing.is_empty(), "no test names these rows of the contract: {missing:?}");
}

/// Names of functions under a test attribute, or inside `on_every_store!`.
fn test_functions(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let (mut attributed, mut on_every_store) = (false, false);
    for line in text.lines() {
        let code = line.trim_start();
        on_every_store |= line.starts_with("on_every_store!");
        on_every_store &= line != "}";
        if code.starts_with("#[test]") || code.starts_with("#[tokio::test") || code.starts_with("proptest!") {
            attributed = true;
        }
        let function = code.strip_prefix("async fn ").or_else(|| code.strip_prefix("fn "));
        if let Some(function) = function {
            // Only top-level functions of the macro's body are tests.
            let of_macro = on_every_store && line.starts_with("    async fn ");
            if attributed || of_macro {
                names.push(function.split(['(', '<']).next().unwrap_or_default());
            }
            attributed = false;
        }
    }
    names
}

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
