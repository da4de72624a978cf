//! The domain: flights, aircraft, the saga between them, and the days of aircraft that somebody follows.
//!
//! In: commands. Out: events. Never: a clock, a database, a row of the log.

mod aircraft;
mod day;
mod flight;
mod rotation;

pub use aircraft::{Aircraft, Leg};
pub use day::{Day, DayLeg, Progress};
pub use flight::{Flight, Phase};
pub use rotation::Rotation;

use angzarr_runtime::{Uuid, root};

/// The root of a flight: one timetable entry of one day.
pub fn flight_root(key: &str) -> Uuid {
    root("flight", key)
}

/// The root of an aircraft.
pub fn aircraft_root(tail: &str) -> Uuid {
    root("aircraft", tail)
}
