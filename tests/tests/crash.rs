//! R1: a process that appends under load is killed, again and again, at any moment.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::Rig;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::{BALANCES, balance_row};
use angzarr_tests::store::{assert_gapless, decode, events_of};

const KILLS: u64 = 100;

#[test]
fn r1_a_hundred_kills_lose_and_double_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    // root → sequence → amount, as acknowledged.
    let mut acknowledged: BTreeMap<Uuid, BTreeMap<u32, i64>> = BTreeMap::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut lives_that_wrote = 0;
    for life in 0..KILLS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_crash-child"))
            .arg(directory.path())
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
            // A line without its end was not finished: it acknowledges nothing.
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
                lines.push(std::mem::take(&mut line));
            }
            lines
        });
        // Anywhere between the start of the process and the middle of its work.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        std::thread::sleep(Duration::from_millis(20 + seed % 230));
        let ended = child.try_wait().expect("its state");
        child.kill().expect("killed");
        let output = child.wait_with_output().expect("its end");
        assert!(ended.is_none(), "life {life} ended by itself: {}", String::from_utf8_lossy(&output.stderr));
        let lines = reader.join().expect("the reader");
        lives_that_wrote += u32::from(!lines.is_empty());
        for line in lines {
            let mut parts = line.split_whitespace();
            let root: Uuid = parts.next().and_then(|part| part.parse().ok()).expect("a root");
            let sequence: u32 = parts.next().and_then(|part| part.parse().ok()).expect("a sequence");
            let amount: i64 = parts.next().and_then(|part| part.parse().ok()).expect("an amount");
            let before = acknowledged.entry(root).or_default().insert(sequence, amount);
            assert_eq!(before, None, "{root} #{sequence} was acknowledged twice");
        }
    }
    let total: usize = acknowledged.values().map(BTreeMap::len).sum();
    println!("{KILLS} kills, {lives_that_wrote} lives wrote, {total} events acknowledged");
    assert!(lives_that_wrote as u64 > KILLS / 2, "only {lives_that_wrote} lives came to write anything");

    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    tokio.block_on(async {
        let model = SqliteReadModel::open(directory.path().join("model.db"), BALANCES).expect("the read model");
        let rig = Rig::with_model(model);
        let storage = Sqlite::open(directory.path().join("events.db"));
        let runtime = rig.builder().storage(storage).build().await.expect("it starts once more");
        runtime.settled().await;
        let mut sent = BTreeSet::new();
        let mut seen_amounts = BTreeSet::new();
        for (root, expected) in &acknowledged {
            let stored = events_of(runtime.storage(), &StreamKey::main("account", *root)).await;
            assert_gapless(&stored);
            let (mut balance, mut single) = (0, 0);
            for (n, event) in stored.iter().enumerate() {
                let (amount, delta) = if event.type_name == "test.MoneySent" {
                    let event: MoneySent = decode(event);
                    sent.insert(event.amount);
                    (event.amount, -event.amount)
                } else {
                    let event: Deposited = decode(event);
                    assert_eq!((event.balance_before, event.events_before as usize), (balance, n), "{root} #{n}");
                    (event.amount, event.amount)
                };
                balance += delta;
                if amount == 1 {
                    single += 1;
                } else {
                    assert_eq!(single % 3, 0, "a command of three events is there in part");
                    assert!(seen_amounts.insert(amount), "{amount} is there twice");
                }
            }
            assert_eq!(single % 3, 0, "a command of three events is there in part");
            for (sequence, amount) in expected {
                let event = stored.get(*sequence as usize);
                let event = event.unwrap_or_else(|| panic!("{root} #{sequence} was acknowledged and is lost"));
                let found = if event.type_name == "test.MoneySent" {
                    decode::<MoneySent>(event).amount
                } else {
                    decode::<Deposited>(event).amount
                };
                assert_eq!(found, *amount, "{root} #{sequence} is another event than was acknowledged");
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
