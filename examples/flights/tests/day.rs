//! The day of an aircraft, said in scenarios; and that the order of the telling does not matter.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;
use angzarr_runtime::testing::{Answered, Scenario};
use flights::domain::{Day, DayLeg, Flight, Progress, flight_root};
use flights::pb::*;

/// 8 February 2013, 12:00 UTC.
const NOON: i64 = 1_360_324_800;

fn after(minutes: i64) -> i64 {
    NOON + minutes * 60
}

fn leg(n: u32) -> Uuid {
    flight_root(&n.to_string())
}

/// To Boston, 187 miles: 42 minutes from gate to gate, so 144 minutes until it can leave from New York again.
fn scheduled(n: u32, origin: &str, minutes: i64) -> Scheduled {
    Scheduled {
        carrier: "B6".into(),
        number: n,
        tail: "N1".into(),
        origin: origin.into(),
        destination: "BOS".into(),
        departs_at: after(minutes),
        day: 20_130_208,
        distance: 187,
    }
}

fn planned(n: u32, origin: &str, minutes: i64) -> LegPlanned {
    LegPlanned {
        flight: leg(n).to_string(),
        name: format!("B6{n}"),
        origin: origin.into(),
        destination: "BOS".into(),
        departs_at: after(minutes),
        distance: 187,
    }
}

fn departed(minutes: i64) -> Departed {
    Departed { at: after(minutes), delay: 0, tail: "N1".into(), origin: String::new(), destination: String::new() }
}

fn arrived(minutes: i64) -> Arrived {
    Arrived { at: after(minutes), delay: 0, tail: "N1".into() }
}

fn begun(n: u32, minutes: i64) -> LegBegun {
    LegBegun { flight: leg(n).to_string(), at: after(minutes) }
}

fn flown(n: u32, minutes: i64) -> LegFlown {
    LegFlown { flight: leg(n).to_string(), at: after(minutes) }
}

fn late(n: u32, ready: i64) -> RotationBroken {
    RotationBroken {
        flight: leg(n).to_string(),
        cause: Cause::Late.into(),
        ready_at: after(ready),
        stands_at: String::new(),
    }
}

fn elsewhere(n: u32, airport: &str) -> RotationBroken {
    RotationBroken {
        flight: leg(n).to_string(),
        cause: Cause::Elsewhere.into(),
        ready_at: 0,
        stands_at: airport.into(),
    }
}

fn lost(n: u32) -> RotationBroken {
    RotationBroken { flight: leg(n).to_string(), cause: Cause::Lost.into(), ready_at: 0, stands_at: String::new() }
}

fn mended(n: u32) -> RotationMended {
    RotationMended { flight: leg(n).to_string() }
}

#[test]
fn a_leg_is_broken_when_its_aircraft_is_late_and_mended_when_it_made_up_for_it() {
    Scenario::<Day>::given(())
        .when_event::<Flight>(leg(1), scheduled(1, "JFK", 0))
        .then(planned(1, "JFK", 0))
        .and_when_event::<Flight>(leg(2), scheduled(2, "LGA", 150))
        .then(planned(2, "LGA", 150))
        // Twelve minutes late: back at 156 at the earliest.
        .and_when_event::<Flight>(leg(1), departed(12))
        .then((begun(1, 12), late(2, 156)))
        // In Boston already at 40: back at 142.
        .and_when_event::<Flight>(leg(1), arrived(40))
        .then((flown(1, 40), mended(2)))
        .then_commands(Vec::<AnyCommand>::new());
    // To the minute.
    let morning = (planned(1, "JFK", 0), planned(2, "LGA", 150));
    Scenario::<Day>::given(morning.clone()).when_event::<Flight>(leg(1), departed(6)).then(begun(1, 6));
    Scenario::<Day>::given(morning)
        .when_event::<Flight>(leg(1), departed(7))
        .then((begun(1, 7), late(2, 151)))
        // Another time is another verdict; the same one is not said twice.
        .and_when_event::<Flight>(leg(1), arrived(60))
        .then((flown(1, 60), late(2, 162)))
        // It flew all the same, so the aircraft was there.
        .and_when_event::<Flight>(leg(2), departed(155))
        .then((begun(2, 155), mended(2)));
}

#[test]
fn a_late_aircraft_is_late_for_every_leg_until_it_has_made_up_for_it() {
    let day = (planned(1, "JFK", 0), planned(2, "JFK", 150), planned(3, "LGA", 300), planned(4, "JFK", 600));
    // Back at 264 instead of 150, leaves then, back at 408 instead of 300; the third pause is long enough.
    Scenario::<Day>::given(day).when_event::<Flight>(leg(1), departed(120)).then((
        begun(1, 120),
        late(2, 264),
        late(3, 408),
    ));
}

#[test]
fn a_cancelled_leg_leaves_the_aircraft_where_it_was_to_leave() {
    let day = (planned(1, "JFK", 0), planned(2, "LGA", 150), planned(3, "JFK", 300));
    let off = |n: u32| LegCancelled { flight: leg(n).to_string() };
    Scenario::<Day>::given(day)
        .when_event::<Flight>(leg(1), Cancelled { at: NOON })
        .then((off(1), elsewhere(2, "JFK")))
        // Nothing new: it stays where it is, and the leg from there can be flown.
        .and_when_event::<Flight>(leg(2), Cancelled { at: after(150) })
        .then(off(2))
        .then_state(|day| {
            let broken: Vec<_> = day.broken_legs().map(|(leg, progress, _)| (leg.name.as_str(), progress)).collect();
            assert_eq!(broken, [("B62", Progress::Cancelled)]);
        });
}

#[test]
fn a_diverted_aircraft_is_lost_until_it_leaves_again() {
    let day = (planned(1, "JFK", 0), planned(2, "JFK", 300), planned(3, "LGA", 600), planned(4, "JFK", 620));
    Scenario::<Day>::given((day.0, day.1, day.2, day.3, begun(1, 0)))
        .when_event::<Flight>(leg(1), Diverted { at: after(90), tail: "N1".into() })
        .then((LegDiverted { flight: leg(1).to_string() }, lost(2), lost(3), lost(4)))
        .and_when_event::<Flight>(leg(3), departed(600))
        .then((begun(3, 600), mended(3), late(4, 744)));
}

#[test]
fn of_two_legs_at_the_same_time_the_one_that_left_was_flown() {
    for (first, second) in [(1, 2), (2, 1)] {
        Scenario::<Day>::given((
            planned(1, "JFK", 0),
            planned(2, "JFK", 0),
            LegCancelled { flight: leg(first).to_string() },
        ))
        .when_event::<Flight>(leg(second), departed(0))
        .then_state(|day| {
            let broken: Vec<_> = day.broken_legs().map(|(leg, ..)| leg.flight.clone()).collect();
            assert_eq!(broken, [leg(first).to_string()]);
        });
    }
}

/// Times that nobody flies at are no reason to fall over.
#[test]
fn the_ends_of_time_are_only_times() {
    for departs_at in [i64::MIN, i64::MAX] {
        let odd = Scheduled { departs_at, distance: u32::MAX, ..scheduled(1, "JFK", 0) };
        Scenario::<Day>::given((planned(2, "LGA", 0), planned(3, "EWR", 150)))
            .when_event::<Flight>(leg(1), odd)
            .then_state(|day| day.legs.len() == 3)
            .and_when_event::<Flight>(leg(1), Departed { at: departs_at, ..departed(0) })
            .then_state(|day| day.legs.len() == 3);
    }
}

#[derive(Clone, Copy)]
enum News {
    Scheduled(&'static str, i64),
    Departed(i64),
    Arrived(i64),
    Cancelled,
    Diverted,
}

fn tell(scenario: Option<Answered<Day>>, (n, news): (u32, News)) -> Answered<Day> {
    fn one(
        scenario: Option<Answered<Day>>,
        n: u32,
        event: impl angzarr_runtime::Message + std::fmt::Debug,
    ) -> Answered<Day> {
        match scenario {
            None => Scenario::<Day>::given(()).when_event::<Flight>(leg(n), event),
            Some(scenario) => scenario.and_when_event::<Flight>(leg(n), event),
        }
    }
    match news {
        News::Scheduled(origin, minutes) => one(scenario, n, scheduled(n, origin, minutes)),
        News::Departed(minutes) => one(scenario, n, departed(minutes)),
        News::Arrived(minutes) => one(scenario, n, arrived(minutes)),
        News::Cancelled => one(scenario, n, Cancelled { at: NOON }),
        News::Diverted => one(scenario, n, Diverted { at: NOON, tail: "N1".into() }),
    }
}

/// Calls back with every order of the news.
fn every_order(told: &mut Vec<(u32, News)>, from: usize, each: &mut impl FnMut(&[(u32, News)])) {
    if from == told.len() {
        return each(told);
    }
    for other in from..told.len() {
        told.swap(from, other);
        every_order(told, from + 1, each);
        told.swap(from, other);
    }
}

/// In every order the same end; how often a leg was called broken on the way that is not at the end.
fn ends_the_same(mut news: Vec<(u32, News)>, expected: &[DayLeg]) -> usize {
    let (mut orders, mut withdrawn) = (0, 0);
    every_order(&mut news, 0, &mut |order| {
        let mut scenario = None;
        let mut feared = false;
        for one in order {
            scenario = Some(tell(scenario.take(), *one).then_state(|day| {
                let wrong = |leg: &DayLeg| {
                    let end = expected.iter().find(|end| end.flight == leg.flight);
                    leg.broken.is_some() && end.is_some_and(|end| end.broken.is_none())
                };
                feared |= day.legs.iter().any(wrong);
            }));
        }
        scenario.expect("some news").then_state(|day| assert_eq!(day.legs, expected));
        orders += 1;
        withdrawn += usize::from(feared);
    });
    assert_eq!(orders, 720);
    withdrawn
}

fn known(planned: LegPlanned, progress: Progress, times: (i64, i64), broken: Option<RotationBroken>) -> DayLeg {
    let (left_at, arrived_at) = times;
    let flight = planned.flight.clone();
    DayLeg { flight, planned: Some(planned), progress: progress.into(), left_at, arrived_at, broken }
}

/// Whoever knows of the cancelled leg before the late one thinks that the aircraft stands at JFK: wrong, and withdrawn.
#[test]
fn a_late_day_ends_the_same_in_every_order() {
    let news = vec![
        (1, News::Scheduled("JFK", 0)),
        (1, News::Departed(60)),
        (1, News::Arrived(100)),
        (2, News::Scheduled("JFK", 150)),
        (2, News::Cancelled),
        (3, News::Scheduled("LGA", 300)),
    ];
    let end = [
        known(planned(1, "JFK", 0), Progress::Flown, (after(60), after(100)), None),
        // In Boston at 100, 42 minutes for the way back, half an hour at either end.
        known(planned(2, "JFK", 150), Progress::Cancelled, (0, 0), Some(late(2, 202))),
        known(planned(3, "LGA", 300), Progress::Planned, (0, 0), None),
    ];
    assert!(ends_the_same(news, &end) > 0, "some order raises a flag that has to be withdrawn");
}

#[test]
fn a_day_with_a_diversion_ends_the_same_in_every_order() {
    let news = vec![
        (1, News::Scheduled("JFK", 0)),
        (1, News::Departed(0)),
        (1, News::Diverted),
        (2, News::Scheduled("LGA", 300)),
        (3, News::Scheduled("JFK", 600)),
        (3, News::Departed(610)),
    ];
    let end = [
        known(planned(1, "JFK", 0), Progress::Diverted, (after(0), 0), None),
        known(planned(2, "LGA", 300), Progress::Planned, (0, 0), Some(lost(2))),
        known(planned(3, "JFK", 600), Progress::Begun, (after(610), 0), None),
    ];
    assert!(ends_the_same(news, &end) > 0, "some order raises a flag that has to be withdrawn");
}
