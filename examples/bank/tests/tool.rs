//! The tool, after the program has told its story.

use std::path::Path;
use std::process::{Command, ExitCode, Output};

use angzarr_runtime::storage::{Append, NewEvent, Storage, Write};
use angzarr_runtime::stream::{Headers, Name, StreamKey};
use angzarr_runtime::{Memory, OpenStorage, Runtime, Sqlite, cli, root};
use bank::pb::{Deposit, OwnerRegistered, OwnerRegisteredV1};
use bank::{Account, Balances};
use prost::Message as _;

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
    assert!(answer(directory, &["config"]).contains("sqlite bank.db (durable)  builder\n"));
    assert!(answer(directory, &["docs"]).starts_with("# Domain reference\n"));
}

/// A registration as version 1 stored it, and one of today.
async fn plant(storage: &dyn Storage) {
    let event = |schema_version, payload: Vec<u8>| NewEvent {
        type_name: Name::new("bank.OwnerRegistered"),
        schema_version,
        payload: payload.into(),
        isolated: false,
    };
    let (old, new) = (
        OwnerRegisteredV1 { name: "Ada Lovelace".into() },
        OwnerRegistered { first_name: "Ada".into(), last_name: "King".into() },
    );
    let write = Write::append(Append {
        key: StreamKey::main(Name::new("account"), root("account", "Ada")),
        expected: 0,
        events: vec![event(1, old.encode_to_vec()), event(2, new.encode_to_vec())].into(),
        created_at: 0,
        headers: Headers::default(),
        dedup: None,
        diverged_at: None,
    });
    let outcomes = storage.commit(vec![write]).await;
    assert!(matches!(outcomes.as_slice(), [Ok(_)]), "{outcomes:?}");
}

const SHOWN: &str = r#"
#0  1970-01-01 00:00:00  bank.OwnerRegistered v1, read as v2
    {"name": "Ada Lovelace"}

#1  1970-01-01 00:00:00  bank.OwnerRegistered v2
    {"first_name": "Ada", "last_name": "King"}
"#;

#[tokio::test]
async fn u1_an_old_event_is_shown_with_the_fields_that_it_had_in_memory() {
    let memory = Memory::new();
    plant(&memory).await;
    let pool = sqlx::SqlitePool::connect_lazy("sqlite:balances.db").expect("a pool");
    let builder = Runtime::builder().storage(memory).with(Balances { pool });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run_from(builder, ["bank-tool", "show", "account/Ada"], &mut out, &mut err).await;
    let out = String::from_utf8(out).expect("text");
    assert_eq!(code, ExitCode::SUCCESS, "{}", String::from_utf8_lossy(&err));
    assert!(out.ends_with(SHOWN), "{out}");
}

#[tokio::test]
async fn u1_an_old_event_is_shown_with_the_fields_that_it_had_in_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Box::new(Sqlite::open(directory.path().join("bank.db"))).open().await.expect("it opens");
    plant(storage.as_ref()).await;
    storage.close().await.expect("it closes");
    let out = answer(directory.path(), &["show", "account/Ada"]);
    assert!(out.ends_with(SHOWN), "{out}");
}

/// What `balances` shows of Ada.
async fn shown_balance(pool: &sqlx::SqlitePool) -> Option<i64> {
    let account = root("account", "Ada").to_string();
    let sql = "SELECT amount FROM balance WHERE account = ?1";
    sqlx::query_scalar(sql).bind(account).fetch_optional(pool).await.expect("the read model answers")
}

/// The table of the read model was forgotten: its events wait in the dead letters until it is there. Then a row is spoilt, and a
/// rebuild puts it right.
#[tokio::test]
async fn j3_d2_the_tool_retries_dead_letters_and_rebuilds_a_projector() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let pool = || async {
        let url = format!("sqlite:{}?mode=rwc", directory.join("balances.db").display());
        sqlx::SqlitePool::connect(&url).await.expect("a pool")
    };
    let runtime = Runtime::builder()
        .storage(Sqlite::open(directory.join("bank.db")))
        .with(Balances { pool: pool().await })
        .reaction_attempts(0)
        .build()
        .await
        .expect("it starts");
    for amount in [5, 6] {
        runtime.send::<Account>(root("account", "Ada"), Deposit { amount }).await.expect("it is taken");
    }
    runtime.settled().await;
    runtime.shutdown().await.expect("it ends");
    let listed = answer(directory, &["dead-letters", "list", "--component", "balances"]);
    assert!(listed.contains("no such table: balance") && listed.ends_with("2 dead letters\n"), "{listed}");

    let rows = pool().await;
    sqlx::query("CREATE TABLE balance (account TEXT PRIMARY KEY, amount INTEGER)")
        .execute(&rows)
        .await
        .expect("a table");
    let retried = answer(directory, &["dead-letters", "retry", "--all-of", "balances"]);
    assert!(retried.ends_with("1 dead letter retried\n") && retried.contains("is resolved already\n"), "{retried}");
    assert_eq!(shown_balance(&rows).await, Some(11));
    assert_eq!(answer(directory, &["dead-letters", "list"]), "no dead letters that are open\n");

    sqlx::query("UPDATE balance SET amount = -1").execute(&rows).await.expect("spoilt");
    let Output { status, stdout, stderr } = tool(directory, &["rebuild", "balances"]);
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{out}\n{err}");
    assert!(out.starts_with("rebuilt `balances`: 2 events in "), "{out}");
    assert!(out.ends_with("per second; it is at position 2\n"), "{out}");
    assert!(err.contains("balances: 2 of 2, "), "no terminal, so lines: {err}");
    assert_eq!(shown_balance(&rows).await, Some(11), "a pool that was open all the time sees it");
    assert!(!directory.join("balances.db.angzarr-rebuild").exists());

    let unknown = tool(directory, &["rebuild", "balance"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean `balances`?"));
}

#[test]
fn b5_b6_the_tool_ends_a_branch() {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    assert!(
        Command::new(env!("CARGO_BIN_EXE_bank")).current_dir(directory).output().expect("it runs").status.success()
    );
    let refused = |arguments: &[&str]| {
        let output = tool(directory, arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    let listed = answer(directory, &["editions", "list"]);
    assert!(listed.contains("bonus    1        1\n1 edition\n"), "{listed}");
    // Main has gone on: in the branch nothing had been withdrawn.
    let conflict = refused(&["editions", "merge", "bonus"]);
    assert!(conflict.contains("is at 3, the branch left it at 2"), "{conflict}");
    let unsure = refused(&["editions", "discard", "bonus"]);
    assert!(unsure.contains("--yes"), "{unsure}");
    let unknown = refused(&["editions", "discard", "bonnus", "--yes"]);
    assert!(unknown.contains("did you mean `bonus`?"), "{unknown}");
    assert_eq!(answer(directory, &["editions", "discard", "bonus", "--yes"]), "bonus: discarded\n");
    assert!(answer(directory, &["editions", "list"]).starts_with("no editions"));
    assert!(!answer(directory, &["streams"]).contains("account@bonus/"));
}

/// The tool as a server: it says where it listens, answers, and ends in order when it is told to.
#[cfg(unix)]
#[test]
fn r6_the_tool_serves_until_it_is_told_to_stop() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let story = Command::new(env!("CARGO_BIN_EXE_bank")).current_dir(directory).output().expect("it runs");
    assert!(story.status.success());
    let mut serving = Command::new(env!("CARGO_BIN_EXE_bank-tool"))
        .current_dir(directory)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(serving.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let first = lines.next().expect("a line");
    let address = first.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next()).expect("an address");
    std::net::TcpStream::connect(address).expect("somebody listens");
    let told: Vec<String> = lines.by_ref().take_while(|line| !line.contains("Ctrl-C")).collect();
    assert!(told.iter().any(|line| line.trim() == "angzarr.CommandHandlerCoordinatorService"), "{told:?}");
    assert!(told.iter().any(|line| line.contains("type.googleapis.com/bank.AddPoints")), "{told:?}");
    // The store is its own while it runs.
    let other = tool(directory, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("`runtime.serve(…)`"));
    let killed = Command::new("kill").args(["-TERM", &serving.id().to_string()]).status().expect("it runs");
    assert!(killed.success());
    assert!(serving.wait().expect("it ends").success());
    assert_eq!(lines.last().as_deref(), Some("stopped"));
    answer(directory, &["streams"]);
}

#[test]
fn a_url_in_the_environment_or_a_file_puts_the_program_on_another_store() {
    for (variable, file) in [(Some("sqlite:other.db"), None), (None, Some("storage = \"sqlite:other.db\"\n"))] {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        if let Some(file) = file {
            std::fs::write(directory.join("angzarr.toml"), file).expect("it is written");
        }
        let run = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.current_dir(directory).args(arguments).envs(variable.map(|url| ("ANGZARR_STORAGE", url)));
            let Output { status, stdout, stderr } = command.output().expect("it runs");
            assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
            String::from_utf8(stdout).expect("text")
        };
        assert!(run(env!("CARGO_BIN_EXE_bank"), &[]).contains("Ada has 70 after 3 events"));
        assert!(directory.join("other.db").exists() && !directory.join("bank.db").exists());
        assert!(run(env!("CARGO_BIN_EXE_bank-tool"), &["streams"]).contains("2 streams\n"));
        let origin = if variable.is_some() { "ANGZARR_STORAGE" } else { "angzarr.toml:1" };
        let config = run(env!("CARGO_BIN_EXE_bank-tool"), &["config"]);
        assert!(config.contains(&format!("sqlite other.db (durable)  {origin}\n")), "{config}");
    }
}
