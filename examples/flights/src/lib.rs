//! A year of real flights through Angzarr: every row of the log becomes commands, in the order in which the world would have
//! known them; aggregates, a saga and a read model make of them what an airport, an airline and a mechanic want to know.
//!
//! The way of the data: [`source`] → [`domain`] → [`projection`] → [`report`]; [`journey`] drives it. [`what_if`]
//! asks what else might have happened, [`rotations`] what broke in the days of aircraft that are followed.

pub mod domain;
pub mod journey;
pub mod projection;
pub mod report;
pub mod rotations;
pub mod source;
pub mod what_if;

/// Messages, from `proto/flights.proto`.
#[allow(missing_docs)]
pub mod pb {
    angzarr_runtime::include_proto!("flights");
}

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of some seconds after 1970, or before.
pub fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH - distance } else { UNIX_EPOCH + distance }
}
