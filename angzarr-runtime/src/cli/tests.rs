//! The tool from its arguments to what the terminal shows.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use prost::Message as _;

use super::run_from;
use crate::storage::{Append, NewEvent, Storage as _};
use crate::stream::{Headers, Name, StreamKey};
use crate::testing::ManualClock;
use crate::testing::post_office::{self, Pack, PackedV1, Parcel, Send};
use crate::{Builder, Edition, Memory, Uuid, root};

/// What the tool answered.
struct Answer {
    code: ExitCode,
    out: String,
    err: String,
}

async fn ask(builder: Builder, arguments: &[&str]) -> Answer {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("post").chain(arguments.iter().copied());
    let code = run_from(builder, arguments, &mut out, &mut err).await;
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer { code, out: text(out), err: text(err) }
}

impl Answer {
    #[track_caller]
    fn is(self, code: ExitCode) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }
}

const WRONG: fn() -> ExitCode = || ExitCode::from(1);
const USAGE: fn() -> ExitCode = || ExitCode::from(2);

fn parcel() -> Uuid {
    root("parcel", "1")
}

/// A store with one parcel, packed on 1 January 2020 at noon and sent an hour later, and one more on a branch.
async fn store() -> Memory {
    let memory = Memory::new();
    let clock = ManualClock::at(UNIX_EPOCH + Duration::from_secs(1_577_880_000));
    let runtime = post_office::builder().storage(memory.clone()).clock(clock.clone()).build().await.expect("it starts");
    let pack = |label: &str| Pack { label: label.to_owned(), grams: 5_000 };
    runtime.send::<Parcel>(parcel(), pack("books")).correlation("shelf-7").await.expect("packed");
    clock.advance(Duration::from_secs(3_600));
    runtime.send::<Parcel>(parcel(), Send { to: "Ada".to_owned() }).await.expect("sent");
    let what_if = Edition::named("what-if").diverge("parcel", 1);
    runtime.send::<Parcel>(parcel(), pack("bricks")).edition(what_if).await.expect("packed");
    runtime.settled().await;
    runtime.shutdown().await.expect("it ends");
    memory
}

async fn ask_store(arguments: &[&str]) -> Answer {
    ask(post_office::builder().storage(store().await), arguments).await
}

#[tokio::test]
async fn check_counts_what_is_wired() {
    let answer = ask(post_office::builder(), &["check"]).await.is(ExitCode::SUCCESS);
    assert_eq!(
        answer.out,
        "ok: 2 aggregates, 5 commands, 8 events, 3 sagas, 1 process manager, 1 projector, 2 upcasters\n"
    );
    assert_eq!(answer.err, "");
}

#[tokio::test]
async fn check_explains_every_way() {
    let answer = ask(post_office::builder(), &["check", "--explain"]).await.is(ExitCode::SUCCESS);
    for line in [
        "  command post.Send\n    goes to `send` (",
        "), merge = Strict\n    may give post.Sent, post.Insured\n",
        "  event billing.Sent\n    no command gives it: it comes from older versions of the program\n",
        "    saga `charge-sender` handles it in `charge_sender` (",
        "    projector `journal` does not: it listens to this domain and has no handler for this event\n",
        "    projector `journal` does not: it listens to `parcel`\n",
    ] {
        assert!(answer.out.contains(line), "`{line}` is missing in\n{}", answer.out);
    }
}

/// What stands under a heading of the explanation, without the places in the source.
fn section(text: &str, heading: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.starts_with(heading)).take_while(|line| !line.is_empty());
    let without_place = |line: &str| match line.find("(angzarr-runtime/").or_else(|| line.find("(src/")) {
        Some(from) => {
            let to = line[from..].find(')').map_or(line.len(), |to| from + to + 1);
            format!("{}(…){}", &line[..from], &line[to..])
        }
        None => line.to_owned(),
    };
    lines.skip(1).map(without_place).collect::<Vec<_>>().join("\n") + "\n"
}

#[tokio::test]
async fn f3_k2_e3_check_explains_facts_rejections_and_compensation() {
    let text = ask(post_office::builder(), &["check", "--explain"]).await.is(ExitCode::SUCCESS).out;
    let parcel = section(&text, "aggregate `parcel` ");
    let from_fact = parcel.find("  fact post.Noted\n").expect("the facts");
    assert_eq!(
        &parcel[from_fact..],
        "  fact post.Noted
    comes from outside, or from saga `pay-out`
    goes to `carrier_says` (…), which cannot refuse it
    may give post.Tracked
  any other fact
    has no `#[fact]`: it is appended as it is if one of the events above is of its type, or is an UNKNOWN_FACT
  rejection of billing.Charge
    comes for a command of saga `charge-sender`
    goes to `not_paid` (…)
    may give post.Returned
  rejection of post.Declare by `customs`
    comes for a command of saga `customs`
    goes to `stopped` (…)
    may give post.Returned
  compensation
    comes when a cascade fails that a command for it belonged to, under COMPENSATE
    goes to `call_back` (…)
    may give post.Returned
"
    );
    let returned = "  event post.Returned
    comes from a rejection of billing.Charge, a rejection of post.Declare by `customs`, a compensation
";
    assert!(parcel.contains(returned), "{parcel}");
    assert!(parcel.contains("  event post.Tracked\n    comes from the fact post.Noted\n"), "{parcel}");
    let bill = section(&text, "aggregate `bill` ");
    let nobody = "    nobody answers: `bill` has no `#[compensate]`; it waits in the dead letters of `bill`\n";
    assert!(bill.ends_with(nobody), "{bill}");
    assert!(bill.contains("  any fact\n    has no `#[fact]`"), "{bill}");
}

#[tokio::test]
async fn k2_k3_check_explains_who_answers_for_a_component() {
    let text = ask(post_office::builder(), &["check", "--explain"]).await.is(ExitCode::SUCCESS).out;
    assert_eq!(
        section(&text, "saga `charge-sender` "),
        "  listens to `parcel`
  if `bill` rejects billing.Charge
    `not_paid` of `parcel` answers (…)
  if a method of its own fails
    what it was to handle waits in the dead letters of `charge-sender`
"
    );
    // Its source is a process, so the process answers for it.
    let pay_out = section(&text, "saga `pay-out` ");
    assert!(
        pay_out.contains("  if `bill` rejects billing.Charge\n    `uncovered` of `insurance` answers (…)\n"),
        "{pay_out}"
    );
    assert_eq!(
        section(&text, "process manager `insurance` "),
        "  listens to `parcel`; an event without a correlation id is skipped, and counted
  event post.Covered
    comes from its own methods
    saga `charge-sender` does not: it listens to `parcel`
    saga `customs` does not: it listens to `parcel`
    saga `pay-out` does not: it listens to this domain and has no handler for this event
    projector `journal` does not: it listens to `parcel`
  event post.Settled
    comes from its own methods
    saga `pay-out` handles it in `pay_out` (…)
    saga `charge-sender` does not: it listens to `parcel`
    saga `customs` does not: it listens to `parcel`
    projector `journal` does not: it listens to `parcel`
  timeout `lost`
    comes when a method has scheduled it and its time is there, if the process is not over
    goes to `lost` (…)
  any other timeout
    has no `#[timeout]`: a reaction that schedules it fails
  if `bill` rejects billing.Charge
    `uncovered` of `insurance` answers (…)
  if `customs` rejects post.Declare
    nobody answers: `insurance` has no `#[rejected]` for it; the command waits in the dead letters of `customs`
  if anything else is rejected
    nobody answers: `insurance` has no `#[rejected]` for it; the command waits in the dead letters of its target
  if a method of its own fails
    what it was to handle waits in the dead letters of `insurance`
"
    );
    for line in [
        "    process manager `insurance` handles it in `insured` (",
        "), if it has a correlation id\n",
        "    process manager `insurance` does not: it listens to `parcel`\n",
        "    process manager `insurance` does not: it listens to this domain and has no handler for this event\n",
    ] {
        assert!(text.contains(line), "`{line}` is missing in\n{text}");
    }
}

#[tokio::test]
async fn check_lists_every_mistake_and_fails() {
    let wrong = crate::Runtime::builder().storage_url("oracle:bank").expect_domains(["stamp"]).with(3_u8);
    let answer = ask(wrong, &["check"]).await.is(WRONG());
    assert_eq!(answer.out, "");
    for mistake in [
        "error: the program is not wired correctly, 5 mistakes:\n",
        "error: `oracle:bank` is no storage of this build; write `memory:` or `sqlite:FILE`",
        "error: the domain `stamp` is expected and not linked into this program",
        "error: the saga `customs` holds something and got no instance\n   --> ",
        "error: the projector `journal` holds something and got no instance\n   --> ",
        "error: `.with(u8)` gives an instance of something that is no component",
    ] {
        assert!(answer.err.contains(mistake), "`{mistake}` is missing in\n{}", answer.err);
    }
}

#[tokio::test]
async fn docs_go_to_the_terminal_or_a_file() {
    // Documentation needs no instances.
    let page = ask(crate::Runtime::builder(), &["docs"]).await.is(ExitCode::SUCCESS).out;
    assert!(page.starts_with("# Domain reference\n"), "{page}");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("DOCS.mmd");
    let file = path.to_str().expect("text");
    let answer = ask(post_office::builder(), &["docs", "--format", "mermaid", "--output", file]).await;
    let answer = answer.is(ExitCode::SUCCESS);
    let written = std::fs::read_to_string(&path).expect("the file");
    assert!(written.starts_with("flowchart LR\n"), "{written}");
    assert_eq!(answer.out, format!("wrote {file} ({} lines)\n", written.lines().count()));

    let nowhere = directory.path().join("no/where.md");
    let answer = ask(post_office::builder(), &["docs", "--output", nowhere.to_str().expect("text")]).await.is(WRONG());
    assert!(answer.err.starts_with("error: cannot write ") && answer.err.contains("\n  help: give `--output` a file"));
    let answer = ask(post_office::builder(), &["docs", "--format", "html"]).await.is(USAGE());
    assert!(answer.err.contains("[possible values: markdown, mermaid]"), "{}", answer.err);
}

#[tokio::test]
async fn streams_are_listed_page_by_page() {
    let answer = ask_store(&["streams"]).await.is(ExitCode::SUCCESS);
    let lines: Vec<_> = answer.out.lines().collect();
    assert_eq!(lines.len(), 5, "{}", answer.out);
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["STREAM", "EVENTS", "LAST", "EVENT", "(UTC)"]);
    assert!(lines[1].starts_with("bill/"), "{}", answer.out);
    let main = format!("parcel/{}", parcel());
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), [&main, "3", "2020-01-01", "13:00:00"]);
    assert_eq!(lines[4], "3 streams");

    let answer = ask_store(&["streams", "--domain", "parcel", "--limit", "1"]).await.is(ExitCode::SUCCESS);
    assert!(
        answer.out.ends_with(&format!("there are more: add `--after {main}`, or a larger `--limit`\n")),
        "{}",
        answer.out
    );
    let answer = ask_store(&["streams", "--after", &main]).await.is(ExitCode::SUCCESS);
    assert!(answer.out.contains("parcel@what-if/") && !answer.out.contains(&main), "{}", answer.out);
}

#[tokio::test]
async fn a_stream_is_shown_by_any_of_its_names() {
    let whole = ask_store(&["show", "parcel/1"]).await.is(ExitCode::SUCCESS).out;
    let root = parcel().to_string();
    assert_eq!(
        whole,
        format!(
            "parcel/{root}: 3 events
snapshot after event 2 (15 bytes)

#0  2020-01-01 12:00:00  post.Packed v2  correlation shelf-7
    {{\"#1\": \"books\", \"#2\": 5000}}

#1  2020-01-01 13:00:00  post.Sent
    {{\"#1\": \"Ada\"}}

#2  2020-01-01 13:00:00  post.Insured
    {{}}
"
        )
    );
    assert_eq!(ask_store(&["show", &format!("parcel/{root}")]).await.is(ExitCode::SUCCESS).out, whole);
    // The root alone has the branch beside it, and still means the main timeline.
    assert_eq!(ask_store(&["show", &root]).await.is(ExitCode::SUCCESS).out, whole);

    let part = ask_store(&["show", "parcel/1", "--from", "1", "--limit", "1"]).await.is(ExitCode::SUCCESS).out;
    assert!(part.contains("\n#1  ") && !part.contains("\n#0  ") && !part.contains("\n#2  "), "{part}");
    assert!(part.ends_with("\nthere are more: add `--from 2`, or a larger `--limit`\n"), "{part}");
    let beyond = ask_store(&["show", "parcel/1", "--from", "9"]).await.is(ExitCode::SUCCESS).out;
    assert!(beyond.ends_with("\nno event at 9 or later\n"), "{beyond}");

    let branch = ask_store(&["show", "parcel@what-if/1"]).await.is(ExitCode::SUCCESS).out;
    assert!(
        branch.starts_with(&format!("parcel@what-if/{root}: 2 events, 1 of them on the main timeline\n")),
        "{branch}"
    );
    assert!(branch.contains(&format!(
        "left the main timeline before event 1; what came before is shown by `show parcel/{root}`\n"
    )));
    assert!(branch.contains("\n#1  ") && branch.contains("bricks"), "{branch}");
}

#[tokio::test]
async fn the_main_timeline_has_a_name_too() {
    let whole = ask_store(&["show", "parcel/1"]).await.is(ExitCode::SUCCESS).out;
    assert_eq!(ask_store(&["show", "parcel@angzarr/1"]).await.is(ExitCode::SUCCESS).out, whole);
    let after = format!("parcel@angzarr/{}", parcel());
    let page = ask_store(&["streams", "--after", &after]).await.is(ExitCode::SUCCESS).out;
    assert!(page.ends_with("\n1 stream\n") && page.contains("parcel@what-if/"), "{page}");
}

#[tokio::test]
async fn u1_an_old_event_is_shown_with_its_version() {
    let memory = Memory::new();
    let key = StreamKey::main(Name::new("parcel"), parcel());
    let old = |name: &str, schema_version| NewEvent {
        type_name: Name::new(name),
        schema_version,
        payload: PackedV1 { label: "books".to_owned() }.encode_to_vec().into(),
        isolated: false,
    };
    // An event of before there were versions, one of version 1, and one under the name that version 1 has now.
    let write = crate::storage::Write::append(Append {
        key,
        expected: 0,
        events: vec![old("post.Packed", 0), old("post.Packed", 1), old("post.PackedV1", 1)].into(),
        created_at: 0,
        headers: Headers::default(),
        dedup: None,
        diverged_at: None,
    });
    let outcomes = memory.commit(vec![write]).await;
    assert!(matches!(outcomes.as_slice(), [Ok(_)]), "{outcomes:?}");
    let shown = ask(post_office::builder().storage(memory), &["show", "parcel/1"]).await.is(ExitCode::SUCCESS).out;
    let events: Vec<_> = shown.lines().filter(|line| line.starts_with('#')).map(|line| &line[25..]).collect();
    assert_eq!(
        events,
        ["post.Packed v1, read as v2", "post.Packed v1, read as v2", "post.PackedV1 v1, read as post.Packed v2"],
        "{shown}"
    );
}

#[tokio::test]
async fn a_state_is_shown_now_and_then() {
    let now = ask_store(&["state", "parcel", "1"]).await.is(ExitCode::SUCCESS).out;
    assert!(
        now.starts_with(&format!("parcel/{}: 3 events, the last at 2020-01-01 13:00:00\nParcel {{\n", parcel())),
        "{now}"
    );
    assert!(now.contains("    to: \"Ada\",\n"), "{now}");
    for then in
        [["--as-of", "2020-01-01 12:59:59"], ["--as-of-time", "2020-01-01T13:59:59+01:00"], ["--as-of-sequence", "0"]]
    {
        let then = ask_store(&[&["state", "parcel", "1"][..], &then[..]].concat()).await.is(ExitCode::SUCCESS).out;
        assert!(then.contains(": 1 event, the last at 2020-01-01 12:00:00\n"), "{then}");
        assert!(then.contains("    to: \"\",\n"), "{then}");
    }
    let before = ask_store(&["state", "parcel", "1", "--as-of", "2019-12-31 23:59"]).await.is(ExitCode::SUCCESS).out;
    assert!(before.contains("no events yet; this is the state before the first one"), "{before}");
    let branch = ask_store(&["state", "parcel", "1", "--edition", "what-if"]).await.is(ExitCode::SUCCESS).out;
    assert!(!branch.contains("nothing was ever stored"), "{branch}");
    let untouched = ask_store(&["state", "parcel", "1", "--edition", "nope"]).await.is(ExitCode::SUCCESS).out;
    assert!(
        untouched.contains("\nnothing was ever stored on this branch: it is as the main timeline is\n"),
        "{untouched}"
    );
    assert!(branch.contains("    label: \"bricks\",\n") && branch.contains("    to: \"\",\n"), "{branch}");
}

#[tokio::test]
async fn errors_say_the_next_step() {
    for (arguments, code, what, next) in [
        (&["show", "parcels/1"][..], USAGE(), "there is no domain `parcels`", "did you mean `parcel`?"),
        (
            &["streams", "--domain", "zoo"],
            USAGE(),
            "there is no domain `zoo`",
            "the domains are: bill, insurance, parcel",
        ),
        (&["streams", "--domain", "insurence"], USAGE(), "no domain `insurence`", "did you mean `insurance`?"),
        (&["show", "insuranse/w"], USAGE(), "there is no domain `insuranse`", "did you mean `insurance`?"),
        (&["state", "insuranc", "w"], USAGE(), "there is no domain `insuranc`", "did you mean `insurance`?"),
        // A process that has not begun has a domain all the same.
        (&["show", "insurance/w"], WRONG(), "has no events", "`streams --domain insurance` lists what there is"),
        (&["show", "parcel/"], USAGE(), "`parcel/` names no stream", "write DOMAIN/ROOT"),
        (&["show", "parcel/2"], WRONG(), "has no events", "was taken for the natural key of root(\"parcel\", \"2\")"),
        (&["show", "2"], WRONG(), "no stream has the root `2`", "`streams` lists what there is"),
        (&["state", "parcel", "2"], WRONG(), "has no events", "`streams --domain parcel` lists what there is"),
        (&["state", "parcels", "2"], USAGE(), "parcels", "parcel"),
        (&["state", "parcel", "1", "--as-of", "noon"], USAGE(), "`noon` is no time", "write `2026-07-01 12:00`"),
        (&["streams", "--after", "1"], USAGE(), "needs a whole name", "DOMAIN/ROOT"),
        (&["streams", "--limit", "0"], USAGE(), "invalid value '0'", "--help"),
        (&["strems"], USAGE(), "unrecognized subcommand 'strems'", "'streams'"),
        (&[], USAGE(), "Usage: post <COMMAND>", "streams"),
    ] {
        let answer = ask_store(arguments).await.is(code);
        assert_eq!(answer.out, "", "{arguments:?}");
        assert!(answer.err.contains(what) && answer.err.contains(next), "{arguments:?}: {}", answer.err);
    }
    let bill = ask_store(&["streams", "--domain", "bill"]).await.out;
    let bill = bill.lines().nth(1).and_then(|line| line.split_whitespace().next()).expect("a bill").to_owned();
    let id = bill.strip_prefix("bill/").expect("its root");
    let answer = ask_store(&["show", &format!("parcel/{id}")]).await.is(WRONG());
    assert!(answer.err.contains(&format!("did you mean `{bill}`?")), "{}", answer.err);
}

#[tokio::test]
async fn p1_a_process_is_found_by_its_correlation_id() {
    let memory = Memory::new();
    let runtime = post_office::builder().storage(memory.clone()).build().await.expect("it starts");
    let bricks = Pack { label: "bricks".to_owned(), grams: 5_000 };
    runtime.send::<Parcel>(parcel(), bricks).correlation("w").await.expect("packed");
    runtime.send::<Parcel>(parcel(), Send { to: "Ada".to_owned() }).correlation("w").await.expect("sent");
    runtime.settled().await;
    runtime.shutdown().await.expect("it ends");
    let builder = || post_office::builder().storage(memory.clone());
    let page = ask(builder(), &["streams", "--domain", "insurance"]).await.is(ExitCode::SUCCESS).out;
    assert!(page.contains(&format!("insurance/{}", root("insurance", "w"))) && page.contains("\n1 stream\n"), "{page}");
    let shown = ask(builder(), &["show", "insurance/w"]).await.is(ExitCode::SUCCESS).out;
    assert!(shown.contains("  post.Covered  correlation w\n    {\"#1\": 100}\n"), "{shown}");
    let state = ask(builder(), &["state", "insurance", "w"]).await.is(ExitCode::SUCCESS).out;
    assert!(state.contains("    cents: 100,\n"), "{state}");
}

#[tokio::test]
async fn an_empty_store_in_memory_says_why() {
    let answer = ask(post_office::builder(), &["streams"]).await.is(ExitCode::SUCCESS);
    assert_eq!(answer.out, "no streams: the store is in memory, and begins empty with every process\n");
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("post.db");
    let answer = ask(post_office::builder().storage(crate::Sqlite::open(&path)), &["streams"]).await.is(WRONG());
    assert!(
        answer.err.contains("there is no file ") && answer.err.contains("nothing is stored there yet"),
        "{}",
        answer.err
    );
    assert!(answer.err.contains("help: `config` shows which store the program uses"), "{}", answer.err);
    assert!(!path.exists());
}

#[tokio::test]
async fn config_shows_every_setting() {
    let builder = post_office::builder().storage(Memory::new()).command_attempts(3);
    let answer = ask(builder, &["config"]).await.is(ExitCode::SUCCESS);
    let rows: Vec<Vec<_>> = answer.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["SETTING", "VALUE", "FROM"]);
    for row in [
        ["storage", "memory", "builder"],
        ["transport", "local", "default"],
        ["command_attempts", "3", "builder"],
        ["sync_deadline", "5s", "default"],
        ["server.listen", "(none)", "default"],
    ] {
        assert!(rows.contains(&row.to_vec()), "{row:?} is missing in\n{}", answer.out);
    }
}

#[tokio::test]
async fn config_writes_a_file_that_says_the_same() {
    let said = "storage = \"sqlite:it's.db?durability=relaxed\"\nreaction_backoff_min = \"1500us\"\n[limits]\nid_bytes = 99\n\
                [server]\nlisten = \"127.0.0.1:1\"\ntls_cert = \"a \\\"b\\\".pem\"\ntls_key = \"k.pem\"\n[telemetry]\n\
                service_name = \"Überweisung\"";
    let configured = |text: &str| post_office::builder().configured_by(crate::Config::from_toml("a.toml", text));
    let written = ask(configured(said), &["config", "--format", "toml"]).await.is(ExitCode::SUCCESS).out;
    let values =
        |builder: Builder| -> Vec<_> { builder.settings().into_iter().map(|it| (it.name, it.value)).collect() };
    assert_eq!(values(configured(&written)), values(configured(said)), "{written}");
    assert!(configured(&written).problems().is_empty());
    for setting in configured(said).settings() {
        let name = setting.name.rsplit_once('.').map_or(setting.name, |(_, name)| name);
        assert!(written.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = "))), "{name}");
        assert!(written.contains(setting.about) && written.contains(&setting.variable), "{name}");
    }
}

#[tokio::test]
async fn config_shows_mistakes_and_never_a_password() {
    let said =
        "storage = \"nosuch://ada:s3cr3t@host/bank\"\ntransport = \"nosuch://ada:s3cr3t@host\"\nsync_dedline = \"5s\"";
    for format in ["table", "toml"] {
        let builder = post_office::builder().configured_by(crate::Config::from_toml("a.toml", said));
        let answer = ask(builder, &["config", "--format", format]).await.is(ExitCode::FAILURE);
        assert!(answer.out.contains("sync_deadline") && !answer.out.contains("a.toml"), "{}", answer.out);
        assert!(answer.err.contains("a.toml:3: there is no setting `sync_dedline`"), "{}", answer.err);
        assert!(answer.err.contains("a.toml:1: `nosuch://ada:***@host/bank` is no storage"), "{}", answer.err);
        assert!(!answer.out.contains("s3cr3t") && !answer.err.contains("s3cr3t"), "{} {}", answer.out, answer.err);
    }
    // A look never opens another store than the one that was meant.
    let builder = post_office::builder().configured_by(crate::Config::from_toml("a.toml", said));
    let answer = ask(builder, &["streams"]).await.is(ExitCode::FAILURE);
    assert!(answer.err.contains("is no storage") && !answer.err.contains("s3cr3t"), "{}", answer.err);
}

#[tokio::test]
async fn help_teaches() {
    let answer = ask(post_office::builder(), &["--help"]).await.is(ExitCode::SUCCESS);
    for command in ["check", "docs", "streams", "show", "state", "dead-letters", "rebuild", "config"] {
        assert!(answer.out.contains(&format!("\n  {command} ")), "{}", answer.out);
        let help = ask(post_office::builder(), &[command, "--help"]).await.is(ExitCode::SUCCESS).out;
        assert!(help.contains(&format!("Usage: post {command}")), "{help}");
        assert!(help.contains("Example"), "no example in\n{help}");
    }
}

#[tokio::test]
async fn help_of_the_commands_of_dead_letters_teaches() {
    for command in ["list", "show", "retry", "discard"] {
        let help = ask(post_office::builder(), &["dead-letters", command, "--help"]).await.is(ExitCode::SUCCESS).out;
        assert!(help.contains("Example") && help.contains(&format!("  dead-letters {command}")), "{help}");
    }
}

/// A store whose `journal` cannot handle where a parcel goes to, and what comes after.
async fn store_with_letters() -> Memory {
    let memory = Memory::new();
    let clock = ManualClock::at(UNIX_EPOCH + Duration::from_secs(1_577_880_000));
    let runtime = post_office::builder().storage(memory.clone()).clock(clock).build().await.expect("it starts");
    let pack = Pack { label: "books".to_owned(), grams: 5 };
    runtime.send::<Parcel>(parcel(), pack.clone()).await.expect("packed");
    runtime.send::<Parcel>(parcel(), Send { to: "?".to_owned() }).correlation("shelf-7").await.expect("sent");
    runtime.send::<Parcel>(parcel(), pack).await.expect("packed");
    runtime.settled().await;
    runtime.shutdown().await.expect("it ends");
    memory
}

fn letters_builder(memory: &Memory) -> Builder {
    post_office::builder().storage(memory.clone())
}

fn letter_of(sequence: u32) -> String {
    let key = StreamKey::main(Name::new("parcel"), parcel());
    crate::dead_letter::letter_id("journal", &key, sequence, 0).to_string()
}

#[tokio::test]
async fn d2_dead_letters_are_listed_and_shown() {
    let memory = store_with_letters().await;
    let (first, second, root) = (letter_of(1), letter_of(2), parcel());
    let list = ask(letters_builder(&memory), &["dead-letters", "list"]).await.is(ExitCode::SUCCESS).out;
    let lines: Vec<Vec<_>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["ID", "PUT", "HERE"], "{list}");
    let stream = format!("parcel/{root}");
    let row =
        [first.as_str(), "2020-01-01", "12:00:00", "journal", "#1", "post.Sent", &stream, "1", "no", "such", "place"];
    assert_eq!(lines[1], row);
    assert_eq!((lines[2][0], lines[2][7]), (second.as_str(), "0"), "it waits behind the first");
    assert!(list.ends_with("\n2 dead letters\n"), "{list}");
    for (filter, count) in [
        (["--correlation", "shelf-7"], "1 dead letter\n"),
        (["--component", "journal"], "2 dead letters\n"),
        (["--domain", "parcel"], "2 dead letters\n"),
        (["--domain", "bill"], "no dead letters that are open\n"),
        (["--limit", "1"], "1 dead letter\nthere are more: narrow it down, or take a larger `--limit`\n"),
    ] {
        let list = ask(letters_builder(&memory), &[&["dead-letters", "list"], &filter[..]].concat()).await;
        let list = list.is(ExitCode::SUCCESS).out;
        assert!(list.ends_with(count), "{filter:?}: {list}");
    }
    let shown = ask(letters_builder(&memory), &["dead-letters", "show", &first]).await.is(ExitCode::SUCCESS).out;
    assert_eq!(
        shown,
        format!(
            "{first}: open
  projector `journal`, parcel/{root}
  put here 2020-01-01 12:00:00 (UTC), tried once
  correlation shelf-7
  reason: no such place

#1  post.Sent
    {{\"#1\": \"?\"}}

`dead-letters retry {first}` runs it again; `dead-letters discard {first} --reason …` gives it up
"
        )
    );
    let behind = ask(letters_builder(&memory), &["dead-letters", "show", &second]).await.is(ExitCode::SUCCESS).out;
    assert!(behind.contains("not tried: it waits behind an earlier one"), "{behind}");
}

#[tokio::test]
async fn d2_dead_letters_are_retried_and_discarded() {
    let memory = store_with_letters().await;
    let (first, second) = (letter_of(1), letter_of(2));
    // The oldest fails again, and the other one has to wait for it.
    let answer = ask(letters_builder(&memory), &["dead-letters", "retry", "--all-of", "journal"]).await.is(WRONG());
    assert!(answer.out.contains(&format!("{first}: journal: no such place\n")), "{}", answer.out);
    assert!(answer.out.contains(&format!("{second}: ")) && answer.out.contains("is older: retry or discard it first"));
    assert!(answer.out.ends_with("0 dead letters retried\n"), "{}", answer.out);
    assert!(answer.err.contains("2 dead letters could not be done and stay open"), "{}", answer.err);
    let discard = ["dead-letters", "discard", &first, "--reason", "a test parcel"];
    let answer = ask(letters_builder(&memory), &discard).await.is(ExitCode::SUCCESS);
    assert_eq!(answer.out, format!("{first}: discarded\n"));
    // The one behind it followed.
    let answer = ask(letters_builder(&memory), &["dead-letters", "retry", &second]).await.is(ExitCode::SUCCESS);
    assert_eq!(answer.out, format!("{second}: is resolved already\n0 dead letters retried\n"));
    let all = ask(letters_builder(&memory), &["dead-letters", "list", "--all"]).await.is(ExitCode::SUCCESS).out;
    assert!(all.contains("(UTC): a test parcel]") && all.contains("[retried "), "{all}");
}

#[tokio::test]
async fn errors_of_rebuild_and_dead_letters_say_the_next_step() {
    let (nobody, letter) = (Uuid::nil().to_string(), letter_of(1));
    for (arguments, code, what, next) in [
        (&["rebuild", "jurnal"][..], USAGE(), "there is no projector `jurnal`", "did you mean `journal`?"),
        (&["rebuild", "zoo"], USAGE(), "there is no projector `zoo`", "the projectors are: journal"),
        (&["rebuild", "journal"], WRONG(), "it has no read model", "into_instance"),
        (&["dead-letters", "list", "--component", "jurnal"], USAGE(), "`jurnal`", "did you mean `journal`?"),
        (&["dead-letters", "retry", "--all-of", "jurnal"], USAGE(), "`jurnal`", "did you mean `journal`?"),
        (&["dead-letters", "show", &nobody], WRONG(), "there is no dead letter", "`dead-letters list --all`"),
        (&["dead-letters", "discard", &nobody, "--reason", "x"], WRONG(), "there is no dead letter", "list --all"),
        (&["dead-letters", "discard", &letter, "--reason", " "], USAGE(), "`--reason` is empty", "say why"),
        (&["dead-letters", "discard", &letter], USAGE(), "--reason", "--help"),
        (&["dead-letters", "retry"], USAGE(), "<ID>", "--help"),
    ] {
        let answer = ask(letters_builder(&store_with_letters().await), arguments).await.is(code);
        assert!(answer.err.contains(what) && answer.err.contains(next), "{arguments:?}: {}", answer.err);
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_store_that_is_held_says_so_and_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let builder = || post_office::builder().storage(crate::Sqlite::open(directory.path().join("post.db")));
    let runtime = builder().build().await.expect("it starts");
    let id = Uuid::nil().to_string();
    for (arguments, instead) in [
        (&["rebuild", "journal"][..], "`runtime.rebuild(…)`"),
        (&["dead-letters", "retry", &id], "`runtime.dead_letters().retry(…)`"),
        (&["dead-letters", "discard", &id, "--reason", "x"], "`runtime.dead_letters().discard(…)`"),
    ] {
        let answer = ask(builder(), arguments).await.is(WRONG());
        assert!(answer.err.contains("is in use by process "), "{}", answer.err);
        let help = format!("help: stop that process and try again, or call {instead} inside it");
        assert!(answer.err.contains(&help), "{}", answer.err);
    }
    // A look is allowed.
    let answer = ask(builder(), &["dead-letters", "list"]).await.is(ExitCode::SUCCESS);
    assert_eq!(answer.out, "no dead letters that are open\n");
    runtime.shutdown().await.expect("it ends");
}

/// A pipe whose reader has gone after so many bytes.
struct Closed(usize);

impl Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.min(bytes.len()) {
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            taken => {
                self.0 -= taken;
                Ok(taken)
            }
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let memory = store().await;
    for arguments in [&["streams"][..], &["show", "parcel/1"], &["docs"], &["config"], &["check"], &["--help"]] {
        for bytes in [0, 1, 20] {
            let mut err = Vec::new();
            let builder = post_office::builder().storage(memory.clone());
            let arguments = std::iter::once("post").chain(arguments.iter().copied());
            let code = run_from(builder, arguments, &mut Closed(bytes), &mut err).await;
            assert_eq!((code, err.as_slice()), (ExitCode::SUCCESS, &b""[..]));
        }
    }
}

#[cfg(feature = "server")]
mod serving {
    use clap::Parser as _;

    use super::super::arguments::Arguments;
    use super::super::{Command, ServeArguments, serve};
    use super::*;

    fn arguments(given: &[&str]) -> ServeArguments {
        let all = ["post", "serve", "--listen", "127.0.0.1:0"].into_iter().chain(given.iter().copied());
        let Command::Serve(arguments) = Arguments::try_parse_from(all).expect("they make sense").command else {
            panic!("not `serve`");
        };
        arguments
    }

    #[tokio::test]
    async fn serve_tells_what_it_offers_and_ends_in_order() {
        let memory = Memory::new();
        let builder = post_office::builder().storage(memory.clone());
        let mut out = Vec::new();
        serve::run_until(builder, arguments(&[]), &mut out, async {}).await.expect("it serves and ends");
        let out = String::from_utf8(out).expect("text");
        assert!(out.starts_with("listening on 127.0.0.1:"), "{out}");
        for part in [
            "(plain text)",
            "\n  angzarr.CommandHandlerCoordinatorService\n",
            "\n  angzarr.ProjectorCoordinatorService\n",
            "grpcurl -plaintext -d '{\"command\": {\"cover\": {\"domain\": \"",
            "\nstopped\n",
        ] {
            assert!(out.contains(part), "no `{part}` in\n{out}");
        }
        assert!(!out.contains("anybody who reaches"), "{out}");
        // The program has ended in order: its store is closed.
        post_office::builder()
            .storage(memory)
            .build()
            .await
            .expect("another one starts")
            .shutdown()
            .await
            .expect("ends");
    }

    #[tokio::test]
    async fn errors_of_serve_say_the_next_step() {
        let builder = || post_office::builder().storage(Memory::new());
        let answer = ask(builder(), &["serve", "--tls-cert", "a.pem"]).await.is(USAGE());
        assert!(answer.err.contains("--tls-key"), "{}", answer.err);
        let answer = ask(builder(), &["serve", "--tls-cert", "no.pem", "--tls-key", "no.pem"]).await.is(USAGE());
        assert!(answer.err.contains("cannot read no.pem"), "{}", answer.err);
        let answer = ask(builder(), &["serve", "--token-env", "NO_SUCH_TOKENS"]).await.is(USAGE());
        assert!(answer.err.contains("help: export NO_SUCH_TOKENS="), "{}", answer.err);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = taken.local_addr().expect("an address").to_string();
        let answer = ask(builder(), &["serve", "--listen", &address]).await.is(WRONG());
        assert!(answer.err.contains("help: another process listens there"), "{}", answer.err);
        let help = ask(builder(), &["serve", "--help"]).await.is(ExitCode::SUCCESS).out;
        assert!(help.contains("Examples:") && help.contains("SIGTERM"), "{help}");
    }
}

#[cfg(feature = "remote")]
mod elsewhere;
