//! `pass/`: programs that must compile, and that check themselves when they run. `fail/`: programs with one mistake each; the
//! compiler must point at the user's own token and say what to write instead, word for word as in the `.stderr` beside it
//! (`TRYBUILD=overwrite cargo test -p angzarr-ui-tests` writes them anew; read what changed).

#[test]
fn programs() {
    let programs = trybuild::TestCases::new();
    programs.pass("pass/*.rs");
    programs.compile_fail("fail/*.rs");
}
