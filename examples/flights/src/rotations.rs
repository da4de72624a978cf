//! The days of aircraft that somebody follows, and what broke in them.
//!
//! In: a world, a day of the timetable. Out: the day of each aircraft, by tail number. Never: a day of an aircraft that nobody
//! has followed; see [`journey::run_following_aircraft`](crate::journey::run_following_aircraft).

use std::collections::BTreeMap;

use angzarr_runtime::prelude::*;
use angzarr_runtime::{SqliteReadModel, Versioned, rusqlite};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::domain::{Day, Progress};
use crate::pb::{LegPlanned, RotationBroken};
use crate::projection::tails;

/// Questions that are under way at a time.
const AT_ONCE: usize = 64;

/// One day of every aircraft that is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotations {
    /// Local day of the timetable, as YYYYMMDD.
    pub day: u32,
    /// The days, by tail number.
    pub aircraft: BTreeMap<String, Day>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationsError {
    /// The runtime refused or failed.
    #[error(transparent)]
    Runtime(#[from] Error),
    /// The read model cannot be read.
    #[error(transparent)]
    Model(#[from] rusqlite::Error),
}

impl Rotations {
    /// Asks for the days of all aircraft that the timetable of `day` knows.
    ///
    /// # Errors
    /// The store or the read model fails.
    pub async fn of(runtime: &Runtime, model: &SqliteReadModel, day: u32) -> Result<Self, RotationsError> {
        let tails = model.query(move |model| tails(model, day)).await?;
        let questions = tails.into_iter().map(async |tail| {
            let found: Versioned<Day> = runtime.process::<Day>(&Day::of(&tail, day)).await?;
            Ok::<_, Error>((!found.is_new()).then(|| (tail, found.into_state())))
        });
        let found: Vec<_> = stream::iter(questions).buffered(AT_ONCE).try_collect().await?;
        Ok(Self { day, aircraft: found.into_iter().flatten().collect() })
    }

    /// The legs that can no longer be flown as planned, with their aircraft, by scheduled departure.
    pub fn broken(&self) -> Vec<(&str, &LegPlanned, Progress, &RotationBroken)> {
        let mut broken: Vec<_> = self
            .aircraft
            .iter()
            .flat_map(|(tail, day)| day.broken_legs().map(|(leg, progress, why)| (tail.as_str(), leg, progress, why)))
            .collect();
        broken.sort_by_key(|(tail, leg, ..)| (leg.departs_at, *tail));
        broken
    }
}
