//! The days of the shipped week's aircraft, from the log to the flags.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::StreamFilter;
use flights::domain::{Day, Progress};
use flights::journey::{self, Outcome, World};
use flights::pb::Cause;
use flights::projection::{Boards, Figures};
use flights::report;
use flights::rotations::Rotations;
use flights::source::{self, Row};
use tokio::sync::{OnceCell, watch};

/// 9 February 2013, 00:00 UTC.
const MIDNIGHT: i64 = 1_360_368_000;

/// Tells the rows, following each aircraft; the signal to stop comes after `stop_after`, if at all.
async fn follow(world: &World, rows: &[Row], stop_after: Option<Duration>) -> Outcome {
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    let known = Boards::open(&world.boards).unwrap().model().query(journey::complete).await.unwrap();
    let (stop, stopped) = watch::channel(false);
    if let Some(pause) = stop_after {
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            stop.send_replace(true);
        });
    }
    let outcome = journey::run_following_aircraft(&runtime, &known, rows, stopped, true).await.unwrap();
    runtime.shutdown().await.unwrap();
    outcome
}

/// Every day of the week, of every aircraft.
async fn week(world: &World) -> BTreeMap<u32, Rotations> {
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    let model = Boards::open(&world.boards).unwrap().model().clone();
    let mut week = BTreeMap::new();
    for day in 20_130_206..=20_130_211 {
        week.insert(day, Rotations::of(&runtime, &model, day).await.unwrap());
    }
    assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
    runtime.shutdown().await.unwrap();
    week
}

/// What a store knows when everything was told at once, from the beginning to the end.
struct Straight {
    outcome: Outcome,
    week: BTreeMap<u32, Rotations>,
    streams: BTreeMap<&'static str, BTreeMap<Uuid, u32>>,
    figures: Figures,
}

/// Told once, for all tests.
async fn straight() -> &'static Straight {
    static STRAIGHT: OnceCell<Straight> = OnceCell::const_new();
    STRAIGHT
        .get_or_init(async || {
            let directory = tempfile::tempdir().unwrap();
            let world = World::at(&directory.path().join("straight.db"));
            let outcome = follow(&world, &source::window().unwrap(), None).await;
            let mut lengths = BTreeMap::new();
            for domain in ["day", "flight", "aircraft"] {
                lengths.insert(domain, streams(&world, domain).await);
            }
            Straight { outcome, week: week(&world).await, streams: lengths, figures: figures(&world).await }
        })
        .await
}

async fn figures(world: &World) -> Figures {
    Boards::open(&world.boards).unwrap().model().query(Figures::count).await.unwrap()
}

/// Streams of a domain, and their lengths.
async fn streams(world: &World, domain: &str) -> BTreeMap<Uuid, u32> {
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    let found = runtime.storage().streams(&StreamFilter::domain(domain), None, usize::MAX).await.unwrap();
    runtime.shutdown().await.unwrap();
    found.into_iter().map(|info| (info.key.root, info.next_sequence)).collect()
}

/// The figures were counted by a script that goes through the csv aircraft by aircraft and knows the rules in words, and
/// nothing of events. One line of it by hand: N613JB left LGA for SRQ (1,047 miles) at 18:49 and was in the air for 152
/// minutes, so it was there at 21:51; half an hour, 1,047 × 60 / 500 + 20 = 145 minutes back, half an hour: 01:16. Its
/// legs from JFK at 19:59 and 01:00 were cancelled, and it could have flown neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p4_every_aircraft_is_followed_through_its_day() {
    let rows = source::window().unwrap();
    let Straight { week, streams, .. } = straight().await;

    let of_day = |rotations: &Rotations| (rotations.aircraft.len(), rotations.broken().len());
    let found: Vec<_> = week.values().map(of_day).collect();
    assert_eq!(found, [(659, 0), (679, 0), (574, 30), (425, 5), (638, 4), (668, 11)]);

    let storm = &week[&20_130_208];
    let of_cause = |day: u32, cause: Cause| week[&day].broken().iter().filter(|it| it.3.cause() == cause).count();
    assert_eq!((of_cause(20_130_208, Cause::Late), of_cause(20_130_208, Cause::Elsewhere)), (29, 1));
    assert_eq!((of_cause(20_130_209, Cause::Late), of_cause(20_130_209, Cause::Elsewhere)), (2, 3));
    assert_eq!(storm.broken().iter().map(|it| it.0).collect::<HashSet<_>>().len(), 29);
    // What flew in the end could be flown: every flag that is left is on a cancelled flight.
    for rotations in week.values() {
        assert!(rotations.broken().iter().all(|it| it.2 == Progress::Cancelled));
    }
    let broken = storm.broken();
    let of = |tail: &str| -> Vec<_> {
        let legs = broken.iter().filter(|it| it.0 == tail);
        legs.map(|(_, leg, _, why)| (leg.name.as_str(), why.ready_at, why.stands_at.as_str())).collect()
    };
    let ready = MIDNIGHT + 76 * 60;
    assert_eq!(of("N613JB"), [("B68", ready, ""), ("B621", ready, "")]);
    // Its leg from LGA was cancelled before.
    assert_eq!(of("N834AS"), [("EV5712", 0, "LGA")]);
    assert!(report::rotations(storm).contains("EV5712  JFK → IAD  CANCELLED  N834AS stands at LGA"));

    // One process a day and aircraft, with every leg of the log in it, in order.
    let mut days: BTreeMap<(&str, u32), BTreeSet<(i64, String)>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.tail.is_empty()) {
        let leg = (row.departs_at, format!("{}{}", row.carrier, row.number));
        days.entry((&row.tail, row.day)).or_default().insert(leg);
    }
    assert_eq!((days.len(), streams["day"].len()), (3_643, 3_643));
    for ((tail, day), legs) in days {
        let found = week[&day].aircraft[tail].legs.iter().filter_map(|leg| leg.planned.as_ref());
        let found: Vec<_> = found.map(|leg| (leg.departs_at, leg.name.clone())).collect();
        assert!(found.is_sorted_by_key(|leg| leg.0), "{tail} {day}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), legs, "{tail} {day}");
    }
}

/// Told in pieces, the last days first and the flights of a day scattered over the pieces; and told with interruptions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_days_end_the_same_however_they_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let rows = source::window().unwrap();
    let expected = &straight().await.week;

    let backwards = World::at(&directory.path().join("backwards.db"));
    for part in [3, 1, 2, 0] {
        let part = rows.iter().rev().enumerate().filter(|(index, _)| (index / 7 + index / 900) % 4 == part);
        let part: Vec<Row> = part.map(|(_, row)| row.clone()).collect();
        follow(&backwards, &part, None).await;
    }
    assert_eq!(&week(&backwards).await, expected);

    let interrupted = World::at(&directory.path().join("interrupted.db"));
    let mut interruptions = 0;
    for pause in [30, 80, 150] {
        let outcome = follow(&interrupted, &rows, Some(Duration::from_millis(pause))).await;
        interruptions += usize::from(outcome.interrupted);
    }
    follow(&interrupted, &rows, None).await;
    assert!(interruptions > 0, "no run was interrupted");
    assert_eq!(&week(&interrupted).await, expected);
}

/// Killed between any two steps: what a process has decided stands, and what it has not come to yet it comes to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p3_a_killed_run_goes_on_following() {
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().join("killed.db");
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flights"));
        command.args(["run", "--relaxed", "--follow-aircraft", "--db"]).arg(&db);
        command
    };
    let mut kills = 0;
    for pause in [300, 600, 900, 1_200] {
        let mut child = start().stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "no run was killed");
    let Output { status, stdout, stderr } = start().output().unwrap();
    let (told, complaints) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && complaints.is_empty(), "{complaints}");
    assert!(told.contains("Legs: 30, of 29 aircraft; 574 aircraft were followed."), "{told}");

    assert_eq!(week(&World::at(&db)).await, straight().await.week);
}

/// Who is not asked to follow does not: no process, no event more, the same flights, aircraft and boards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_who_follows_nobody_stores_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    let rows = source::window().unwrap();
    let alone = World::at(&directory.path().join("alone.db"));
    let followed = straight().await;
    let runtime = alone.builder(true).unwrap().build().await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let without = journey::run(&runtime, &HashSet::new(), &rows, stopped, true).await.unwrap();
    let status = runtime.subscriptions().into_iter().find(|status| status.name == Day::DOMAIN).unwrap();
    // Counted, never guessed: 14,639 events of flights, and none of them has a correlation id.
    assert_eq!((status.skipped, status.lag), (14_639, 0));
    assert_eq!(runtime.storage().domains().await.unwrap(), ["aircraft", "flight"]);
    let model = Boards::open(&alone.boards).unwrap().model().clone();
    assert!(Rotations::of(&runtime, &model, 20_130_208).await.unwrap().aircraft.is_empty());
    runtime.shutdown().await.unwrap();

    assert_eq!(without.commands, followed.outcome.commands);
    // A fact of a day for each event of a flight whose aircraft is known: 14,639 less those of the flights without one.
    let facts = rows.iter().filter(|row| !row.tail.is_empty()).map(|row| row.news().count() as u64).sum::<u64>();
    assert_eq!(facts, 13_903);
    assert!(followed.outcome.events >= without.events + facts);
    for domain in ["flight", "aircraft"] {
        assert_eq!(streams(&alone, domain).await, followed.streams[domain], "{domain}");
    }
    assert_eq!(figures(&alone).await, followed.figures);
}
