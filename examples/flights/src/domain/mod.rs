//! The domain: flights, aircraft, and the saga between them.
//!
//! In: commands. Out: events. Never: a clock, a database, a row of the log.

mod aircraft;
mod flight;
mod rotation;

pub use aircraft::{Aircraft, Leg};
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
