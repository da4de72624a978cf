//! R5, R1: four processes on one database, killed at random and started again, lose nothing, double nothing, and keep each
//! stream in order.
//!
//! `ANGZARR_FLEET_SECONDS=300 cargo test -p angzarr-tests --test fleet` is the soak; `ANGZARR_TEST_POSTGRES` says where the
//! database is, if not on this machine.

#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const PROCESSES: usize = 4;

/// Where everything of a test is.
struct Place {
    url: String,
    schema: String,
    transport: String,
}

impl Place {
    fn new(transport: &str) -> Self {
        let url = std::env::var("ANGZARR_TEST_POSTGRES");
        let url = url.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/test".to_owned());
        let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
        let schema = format!("fleet_{}_{since_1970}", std::process::id());
        Self { url, transport: transport.replace("{schema}", &schema), schema }
    }

    fn child(&self, what: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleet-child"));
        command.args([&self.url, &self.schema, &self.transport, what]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let dropped = self.child("drop").output();
        if !dropped.as_ref().is_ok_and(|it| it.status.success()) {
            eprintln!("the schemas of {} were not dropped: {dropped:?}", self.schema);
        }
    }
}

/// A child that works, and who listens to it.
struct Worker {
    child: Child,
    listener: std::thread::JoinHandle<()>,
}

fn start(place: &Place, acknowledged: &Arc<Mutex<BTreeSet<String>>>, views: &Arc<AtomicUsize>) -> Worker {
    let mut child = place.child("work").spawn().expect("the child starts");
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let (acknowledged, views) = (acknowledged.clone(), views.clone());
    let listener = std::thread::spawn(move || {
        let mut line = String::new();
        // A line without its end was not finished: it says nothing.
        while out.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
            if line.starts_with("? ") {
                views.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(job) = line.trim().strip_prefix("! ") {
                acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(job.to_owned());
            }
            line.clear();
        }
    });
    Worker { child, listener }
}

/// `kill -9`. A child that has ended by itself has said why.
fn kill(mut worker: Worker) {
    let ended = worker.child.try_wait().expect("its state");
    worker.child.kill().expect("killed");
    let output = worker.child.wait_with_output().expect("its end");
    assert!(ended.is_none(), "a child ended by itself: {}", String::from_utf8_lossy(&output.stderr));
    worker.listener.join().expect("the listener");
}

fn four_processes(transport: &str, seconds: u64) {
    let place = Place::new(transport);
    let (acknowledged, views) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicUsize::new(0)));
    let mut workers: Vec<Option<Worker>> = (0..PROCESSES).map(|_| Some(start(&place, &acknowledged, &views))).collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut kills) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    while Instant::now() < end {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        std::thread::sleep(Duration::from_millis(300 + seed % 2_700));
        let index = usize::try_from(seed >> 32).unwrap_or(0) % PROCESSES;
        // Some stay away for a while, so that others have to take over.
        match workers[index].take() {
            Some(worker) => {
                kill(worker);
                kills += 1;
                if seed % 3 > 0 {
                    workers[index] = Some(start(&place, &acknowledged, &views));
                }
            }
            None => workers[index] = Some(start(&place, &acknowledged, &views)),
        }
    }
    for worker in workers.into_iter().flatten() {
        kill(worker);
        kills += 1;
    }
    let jobs = std::mem::take(&mut *acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
    let mut look = place.child("look").spawn().expect("it looks");
    let mut input = look.stdin.take().expect("its input");
    for job in &jobs {
        writeln!(input, "{job}").expect("it reads");
    }
    drop(input);
    let output = look.wait_with_output().expect("it has looked");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<&str> = said.lines().collect();
    let last = lines.pop().expect("a last line");
    assert!(lines.is_empty(), "{} things are wrong:\n{said}", lines.len());
    let events: u64 = last.split(' ').nth(2).and_then(|count| count.parse().ok()).expect("a count");
    assert!(events >= 7 * jobs.len() as u64, "{last}");
    let views = views.load(Ordering::Relaxed);
    println!("{kills} kills, {} jobs acknowledged, {views} views, {events} events", jobs.len());
    assert!(views > 5, "nothing was proved: {views} views");
    assert!(jobs.len() > 50 && kills > 5, "nothing was proved: {} jobs, {kills} kills", jobs.len());
}

fn seconds(default: u64) -> u64 {
    std::env::var("ANGZARR_FLEET_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn r5_r1_four_processes_that_are_killed_at_random() {
    four_processes("local:", seconds(30));
}

/// The same with a broker between them: it wakes, and one of the processes publishes.
#[test]
fn r5_r2_four_processes_over_nats() {
    let url = std::env::var("ANGZARR_TEST_NATS").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());
    four_processes(&format!("{url}?prefix={{schema}}"), seconds(20));
}
