//! What if JFK had closed: the answer, and that main never hears of the question.

#![allow(missing_docs)]

use std::collections::{BTreeMap, HashSet};

use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::LogEvent;
use angzarr_runtime::{Edition, SqliteReadModel, rusqlite};
use flights::domain::{Flight, Phase, flight_root};
use flights::journey::{self, World};
use flights::pb::Cancel;
use flights::projection::Boards;
use flights::source::{self, Row};
use flights::what_if::{self, Answer, Closure, Course, WhatIfError};
use flights::{report, time};
use tokio::sync::watch;

/// 8 February 2013, 20:00 UTC: 15:00 in New York.
const THREE: i64 = 1_360_353_600;

async fn told(world: &World) -> (Runtime, SqliteReadModel, Vec<Row>) {
    let rows = source::window().unwrap();
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    journey::run(&runtime, &HashSet::new(), &rows, stopped, true).await.unwrap();
    let model = Boards::open(&world.boards).unwrap().model().clone();
    (runtime, model, rows)
}

fn jfk() -> Closure {
    Closure { airport: "JFK".into(), from: THREE }
}

/// Everything that the store holds, on every timeline.
async fn log(runtime: &Runtime) -> Vec<LogEvent> {
    let (mut log, mut position) = (Vec::<LogEvent>::new(), 0);
    loop {
        log.extend(runtime.storage().read_log(position, 10_000, usize::MAX).await.unwrap());
        match log.last() {
            Some(last) if last.event.position > position => position = last.event.position,
            _ => return log,
        }
    }
}

/// The read model, row by row.
async fn boards(model: &SqliteReadModel) -> Vec<String> {
    let dump = |model: &rusqlite::Connection| {
        let mut statement = model.prepare(
            "SELECT hex(id) || '/' || phase || '/' || ifnull(departure_delay, '') || '/' || ifnull(arrival_delay, '')
             FROM flight UNION ALL SELECT hex(flight) || phase || '@' || known_at FROM change ORDER BY 1",
        )?;
        statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()
    };
    model.query(dump).await.unwrap()
}

/// Tail → (where the next flight leaves, if there is one).
fn grounded(answer: &Answer) -> BTreeMap<String, Option<String>> {
    let next = |it: &what_if::Grounded| it.next.as_ref().map(|next| format!("{}{}", next.origin, next.number));
    answer.grounded.iter().map(|(tail, it)| (tail.clone(), next(it))).collect()
}

/// What the rows say by themselves, without a framework.
fn by_hand(rows: &[Row], closure: &Closure) -> (Course, Course, BTreeMap<String, Option<String>>) {
    let Closure { airport, from } = closure;
    let day = rows.iter().filter(|row| row.origin == *airport && row.departs_at >= *from);
    let day = day.min_by_key(|row| row.departs_at).unwrap().day;
    let is_closed = |row: &&Row| row.origin == *airport && row.departs_at >= *from && row.day == day;
    let mut concerned: Vec<&Row> = rows.iter().filter(is_closed).collect();
    concerned.sort_by_key(|row| row.departs_at);
    let count = |filter: &dyn Fn(&Row) -> bool| concerned.iter().filter(|row| filter(row)).count() as u64;
    let all = concerned.len() as u64;
    let in_fact = Course {
        scheduled: all,
        left: count(&|row| row.departure_delay.is_some()),
        arrived: count(&|row| row.arrival_delay.is_some()),
        diverted: count(&|row| row.departure_delay.is_some() && row.arrival_delay.is_none()),
        cancelled: count(&|row| row.departure_delay.is_none()),
        late: concerned.iter().filter_map(|row| u64::try_from(row.departure_delay?).ok()).sum(),
    };
    let closed = Course { scheduled: all, cancelled: all, ..Course::default() };
    let mut grounded = BTreeMap::new();
    for row in concerned.iter().filter(|row| row.departure_delay.is_some() && !row.tail.is_empty()) {
        let next = rows
            .iter()
            .filter(|it| it.tail == row.tail && it.departs_at > row.departs_at && it.departure_delay.is_some())
            .filter(|it| !is_closed(it))
            .min_by_key(|it| it.departs_at);
        grounded.insert(row.tail.clone(), next.map(|next| format!("{}{}", next.origin, next.number)));
    }
    (in_fact, closed, grounded)
}

/// The figures were counted in the csv by a script of a few lines, before there was an answer to compare them with: of the
/// rows with month 2, day 8, origin JFK and `sched_dep_time` ≥ 1500 there are 151; 138 have no `dep_delay`; the other 13
/// have an `arr_delay`, and their positive `dep_delay`s are 1 + 12 + 14 + 1 + 8 + 29 + 93 = 158. Of the 13 aircraft three
/// have no later row that left; N794JB's leaves from EWR, those of the other nine from JFK.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b2_b3_b5_jfk_closes_in_a_branch_and_main_stays_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::at(&directory.path().join("flights.db"));
    let (runtime, model, rows) = told(&world).await;
    let (log_before, boards_before) = (log(&runtime).await, boards(&model).await);

    let answer = what_if::ask(&runtime, &model, jfk()).await.unwrap();
    let in_fact = Course { scheduled: 151, left: 13, arrived: 13, diverted: 0, cancelled: 138, late: 158 };
    assert_eq!(answer.in_fact, in_fact);
    assert_eq!(answer.closed, Course { scheduled: 151, cancelled: 151, ..Course::default() });
    assert_eq!((answer.day, answer.grounded.len()), (20_130_208, 13));
    let broken: Vec<_> = answer.grounded.iter().filter(|(_, it)| it.is_broken()).collect();
    let (tail, it) = broken[0];
    assert_eq!((broken.len(), tail.as_str(), it.flight.destination.as_str()), (1, "N794JB", "SJU"));
    assert_eq!(it.next.as_ref().map(|next| (next.origin.as_str(), next.number)), Some(("EWR", 215)));
    let unknown: Vec<_> = answer.grounded.iter().filter(|(_, it)| it.next.is_none()).map(|(tail, _)| tail).collect();
    assert_eq!(unknown, ["N592JB", "N5CHAA", "N622MQ"]);
    // 5,205 flights: the 421 cancelled ones have two events, the others three.
    let cancelled = rows.iter().filter(|row| row.departure_delay.is_none()).count() as u64;
    assert_eq!(answer.on_main, (14_639, 14_639));
    assert_eq!(3 * rows.len() as u64 - cancelled, 14_639);
    assert_eq!(answer.editions, Vec::<String>::new());

    // Nothing is left of it, wherever one looks: not in the log, not in the read model, not in a state.
    runtime.settled().await;
    assert_eq!(log(&runtime).await, log_before);
    assert_eq!(boards(&model).await, boards_before);
    for row in rows.iter().filter(|row| row.origin == "JFK" && row.day == 20_130_208) {
        let root = flight_root(&row.key());
        let (main, branch) = (
            runtime.state::<Flight>(root).await.unwrap(),
            runtime.state::<Flight>(root).edition("jfk-closed").await.unwrap(),
        );
        assert_eq!(main.phase() == Phase::Cancelled, row.departure_delay.is_none(), "{}", row.key());
        assert_eq!(main.into_state(), branch.into_state(), "{}: a branch that is gone is main", row.key());
    }

    // Asked again, with everything cached, and again with nothing cached: the same.
    assert_eq!(what_if::ask(&runtime, &model, jfk()).await.unwrap(), answer);
    runtime.shutdown().await.unwrap();
    let runtime = world.builder(true).unwrap().build().await.unwrap();
    assert_eq!(what_if::ask(&runtime, &model, jfk()).await.unwrap(), answer);

    let shown = report::what_if(&answer);
    for line in [
        "cancelled                          138           151",
        "minutes late at departure          158             0",
        "B6215   EWR → SJU  ← cannot be flown",
        "Rotations that would break: 1 of 13.",
        "14,639 before, 14,639 after. Editions left: none.",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }

    // Other airports, other moments: whatever the rows say.
    for (airport, from) in [("JFK", THREE), ("LGA", THREE - 6 * 3_600), ("EWR", THREE - 7 * 3_600), ("LGA", 0)] {
        let closure = Closure { airport: airport.into(), from };
        let answer = what_if::ask(&runtime, &model, closure.clone()).await.unwrap();
        let grounded = grounded(&answer);
        assert_eq!((answer.in_fact, answer.closed, grounded), by_hand(&rows, &closure), "{closure:?}");
    }
    runtime.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b5_a_question_without_an_answer_leaves_no_edition() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::at(&directory.path().join("flights.db"));
    let (runtime, model, rows) = told(&world).await;
    let editions = async || runtime.storage().editions().await.unwrap().len();

    // Nothing of the kind.
    for closure in [Closure { airport: "BOS".into(), ..jfk() }, Closure { from: THREE * 2, ..jfk() }] {
        let error = what_if::ask(&runtime, &model, closure.clone()).await.unwrap_err();
        assert!(matches!(&error, WhatIfError::NoFlights { airport } if *airport == closure.airport), "{error}");
    }

    // An edition that somebody else made is not ours to discard.
    let row = rows.iter().find(|row| row.origin == "JFK" && row.departure_delay.is_some()).unwrap();
    let mine = flight_root(&row.key());
    let branch = Edition::named("jfk-closed").diverge("flight", 1);
    runtime.send::<Flight>(mine, Cancel { at: THREE }).at(time(THREE)).edition(branch).await.unwrap();
    let error = what_if::ask(&runtime, &model, jfk()).await.unwrap_err();
    assert!(error.to_string().contains("`flights editions discard jfk-closed --yes`"), "{error}");
    assert_eq!(editions().await, 1);
    let state = runtime.state::<Flight>(mine).edition("jfk-closed").await.unwrap();
    assert_eq!(state.phase(), Phase::Cancelled);
    runtime.edition("jfk-closed").discard().await.unwrap();

    // A read model that is ahead of its store knows a flight that cannot be cancelled, when others are cancelled already.
    let path = directory.path().join("ghost.db");
    let ghost = Boards::open(&path).unwrap().model().clone();
    let copy = format!(
        "ATTACH '{}' AS real; INSERT INTO flight SELECT * FROM real.flight;
         INSERT INTO flight VALUES (zeroblob(16), 'ZZ', 1, '', 'JFK', 'BOS', {}, 20130208, 1, NULL, NULL);",
        world.boards.display(),
        THREE + 7_000
    );
    rusqlite::Connection::open(&path).unwrap().execute_batch(&copy).unwrap();
    let before = log(&runtime).await;
    let error = what_if::ask(&runtime, &ghost, jfk()).await.unwrap_err();
    assert!(matches!(&error, WhatIfError::Runtime(_)), "{error}");
    assert_eq!(editions().await, 0);
    assert_eq!(log(&runtime).await, before);
    runtime.shutdown().await.unwrap();
}
