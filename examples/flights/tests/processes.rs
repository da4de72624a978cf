//! The main job unchanged on PostgreSQL and NATS, its work divided over four processes (row R5).

#![allow(missing_docs)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use angzarr_runtime::transport::Nats;
use angzarr_runtime::{PostgresReadModel, Uuid};

fn flights(directory: &Path, engines: Option<&(String, String)>, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flights"));
    command.current_dir(directory).args(arguments).env("ANGZARR_LEASE_TIME", "2s");
    if let Some((storage, transport)) = engines {
        command.env("ANGZARR_STORAGE", storage).env("ANGZARR_TRANSPORT", transport);
    }
    command
}

fn answer(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let text = String::from_utf8(stdout).expect("text");
    assert!(status.success(), "{text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn serve(directory: &Path, engines: &(String, String)) -> Served {
    let mut command = flights(directory, Some(engines), &["serve", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let first = lines.next().expect("it starts: see what it says above");
    assert!(first.starts_with("listening on"), "{first}");
    // Nobody should have to wait until it is read.
    std::thread::spawn(move || lines.for_each(drop));
    Served(child)
}

/// One process tells the week, three others do their part of what follows from it; one of these dies in the middle. What is
/// asked afterwards has the same answers as from one process on SQLite.
#[test]
fn r5_the_week_in_four_processes() {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let postgres = variable("ANGZARR_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/test");
    let schema = format!("flights_{}", Uuid::new_v4().simple());
    let nats = format!("{}?prefix={schema}", variable("ANGZARR_TEST_NATS", "nats://127.0.0.1:4222"));
    let engines = (format!("{postgres}?schema={schema}"), nats.clone());
    let directories: Vec<_> = (0..5).map(|_| tempfile::tempdir().expect("a directory")).collect();
    let mut others: Vec<Served> = directories[2..].iter().map(|it| serve(it.path(), &engines)).collect();

    let alone = directories[0].path();
    answer(flights(alone, None, &["run", "--relaxed"]));
    let together = directories[1].path();
    let mut told = flights(together, Some(&engines), &["run"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(told.try_wait().expect("its state").is_none(), "it is in the middle of it");
    drop(others.pop());
    let told = told.wait_with_output().expect("it ends");
    assert!(
        told.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    );

    for question in [&["storm"][..], &["state", "aircraft", "N258JB"], &["board", "JFK", "--as-of", "2013-02-08 20:00"]]
    {
        let (one, four) = (answer(flights(alone, None, question)), answer(flights(together, Some(&engines), question)));
        assert_eq!(one, four, "{question:?}");
    }
    drop(others);
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    tokio.block_on(async {
        Nats::connect(&nats).remove().await.expect("nothing is left at the broker");
        let end = format!("{schema}_end");
        let client = PostgresReadModel::connect(&postgres, &end, "").await.expect("a connection");
        let drop = format!("DROP SCHEMA {schema} CASCADE; DROP SCHEMA {end} CASCADE");
        client
            .client()
            .await
            .expect("a connection")
            .batch_execute(&drop)
            .await
            .expect("nothing is left in the database");
    });
}
