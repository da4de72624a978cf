//! What if an airport had closed? The answer is made in an edition, compared with what happened, and thrown away.
//!
//! In: a world that knows its flights, an airport, a moment. Out: both courses of the day, side by side. Never: a trace on the
//! main timeline, or an edition that is left behind by a question that failed.

use std::collections::BTreeMap;

use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::StreamFilter;
use angzarr_runtime::{Edition, SqliteReadModel, rusqlite};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::domain::{Flight, Phase};
use crate::pb::Cancel;
use crate::projection::{Departures, later_flights};
use crate::time;

/// Commands and questions that are under way at a time: they share commits.
const AT_ONCE: usize = 64;

/// An airport that sends nothing off any more, from a moment to the end of that day of the timetable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// Its code.
    pub airport: String,
    /// From when on, seconds since 1970. A flight is concerned if it is *scheduled* then or later.
    pub from: i64,
}

impl Closure {
    /// The branch in which it is so.
    ///
    /// ```
    /// let closure = flights::what_if::Closure { airport: "JFK".into(), from: 0 };
    /// assert_eq!(closure.edition(), "jfk-closed");
    /// ```
    pub fn edition(&self) -> String {
        format!("{}-closed", self.airport.to_lowercase())
    }
}

/// The flights concerned, on one timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// In the timetable.
    pub scheduled: u64,
    /// Left, wherever they came down.
    pub left: u64,
    /// Arrived at their destinations.
    pub arrived: u64,
    /// Diverted, or never recorded.
    pub diverted: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Minutes late at departure, in all; nobody is refunded for what left early.
    pub late: u64,
}

impl Course {
    fn of<'f>(flights: impl IntoIterator<Item = &'f Flight>) -> Self {
        let mut course = Self::default();
        for flight in flights {
            course.scheduled += u64::from(flight.phase() != Phase::Unknown);
            course.left += u64::from(flight.departure_delay.is_some());
            course.arrived += u64::from(flight.phase() == Phase::Arrived);
            course.diverted += u64::from(flight.phase() == Phase::Diverted);
            course.cancelled += u64::from(flight.phase() == Phase::Cancelled);
            course.late += u64::try_from(flight.departure_delay.unwrap_or(0)).unwrap_or(0);
        }
        course
    }
}

/// An aircraft that left in fact, and would have stayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Grounded {
    /// The flight that left in fact.
    pub flight: Flight,
    /// The next flight of the aircraft that went, and that the closure itself does not cancel, as far as it is known.
    pub next: Option<Flight>,
}

impl Grounded {
    /// Whether the next flight leaves from where the aircraft would not be.
    pub fn is_broken(&self) -> bool {
        self.next.as_ref().is_some_and(|next| next.origin != self.flight.origin)
    }
}

/// What came of the question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub closure: Closure,
    /// Local day of the timetable, as YYYYMMDD.
    pub day: u32,
    /// The flights concerned, as they went.
    pub in_fact: Course,
    /// The same flights, with the airport closed.
    pub closed: Course,
    /// Aircraft that would have stayed, by tail number.
    pub grounded: BTreeMap<String, Grounded>,
    /// Events of flights on the main timeline, before the edition was opened and after it was discarded.
    pub on_main: (u64, u64),
    /// Editions in the store after that.
    pub editions: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhatIfError {
    /// Nothing is known that could have been different.
    #[error("no flight leaves {airport} at that moment or later; `flights board {airport}` shows what there is")]
    NoFlights {
        /// The airport.
        airport: String,
    },
    /// Somebody has told something in an edition of that name already.
    #[error("there is an edition `{edition}` already; `flights editions discard {edition} --yes` removes it")]
    EditionExists {
        /// Its name.
        edition: String,
    },
    /// The runtime refused or failed.
    #[error(transparent)]
    Runtime(#[from] Error),
    /// The store cannot be listed.
    #[error(transparent)]
    Storage(#[from] angzarr_runtime::storage::StorageError),
    /// The read model cannot be read.
    #[error(transparent)]
    Model(#[from] rusqlite::Error),
}

/// Closes the airport in an edition, compares, and discards the edition, whatever came of it.
///
/// # Errors
/// There is no such flight, the edition exists already, or the store or the read model fails.
pub async fn ask(runtime: &Runtime, model: &SqliteReadModel, closure: Closure) -> Result<Answer, WhatIfError> {
    let Closure { airport, from } = closure.clone();
    let asked = model.query(move |model| Departures::rest_of_day(model, &airport, from)).await?;
    let Some(departures) = asked else {
        return Err(WhatIfError::NoFlights { airport: closure.airport });
    };
    let edition = closure.edition();
    if editions(runtime).await?.contains(&edition) {
        return Err(WhatIfError::EditionExists { edition });
    }
    let before = events_on_main(runtime).await?;
    let compared = compare(runtime, model, &closure, &departures.flights).await;
    if editions(runtime).await?.contains(&edition) {
        runtime.edition(&edition).discard().await?;
    }
    let (in_fact, closed, grounded) = compared?;
    Ok(Answer {
        day: departures.day,
        in_fact,
        closed,
        grounded,
        on_main: (before, events_on_main(runtime).await?),
        editions: editions(runtime).await?,
        closure,
    })
}

async fn compare(
    runtime: &Runtime,
    model: &SqliteReadModel,
    closure: &Closure,
    flights: &[Uuid],
) -> Result<(Course, Course, BTreeMap<String, Grounded>), WhatIfError> {
    let edition = closure.edition();
    // The branch leaves right behind `Scheduled`, the first event of every flight: what came of it has not happened there.
    let branch = Edition::named(&edition).diverge(Flight::DOMAIN, 1);
    let cancel = Cancel { at: closure.from };
    let cancelling = flights.iter().map(|flight| {
        let command = runtime.send::<Flight>(*flight, cancel).at(time(closure.from));
        command.edition(branch.clone()).into_future()
    });
    // All of them to their ends, even if one fails: a command that is still under way would open the branch again after it
    // was discarded.
    let cancelled: Vec<_> = stream::iter(cancelling).buffered(AT_ONCE).collect().await;
    cancelled.into_iter().collect::<Result<Vec<_>, _>>()?;

    let states = async |edition: &str| {
        let questions = flights.iter().map(|flight| runtime.state::<Flight>(*flight).edition(edition).into_future());
        let states: Vec<_> = stream::iter(questions).buffered(AT_ONCE).try_collect().await?;
        Ok::<Vec<Flight>, Error>(states.into_iter().map(angzarr_runtime::Versioned::into_state).collect())
    };
    let (in_fact, closed) = (states("").await?, states(&edition).await?);

    let mut grounded = BTreeMap::new();
    for (was, would_be) in in_fact.iter().zip(&closed) {
        if was.tail.is_empty() || was.departure_delay.is_none() || would_be.departure_delay.is_some() {
            continue;
        }
        let (tail, after) = (was.tail.clone(), was.departs_at);
        let later = model.query(move |model| later_flights(model, &tail, after)).await?;
        let mut next = None;
        for flight in later {
            let state = runtime.state::<Flight>(flight).edition(edition.as_str()).await?.into_state();
            if state.departure_delay.is_some() {
                next = Some(state);
                break;
            }
        }
        grounded.insert(was.tail.clone(), Grounded { flight: was.clone(), next });
    }
    Ok((Course::of(&in_fact), Course::of(&closed), grounded))
}

async fn editions(runtime: &Runtime) -> Result<Vec<String>, WhatIfError> {
    let editions = runtime.storage().editions().await?;
    Ok(editions.into_iter().map(|edition| edition.name.to_string()).collect())
}

/// Counted from the streams, not from a figure that somebody keeps.
async fn events_on_main(runtime: &Runtime) -> Result<u64, WhatIfError> {
    const PAGE: usize = 10_000;
    let filter = StreamFilter {
        domain: Some(Flight::DOMAIN.to_owned()),
        edition: Some(String::new()),
        ..StreamFilter::default()
    };
    let (mut events, mut after) = (0, None);
    loop {
        let page = runtime.storage().streams(&filter, after.as_ref(), PAGE).await?;
        events += page.iter().map(|stream| u64::from(stream.next_sequence)).sum::<u64>();
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(events),
        }
    }
}
