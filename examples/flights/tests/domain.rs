//! Flights, aircraft, and what is between them, said in scenarios.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::Scenario;
use flights::domain::{Aircraft, Flight, Phase, aircraft_root, flight_root};
use flights::pb::*;
use flights::projection::{BoardLine, Boards};
use flights::time;

angzarr_runtime::wiring_test!("flight", "aircraft", "day");

/// 8 February 2013, 12:00 UTC.
const NOON: i64 = 1_360_324_800;

fn schedule() -> Schedule {
    Schedule {
        carrier: "B6".into(),
        number: 101,
        tail: "N1".into(),
        origin: "JFK".into(),
        destination: "BOS".into(),
        departs_at: NOON,
        day: 20_130_208,
        distance: 187,
    }
}

fn scheduled() -> Scheduled {
    let Schedule { carrier, number, tail, origin, destination, departs_at, day, distance } = schedule();
    Scheduled { carrier, number, tail, origin, destination, departs_at, day, distance }
}

fn departed() -> Departed {
    Departed { at: NOON, delay: 12, tail: "N1".into(), origin: "JFK".into(), destination: "BOS".into() }
}

fn arrived() -> Arrived {
    Arrived { at: NOON + 3_600, delay: -3, tail: "N1".into() }
}

#[test]
fn a_flight_from_the_timetable_to_its_end() {
    Scenario::<Flight>::given(())
        .when(schedule())
        .then(scheduled())
        .and_when(Depart { at: NOON, delay: 12 })
        .then(departed())
        .then_state(|flight| (flight.phase(), flight.departure_delay) == (Phase::Airborne, Some(12)))
        .and_when(Arrive { at: NOON + 3_600, delay: -3 })
        .then(arrived())
        .then_state(|flight| (flight.phase(), flight.arrival_delay) == (Phase::Arrived, Some(-3)));
}

#[test]
fn what_is_known_gives_no_event_again() {
    let told = || Scenario::<Flight>::given((scheduled(), departed(), arrived()));
    told().when(schedule()).then_nothing();
    told().when(Depart { at: NOON, delay: 99 }).then_nothing();
    told().when(Arrive { at: NOON, delay: 99 }).then_nothing();
    told().when(Divert { at: NOON }).then_nothing();
    let cancelled = (scheduled(), Cancelled { at: NOON });
    Scenario::<Flight>::given(cancelled).when(Cancel { at: NOON + 1 }).then_nothing();
}

#[test]
fn what_cannot_be_is_refused() {
    let nowhere = Schedule { destination: "JFK".into(), ..schedule() };
    Scenario::<Flight>::given(()).when(nowhere).then_rejected("goes_nowhere");
    Scenario::<Flight>::given(()).when(Depart { at: NOON, delay: 0 }).then_rejected("not_scheduled");
    Scenario::<Flight>::given(()).when(Cancel { at: NOON }).then_rejected("not_scheduled");
    Scenario::<Flight>::given(scheduled()).when(Arrive { at: NOON, delay: 0 }).then_rejected("not_in_the_air");
    Scenario::<Flight>::given(scheduled()).when(Divert { at: NOON }).then_rejected("not_in_the_air");
    Scenario::<Flight>::given((scheduled(), departed())).when(Cancel { at: NOON }).then_rejected("has_left");
    Scenario::<Flight>::given((scheduled(), Cancelled { at: NOON }))
        .when(Depart { at: NOON, delay: 0 })
        .then_rejected("cancelled")
        .then_state(|flight| flight.phase() == Phase::Cancelled);
}

#[test]
fn an_aircraft_hears_of_a_leg_once() {
    let take_off = || TakeOff { flight: "a".into(), at: NOON, origin: "JFK".into(), destination: "BOS".into() };
    let took_off = TookOff { flight: "a".into(), at: NOON, origin: "JFK".into(), destination: "BOS".into() };
    Scenario::<Aircraft>::given(())
        .when(take_off())
        .then(took_off)
        .and_when(take_off())
        .then_nothing()
        .and_when(Land { flight: "a".into(), at: NOON + 9, diverted: true })
        .then(Landed { flight: "a".into(), at: NOON + 9, diverted: true })
        .then_state(|aircraft| {
            assert_eq!(aircraft.flown, 1);
            assert_eq!((aircraft.legs[0].landed, aircraft.legs[0].diverted), (NOON + 9, true));
        });
}

#[test]
fn the_rotation_follows_the_flights() {
    let (flight, tail) = (flight_root("b6101"), aircraft_root("N1"));
    let (name, at) = (flight.to_string(), time(NOON));
    let take_off = TakeOff { flight: name.clone(), at: NOON, origin: "JFK".into(), destination: "BOS".into() };
    let land = |at, diverted| Land { flight: name.clone(), at, diverted };
    Scenario::saga("rotation")
        .at(at)
        .when_event::<Flight>(flight, departed())
        .then_commands(Aircraft::command(tail, take_off).at(at))
        .and_when_event::<Flight>(flight, arrived())
        .then_commands(Aircraft::command(tail, land(NOON + 3_600, false)).at(at))
        .and_when_event::<Flight>(flight, Diverted { at: NOON + 5, tail: "N1".into() })
        .then_commands(Aircraft::command(tail, land(NOON + 5, true)).at(at))
        .and_when_event::<Flight>(flight, Departed { tail: String::new(), ..departed() })
        .then_no_commands();
}

#[tokio::test]
async fn the_board_remembers_what_was_known_when() {
    let boards = Boards::in_memory().expect("the schema");
    let model = boards.model().clone();
    let flight = flight_root("b6101");
    // In the timetable since the day before, left twelve minutes late.
    let scenario = Scenario::projector(boards)
        .at(time(NOON - 86_400))
        .when_event::<Flight>(flight, scheduled())
        .await
        .then_nothing();
    scenario.at(time(NOON + 720)).and_when_event::<Flight>(flight, departed()).await.then_nothing();
    let board = async |as_of: i64| {
        model.query(move |model| BoardLine::board(model, "JFK", NOON, NOON + 1, as_of)).await.expect("the board")
    };
    let line = |phase: Phase, delay| BoardLine {
        departs_at: NOON,
        flight: "B6101".into(),
        destination: "BOS".into(),
        phase: phase.into(),
        delay,
    };
    assert_eq!(board(NOON - 86_401).await, []);
    assert_eq!(board(NOON + 719).await, [line(Phase::Scheduled, None)]);
    assert_eq!(board(NOON + 720).await, [line(Phase::Airborne, Some(12))]);
}
