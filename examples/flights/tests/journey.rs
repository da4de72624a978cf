//! The journey of the shipped week, from the log to the answers.

#![allow(missing_docs)]

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use angzarr_runtime::prelude::*;
use flights::domain::{Aircraft, Flight, Phase, aircraft_root, flight_root};
use flights::journey::{self, Outcome, World};
use flights::pb::{Land, TakeOff};
use flights::projection::{BoardLine, Boards, Figures};
use flights::source::{self, News, Row};
use flights::time;
use tokio::sync::watch;

/// Tells the rows; the signal to stop comes after `stop_after`, if at all.
async fn tell(world: &World, rows: &[Row], stop_after: Option<Duration>) -> Outcome {
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    let known = ask(world, journey::complete).await;
    let (stop, stopped) = watch::channel(false);
    if let Some(pause) = stop_after {
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            stop.send_replace(true);
        });
    }
    let outcome = journey::run(&runtime, &known, rows, stopped, true).await.unwrap();
    runtime.shutdown().await.unwrap();
    outcome
}

async fn ask<T: Send + 'static>(
    world: &World,
    question: impl FnOnce(&angzarr_runtime::rusqlite::Connection) -> Result<T, angzarr_runtime::rusqlite::Error>
    + Send
    + 'static,
) -> T {
    Boards::open(&world.boards).unwrap().model().query(question).await.unwrap()
}

/// Every stream with its events' types, as the store has them.
async fn streams(world: &World) -> BTreeMap<(String, Uuid), Vec<String>> {
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    let mut streams: BTreeMap<(String, Uuid), Vec<String>> = BTreeMap::new();
    let mut position = 0;
    loop {
        let portion = runtime.storage().read_log(position, 10_000, usize::MAX).await.unwrap();
        let Some(last) = portion.last() else { break };
        position = last.event.position;
        for found in portion {
            let types = streams.entry((found.stream.domain.to_string(), found.stream.root)).or_default();
            assert_eq!(found.event.sequence as usize, types.len(), "gapless");
            types.push(found.event.type_name.to_string());
        }
    }
    runtime.shutdown().await.unwrap();
    streams
}

/// What the rows say by themselves.
fn expected(rows: &[Row]) -> Figures {
    let storm = |row: &&Row| [20_130_208, 20_130_209].contains(&row.day);
    let count = |filter: &dyn Fn(&&Row) -> bool| rows.iter().filter(filter).count() as u64;
    Figures {
        flights: rows.len() as u64,
        january: count(&|row| row.day / 100 % 100 == 1),
        cancelled: count(&|row| row.departure_delay.is_none()),
        diverted: count(&|row| row.departure_delay.is_some() && row.arrival_delay.is_none()),
        departed: count(&|row| row.departure_delay.is_some()),
        arrived: count(&|row| row.arrival_delay.is_some()),
        departure_delay: rows.iter().filter_map(|row| row.departure_delay).map(i64::from).sum(),
        tails: rows.iter().map(|row| &row.tail).collect::<HashSet<_>>().len() as u64,
        storm: count(&|row| storm(row)),
        storm_cancelled: count(&|row| storm(row) && row.departure_delay.is_none()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_week_gives_its_truths_however_often_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::at(&directory.path().join("flights.db"));
    let rows = source::window().unwrap();
    tell(&world, &rows, None).await;
    let figures = ask(&world, Figures::count).await;
    assert_eq!(figures, expected(&rows));
    assert_eq!((figures.storm, figures.storm_cancelled), (1_614, 865), "the README of the data says so");
    let once = streams(&world).await;

    // Told again from the beginning, as if nothing were known to be complete.
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let outcome = journey::run(&runtime, &HashSet::new(), &rows, stopped, true).await.unwrap();
    runtime.shutdown().await.unwrap();
    assert_eq!(outcome.added, 0);
    assert_eq!(streams(&world).await, once);
    assert_eq!(ask(&world, Figures::count).await, figures);

    // The saga told every aircraft of every leg, once.
    let with_tail = rows.iter().filter(|row| !row.tail.is_empty() && row.departure_delay.is_some()).count();
    let told = |name: &str| once.values().flatten().filter(|event| *event == name).count();
    assert_eq!((told("flights.TookOff"), told("flights.Landed")), (with_tail, with_tail));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_journey_ends_like_a_straight_one() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::at(&directory.path().join("flights.db"));
    let rows = source::window().unwrap();
    let mut interruptions = 0;
    for pause in [30, 80, 150] {
        interruptions += usize::from(tell(&world, &rows, Some(Duration::from_millis(pause))).await.interrupted);
    }
    tell(&world, &rows, None).await;
    assert!(interruptions > 0, "no run was interrupted");
    assert_eq!(ask(&world, Figures::count).await, expected(&rows));
    let straight = World::at(&directory.path().join("straight.db"));
    tell(&straight, &rows, None).await;
    // Flights know their own order; what an aircraft hears of several flights may come in another one.
    let sorted = |mut streams: BTreeMap<(String, Uuid), Vec<String>>| {
        for ((domain, _), types) in &mut streams {
            if domain == "aircraft" {
                types.sort();
            }
        }
        streams
    };
    assert_eq!(sorted(streams(&world).await), sorted(streams(&straight).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_journey_ends_like_a_straight_one() {
    let directory = tempfile::tempdir().unwrap();
    let db = directory.path().join("flights.db");
    let start = |db: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flights"));
        command.args(["run", "--relaxed", "--db"]).arg(db).stdout(std::process::Stdio::null());
        command
    };
    let mut kills = 0;
    for pause in [150, 300, 450, 600] {
        let mut child = start(&db).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        if child.try_wait().unwrap().is_none() {
            kills += 1;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills > 0, "no run was killed");
    assert!(start(&db).status().unwrap().success());
    let rows = source::window().unwrap();
    let world = World::at(&db);
    assert_eq!(ask(&world, Figures::count).await, expected(&rows));
    let streams = streams(&world).await;
    for row in &rows {
        let stream = &streams[&("flight".to_owned(), flight_root(&row.key()))];
        assert_eq!(stream.len(), row.news().count(), "{}", row.key());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boards_and_flights_are_as_they_were_known() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::at(&directory.path().join("flights.db"));
    let rows = source::window().unwrap();
    tell(&world, &rows, None).await;

    let (from, to) = (1_360_324_800, 1_360_360_800); // 8 February, 12:00 to 22:00
    for as_of in [from - 90_000, from, from + 7_200, from + 20_000, to, to + 90_000] {
        let board = ask(&world, move |model| BoardLine::board(model, "JFK", from, to, as_of)).await;
        let mut wanted: Vec<BoardLine> = rows
            .iter()
            .filter(|row| row.origin == "JFK" && (from..to).contains(&row.departs_at))
            .filter_map(|row| {
                let known: Vec<News> = row.news().filter(|(at, _)| *at <= as_of).map(|(_, news)| news).collect();
                let phase = match known.last()? {
                    News::Scheduled => Phase::Scheduled,
                    News::Departed => Phase::Airborne,
                    News::Arrived => Phase::Arrived,
                    News::Cancelled => Phase::Cancelled,
                    News::Diverted => Phase::Diverted,
                };
                Some(BoardLine {
                    departs_at: row.departs_at,
                    flight: format!("{}{}", row.carrier, row.number),
                    destination: row.destination.clone(),
                    phase: phase.into(),
                    delay: row.departure_delay.filter(|_| known.contains(&News::Departed)),
                })
            })
            .collect();
        wanted.sort_by(|a, b| (a.departs_at, &a.flight).cmp(&(b.departs_at, &b.flight)));
        assert_eq!(board, wanted, "as of {as_of}");
    }

    let runtime = world.builder(true).unwrap().build().await.unwrap();
    for row in rows.iter().step_by(97) {
        let mut phase = Phase::Unknown;
        for (at, news) in row.news() {
            let root = flight_root(&row.key());
            let before = runtime.state::<Flight>(root).as_of_time(time(at - 1)).await.unwrap();
            assert_eq!(before.phase(), phase, "{} before {news:?}", row.key());
            phase = runtime.state::<Flight>(root).as_of_time(time(at)).await.unwrap().phase();
        }
        assert!(phase >= Phase::Arrived, "{}", row.key());
    }
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_aircraft_keeps_its_legs_in_their_own_order() {
    let runtime = Runtime::builder()
        .with(Boards::open(&tempfile::tempdir().unwrap().path().join("boards.db")).unwrap())
        .build()
        .await
        .unwrap();
    let tail = aircraft_root("N1");
    let take_off =
        |flight: &str, at| TakeOff { flight: flight.into(), at, origin: "JFK".into(), destination: "BOS".into() };
    let land = |flight: &str, at| Land { flight: flight.into(), at, diverted: false };
    // Told backwards, and landings before their take-offs; then everything again.
    for _ in 0..2 {
        runtime.send::<Aircraft>(tail, land("c", 60)).await.unwrap();
        runtime.send::<Aircraft>(tail, take_off("c", 50)).await.unwrap();
        runtime.send::<Aircraft>(tail, take_off("b", 30)).await.unwrap();
        runtime.send::<Aircraft>(tail, land("a", 20)).await.unwrap();
        runtime.send::<Aircraft>(tail, take_off("a", 10)).await.unwrap();
        runtime.send::<Aircraft>(tail, land("b", 40)).await.unwrap();
    }
    let aircraft = runtime.state::<Aircraft>(tail).await.unwrap();
    let legs: Vec<_> = aircraft.legs.iter().map(|leg| (leg.flight.as_str(), leg.took_off, leg.landed)).collect();
    assert_eq!(legs, [("a", 10, 20), ("b", 30, 40), ("c", 50, 60)]);
    assert_eq!((aircraft.flown, aircraft.next_sequence()), (3, 6));
}
