//! Wiring mistakes that only the whole program shows: told all at once, each with file and line of every side.

#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;

/// One `error:` or `warning:` of the report, up to the next one.
struct Report {
    errors: Vec<String>,
    source: Vec<String>,
    file: &'static str,
}

fn run(program: &str, file: &'static str) -> Report {
    let output = Command::new(program).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(3), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("WIRING\n"), "{text}");
    let text = text.replace("\nwarning: ", "\nerror: ");
    let errors = text.split("\nerror: ").skip(1).map(str::to_owned).collect();
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("the source");
    Report { errors, source: source.lines().map(str::to_owned).collect(), file }
}

impl Report {
    /// There is exactly one error that says `what`; it names `places`: lines of the source near which this text stands.
    fn tells(&mut self, what: &str, places: &[&str], hint: &str) {
        self.tells_near(what, "", places, hint);
    }

    /// The same where several errors say it: the one that names `who`.
    fn tells_near(&mut self, what: &str, who: &str, places: &[&str], hint: &str) {
        let told = |error: &str| error.contains(what) && error.contains(who);
        let found: Vec<usize> = (0..self.errors.len()).filter(|&n| told(&self.errors[n])).collect();
        assert_eq!(found.len(), 1, "`{what}` is told {} times:\n{}", found.len(), self.errors.join("\n---\n"));
        let error = self.errors.remove(found[0]);
        let lines: Vec<usize> = error
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("--> "))
            .map(|place| {
                let at = place.find(self.file.rsplit('/').next().unwrap_or_default()).expect("the file is named");
                let number = place[at..].split(':').nth(1).expect("a line");
                number.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
            })
            .collect();
        assert_eq!(lines.len(), places.len(), "{error}");
        for place in places {
            let near = |line: &usize| {
                let from = line.saturating_sub(1);
                self.source[from..(from + 4).min(self.source.len())].iter().any(|text| text.contains(place))
            };
            assert!(lines.iter().any(near), "no place of this error is near `{place}`:\n{error}");
        }
        assert!(error.contains(hint), "no `{hint}` in:\n{error}");
    }
}

#[test]
fn components_are_checked_together() {
    let mut report = run(env!("CARGO_BIN_EXE_wiring-components"), "programs/wiring_components.rs");
    report.tells(
        "two aggregates have the domain `engine`",
        &["struct FirstEngine", "struct SecondEngine"],
        "another domain",
    );
    report.tells(
        "two components have the name `dashboard`",
        &["struct Dashboard", "fn dashboard_saga"],
        "give each its own",
    );
    report.tells("no aggregate has the domain `brakes`", &["struct Odometer"], "did you mean `brake`?");
    report.tells(
        "the projector `recorder` holds something and got no instance",
        &["struct Recorder"],
        ".with(Recorder {",
    );
    report.tells("the projector `idler` handles no event", &["struct Idler"], "#[projector] impl Idler");
    report.tells("the message `wiring.Stopped` has two shapes", &["Stopped", "twin::Stopped"], "rename one");
    report.tells("`postgers://nowhere` is no storage", &[], "");
    report.tells("`pigeon:` is no transport", &[], "local:");
    report.tells("the domain `gearbox` is expected and not linked", &[], "use its_crate as _;");
    report.tells("Stranger", &[], "annotate the struct");
    assert!(report.errors.is_empty(), "unexpected:\n{}", report.errors.join("\n---\n"));
}

#[test]
fn u3_upcaster_chains_are_checked_together() {
    let mut report = run(env!("CARGO_BIN_EXE_wiring-upcasters"), "programs/wiring_upcasters.rs");
    report.tells(
        "`chains.Hole` have a hole: nothing takes version 2",
        &["fn hole_begins", "fn hole_ends"],
        "missing step",
    );
    report.tells("`chains.Late` have a hole: they start at version 2", &["fn late_start"], "");
    report.tells("two upcasters take version 1 of `chains.Twice`", &["fn twice_a", "fn twice_b"], "one successor");
    report.tells("ForkV1`: a chain may not fork", &["fn fork_left", "fn fork_right"], "one upcaster");
    // A circle for each circle, through whatever output.
    report.tells_near(
        "run in a circle",
        "egg_to_hen",
        &["fn egg_to_hen", "fn hen_to_egg"],
        "the last one the current event",
    );
    report.tells_near("run in a circle", "cut_tape", &["fn cut_tape", "fn splice_strip"], "newer shapes only");
    report.tells(
        "a handler returns `chains.SaidV1`, which is an old version",
        &["fn say_it_the_old_way", "fn raise_voice"],
        "return the current event",
    );
    report.tells("`speaker` is not a valid name", &["struct Speaker"], "1 to 6 of a-z");
    report.tells("`chains.Misfit` do not fit together", &["fn misfit_begins", "fn misfit_goes_on"], "");
    assert!(report.errors.is_empty(), "unexpected:\n{}", report.errors.join("\n---\n"));
}

#[test]
fn p1_process_managers_are_checked_together() {
    let mut report = run(env!("CARGO_BIN_EXE_wiring-coordination"), "programs/wiring_coordination.rs");
    report.tells(
        "the process manager `Checkout` has a handler for the command `coordination.Pay`",
        &["struct Checkout", "fn pay_here"],
        "in an aggregate",
    );
    report.tells("the process manager `Mirror` listens to itself", &["struct Mirror"], "in the same reaction");
    report.tells("`Stutter` lists the domain `till` twice", &["struct Stutter"], "name each domain once");
    report.tells(
        "`Checkout` has two `#[rejected]` for the command `coordination.Pay`",
        &["fn refused_by_type", "fn refused_by_name"],
        "one method for each",
    );
    assert!(report.errors.is_empty(), "unexpected:\n{}", report.errors.join("\n---\n"));
}

#[test]
fn k2_rejections_that_never_come_are_warned_of() {
    let mut report = run(env!("CARGO_BIN_EXE_wiring-rejections"), "programs/wiring_rejections.rs");
    report.tells(
        "`Till` waits for a rejected `rejections.Pay`, and no saga listens to it",
        &["fn pay_refused"],
        "put the method on the process manager",
    );
    report.tells(
        "`Checkout` waits for a rejected `rejections.Pai`, which nobody handles",
        &["fn misspelled"],
        "did you mean `rejections.Pay`?",
    );
    report.tells(
        "`Checkout` waits for a rejected `rejections.Ship`, which nothing in `till` handles",
        &["fn wrong_target"],
        "",
    );
    // What a remote aggregate says that it handles is known, and a saga's source may wait for what the saga sends.
    assert!(report.errors.is_empty(), "unexpected:\n{}", report.errors.join("\n---\n"));
}
