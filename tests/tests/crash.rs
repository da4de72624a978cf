//! R1, R2: a process that appends under load is killed, again and again, at any moment.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::{StoredEvent, StreamKey};
use angzarr_tests::Rig;
use angzarr_tests::account::{Account, PART};
use angzarr_tests::messages::*;
use angzarr_tests::paper::Paper;
use angzarr_tests::reactions::{BALANCES, balance_row};
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{assert_gapless, decode, events_of};

/// Kills of a process that had acknowledged something.
const KILLS: u32 = 100;
/// The longest life, in milliseconds, as long as most lives come to write something.
const LONGEST: u64 = 250;
/// A process that writes nothing in so long a life is not slow, it hangs.
const HANGS: Duration = Duration::from_secs(120);
/// After so many of them everything is looked at.
const LOOK_EVERY: u32 = 20;

/// What all lives together have said.
#[derive(Default)]
struct Said {
    /// root → sequence → amount.
    acknowledged: BTreeMap<Uuid, BTreeMap<u32, i64>>,
    /// Commands with an external id of which nobody knows what became of them.
    open: BTreeSet<(Uuid, i64)>,
}

#[test]
fn r1_r2_c10_a_hundred_kills_under_load_lose_and_double_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut said = Said::default();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut lives, mut kills_under_load) = (0, 0);
    // How many lives more wrote nothing than wrote something: a slow machine gets longer ones.
    let mut idle = 0u32;
    while kills_under_load < KILLS {
        // Anywhere between the start of the process and the middle of its work.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let longest = LONGEST << (idle / 4).min(10);
        let span = Duration::from_millis(20 + seed % (longest - 20));
        let wrote = one_life(directory.path(), lives, span, &mut said);
        assert!(wrote || span < HANGS, "life {lives} wrote nothing in {span:?}");
        idle = if wrote { idle.saturating_sub(1) } else { idle + 1 };
        lives += 1;
        kills_under_load += u32::from(wrote);
        if wrote && kills_under_load % LOOK_EVERY == 0 {
            look(directory.path(), &mut said);
        }
    }
    let total: usize = said.acknowledged.values().map(BTreeMap::len).sum();
    println!("{lives} kills, {kills_under_load} of them under load, {total} events acknowledged");
}

/// Starts the child, kills it, and notes what it said. Whether anything was acknowledged.
fn one_life(directory: &Path, life: u32, span: Duration, said: &mut Said) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crash-child"))
        .arg(directory)
        .arg(life.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the child starts");
    let out = child.stdout.take().expect("its output");
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut reader = BufReader::new(out);
        let mut line = String::new();
        // A line without its end was not finished: it says nothing.
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
            lines.push(std::mem::take(&mut line));
        }
        lines
    });
    std::thread::sleep(span);
    let ended = child.try_wait().expect("its state");
    child.kill().expect("killed");
    let output = child.wait_with_output().expect("its end");
    assert!(ended.is_none(), "life {life} ended by itself: {}", String::from_utf8_lossy(&output.stderr));
    let mut wrote = false;
    for line in reader.join().expect("the reader") {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let (kind, root): (&str, Uuid) = (parts[0], parts[1].parse().expect("a root"));
        if kind == "?" {
            said.open.insert((root, parts[2].parse().expect("an id")));
            continue;
        }
        wrote = true;
        let (sequence, amount) = (parts[2].parse().expect("a sequence"), parts[3].parse().expect("an amount"));
        said.open.remove(&(root, amount));
        let before = said.acknowledged.entry(root).or_default().insert(sequence, amount);
        assert_eq!(before, None, "{root} #{sequence} was acknowledged twice");
    }
    wrote
}

/// Starts once more, lets everything catch up, and compares it with what was said.
fn look(directory: &Path, said: &mut Said) {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    tokio.block_on(async {
        let model = SqliteReadModel::open(directory.join("model.db"), BALANCES).expect("the read model");
        let rig = Rig::with_model(model);
        let storage = Sqlite::open(directory.join("events.db"));
        let paper = directory.join("published");
        let transport = Paper::open(&paper).expect("the paper");
        let runtime = rig.builder().storage(storage).transport(transport).build().await.expect("it starts once more");
        // Nobody knows whether these were stored: they are sent again, as their clients would (row C10).
        for (root, amount) in std::mem::take(&mut said.open) {
            let deposit = runtime.send::<Account>(root, Deposit { amount }).external_id(amount.to_string());
            let receipt = deposit.await.expect("accepted, now or then");
            let sequence = receipt.events()[0].sequence;
            let before = said.acknowledged.entry(root).or_default().insert(sequence, amount);
            assert_eq!(before, None, "{root} #{sequence} was acknowledged for another command");
        }
        runtime.settled().await;
        let log = runtime.storage().read_log(0, usize::MAX, usize::MAX).await.expect("the log");
        assert!(log.iter().map(|it| it.event.position).eq(1..=log.len() as u64), "positions have no gap");

        // Everything was published, some of it twice, and no stream ever out of order (row R2).
        eventually("everything is published", async || runtime.relay().is_some_and(|relay| relay.lag == 0)).await;
        let published = Paper::read(&paper).expect("the paper");
        let mut next: BTreeMap<Uuid, u32> = BTreeMap::new();
        for line in &published {
            let next = next.entry(line.root).or_default();
            assert!(line.sequence <= *next, "{} #{} is published before #{next}", line.root, line.sequence);
            *next = (*next).max(line.sequence + 1);
        }
        let positions: BTreeSet<u64> = published.iter().map(|line| line.position).collect();
        assert!(positions.into_iter().eq(1..=log.len() as u64), "an event was not published");

        let mut sent = BTreeSet::new();
        let mut seen_amounts = BTreeSet::new();
        for (root, expected) in &said.acknowledged {
            let stored = events_of(runtime.storage(), &StreamKey::main("account", *root)).await;
            assert_gapless(&stored);
            let mut balance = 0;
            let mut parts_left: Option<i64> = None;
            for (n, event) in stored.iter().enumerate() {
                let amount = amount_of(event);
                assert!(seen_amounts.insert(amount), "{amount} is there twice");
                if event.type_name == "test.MoneySent" {
                    sent.insert(amount);
                    balance -= amount;
                } else {
                    let event: Deposited = decode(event);
                    assert_eq!((event.balance_before, event.events_before as usize), (balance, n), "{root} #{n}");
                    balance += amount;
                }
                // A command of three events is there as a whole: its amounts follow each other.
                match parts_left {
                    Some(wanted) => {
                        assert_eq!(amount, wanted, "a command of three events is there in part");
                        parts_left = (amount / PART < 2).then_some(amount + PART);
                    }
                    None if is_first_part(amount) => parts_left = Some(amount + PART),
                    None => assert!(amount < PART, "a part without the part before it"),
                }
            }
            assert_eq!(parts_left, None, "a command of three events is there in part");
            for (sequence, amount) in expected {
                let event = stored.get(*sequence as usize);
                let event = event.unwrap_or_else(|| panic!("{root} #{sequence} was acknowledged and is lost"));
                assert_eq!(amount_of(event), *amount, "{root} #{sequence} is another event than was acknowledged");
            }
            // The read model equals the fold of the stream.
            let count = u32::try_from(stored.len()).expect("few");
            assert_eq!(balance_row(&rig.model, *root).await, Some((balance, count, count - 1)), "{root}");
        }
        // Every saga command ran, and ran once.
        let mut booked = Vec::new();
        for ledger in 0..3 {
            let stored =
                events_of(runtime.storage(), &StreamKey::main("ledger", root("ledger", ledger.to_string()))).await;
            assert_gapless(&stored);
            booked.extend(stored.iter().map(|event| decode::<Booked>(event).amount));
        }
        let count = booked.len();
        let booked: BTreeSet<i64> = booked.into_iter().collect();
        assert_eq!(count, booked.len(), "a saga command ran twice");
        assert_eq!(booked, sent);
        assert!(runtime.dead_letters().list(&Default::default()).await.expect("letters").is_empty());
        runtime.shutdown().await.expect("a clean end");
    });
}

fn amount_of(event: &StoredEvent) -> i64 {
    if event.type_name == "test.MoneySent" {
        decode::<MoneySent>(event).amount
    } else {
        decode::<Deposited>(event).amount
    }
}

/// The child deposits in parts with every fourth command (see `programs/crash_child.rs`).
fn is_first_part(amount: i64) -> bool {
    amount < PART && ((amount - 1_000) / 10) % 4 == 1
}
