//! Every row of the contract that this version promises is named by a test somewhere in the workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The rows of issue 2. A later issue adds to this list.
const ROWS: &[&str] = &[
    "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11", // the command pipeline
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", // merge strategies
    "s1", "s2", "s3", "s5", "s6", "s9", // sync modes
    "g1", "g2", "g3", "g4", "g5", // sagas; G4 is a compile error, proved by a program in ui-tests
    "j1", "j2", "j4", "j5", // projectors
    "d1", "d2", "d4", "d5", // dead letters
    "t1", "t2", "t3", // temporal queries
    "b1", "b2", "b3", "b7", // editions
    "n1", "n2", "n3", "n4", "n5", "n6", // snapshots
    "u1", "u2", "u3", "u4", "u5", // upcasting
    "r1", "r6", // delivery and recovery
    "i1", "i2", "i3", "i4", // correlation
    "l",  // limits
];

#[test]
fn every_row_is_named_by_a_test() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut files = Vec::new();
    rust_files(workspace, &mut files);
    assert!(files.len() > 50, "only {} files found under {}", files.len(), workspace.display());
    let mut tests: BTreeMap<&str, Vec<String>> = ROWS.iter().map(|row| (*row, Vec::new())).collect();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a readable file");
        for name in test_functions(&text) {
            for row in name.split('_').map_while(|part| ROWS.iter().find(|row| **row == part)) {
                tests.entry(row).or_default().push(name.to_owned());
            }
        }
        // A program that must not compile is a test by its file's name.
        if file.components().any(|part| part.as_os_str() == "fail") {
            let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if name.contains("saga") {
                tests.entry("g4").or_default().push(name.to_owned());
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
