//! What can be asked of the read model.

use angzarr_runtime::Uuid;
use angzarr_runtime::rusqlite::{Connection, Error, OptionalExtension as _};

/// Figures of all flights, counted from the rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Flights in the timetable.
    pub flights: u64,
    /// Of these, in January.
    pub january: u64,
    /// Never departed.
    pub cancelled: u64,
    /// Departed, without arrival delay.
    pub diverted: u64,
    /// Departed.
    pub departed: u64,
    /// Arrived.
    pub arrived: u64,
    /// Sum of the departure delays, minutes.
    pub departure_delay: i64,
    /// Aircraft, the empty tail number counted as one.
    pub tails: u64,
    /// Flights of 8 and 9 February.
    pub storm: u64,
    /// Of these, cancelled.
    pub storm_cancelled: u64,
}

impl Figures {
    /// Counts.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn count(model: &Connection) -> Result<Self, Error> {
        model.query_row(
            "SELECT count(*), coalesce(sum(day / 100 % 100 = 1), 0), coalesce(sum(phase = 4), 0), coalesce(sum(phase = 5), 0),
                    count(departure_delay), coalesce(sum(phase = 3), 0), coalesce(sum(departure_delay), 0),
                    count(DISTINCT tail), coalesce(sum(day IN (20130208, 20130209)), 0),
                    coalesce(sum(day IN (20130208, 20130209) AND phase = 4), 0)
             FROM flight",
            [],
            |row| {
                let count = |n: usize| row.get::<_, i64>(n).map(i64::unsigned_abs);
                Ok(Self {
                    flights: count(0)?,
                    january: count(1)?,
                    cancelled: count(2)?,
                    diverted: count(3)?,
                    departed: count(4)?,
                    arrived: count(5)?,
                    departure_delay: row.get(6)?,
                    tails: count(7)?,
                    storm: count(8)?,
                    storm_cancelled: count(9)?,
                })
            },
        )
    }

    /// Mean departure delay of those that departed, minutes.
    pub fn mean_departure_delay(&self) -> f64 {
        self.departure_delay as f64 / self.departed as f64
    }
}

/// One hour of the storm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    /// Its begin, seconds since 1970.
    pub at: i64,
    /// Flights that were to leave in it and left.
    pub left: u64,
    /// Flights that were to leave in it and were cancelled.
    pub cancelled: u64,
}

impl Hour {
    /// The hours from `from` up to `to`, by scheduled departure.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn all(model: &Connection, from: i64, to: i64, step: i64) -> Result<Vec<Self>, Error> {
        let mut statement = model.prepare(
            "SELECT (departs_at - ?1) / ?3, sum(phase <> 4), sum(phase = 4) FROM flight
             WHERE departs_at >= ?1 AND departs_at < ?2 GROUP BY 1",
        )?;
        let slots = (to - from) / step;
        let mut hours: Vec<Self> = (0..slots).map(|n| Self { at: from + n * step, left: 0, cancelled: 0 }).collect();
        let mut rows = statement.query((from, to, step))?;
        while let Some(row) = rows.next()? {
            let slot: i64 = row.get(0)?;
            if let Some(hour) = usize::try_from(slot).ok().and_then(|slot| hours.get_mut(slot)) {
                hour.left = row.get::<_, i64>(1)?.unsigned_abs();
                hour.cancelled = row.get::<_, i64>(2)?.unsigned_abs();
            }
        }
        Ok(hours)
    }
}

/// A line of an airport's departures board, as it was known at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardLine {
    /// Scheduled departure, seconds since 1970.
    pub departs_at: i64,
    /// Carrier and number.
    pub flight: String,
    /// Where it goes.
    pub destination: String,
    /// What was known: a [`Phase`](crate::domain::Phase) as a number.
    pub phase: i32,
    /// Minutes late at departure, if it had left.
    pub delay: Option<i32>,
}

impl BoardLine {
    /// The departures of an airport scheduled from `from` up to `to`, as they were known at `as_of`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn board(model: &Connection, airport: &str, from: i64, to: i64, as_of: i64) -> Result<Vec<Self>, Error> {
        let mut statement = model.prepare(
            "SELECT f.departs_at, f.carrier || f.number, f.destination, max(c.phase),
                    max(CASE WHEN c.phase = 2 THEN c.delay END)
             FROM flight f JOIN change c ON c.flight = f.id
             WHERE f.origin = ?1 AND f.departs_at >= ?2 AND f.departs_at < ?3 AND c.known_at <= ?4
             GROUP BY f.id ORDER BY f.departs_at, 2",
        )?;
        let lines = statement.query_map((airport, from, to, as_of), |row| {
            Ok(Self {
                departs_at: row.get(0)?,
                flight: row.get(1)?,
                destination: row.get(2)?,
                phase: row.get(3)?,
                delay: row.get(4)?,
            })
        })?;
        lines.collect()
    }
}

/// Delays of one carrier on one day.
#[derive(Clone, Debug, PartialEq)]
pub struct CarrierDay {
    /// The carrier's code.
    pub carrier: String,
    /// Flights that left.
    pub departed: u64,
    /// Flights that were cancelled.
    pub cancelled: u64,
    /// Mean departure delay of those that left, minutes.
    pub mean_delay: Option<f64>,
}

impl CarrierDay {
    /// Every carrier of one day (YYYYMMDD), the busiest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(model: &Connection, day: u32) -> Result<Vec<Self>, Error> {
        let mut statement = model.prepare(
            "SELECT carrier, count(departure_delay), sum(phase = 4), avg(departure_delay) FROM flight
             WHERE day = ?1 GROUP BY carrier ORDER BY count(*) DESC, carrier",
        )?;
        let days = statement.query_map([day], |row| {
            Ok(Self {
                carrier: row.get(0)?,
                departed: row.get::<_, i64>(1)?.unsigned_abs(),
                cancelled: row.get::<_, i64>(2)?.unsigned_abs(),
                mean_delay: row.get(3)?,
            })
        })?;
        days.collect()
    }
}

/// What is to leave an airport during the rest of a day, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departures {
    /// Local day of the timetable, as YYYYMMDD.
    pub day: u32,
    /// Roots of the flights, by scheduled departure.
    pub flights: Vec<Uuid>,
}

impl Departures {
    /// The departures scheduled at `from` or later, of the day of the timetable to which the first of them belongs.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rest_of_day(model: &Connection, airport: &str, from: i64) -> Result<Option<Self>, Error> {
        let first = model.query_row(
            "SELECT day FROM flight WHERE origin = ?1 AND departs_at >= ?2 ORDER BY departs_at LIMIT 1",
            (airport, from),
            |row| row.get::<_, u32>(0),
        );
        let Some(day) = first.optional()? else { return Ok(None) };
        let mut statement = model.prepare(
            "SELECT id FROM flight WHERE origin = ?1 AND departs_at >= ?2 AND day = ?3 ORDER BY departs_at, id",
        )?;
        let flights = statement.query_map((airport, from, day), root)?.collect::<Result<_, _>>()?;
        Ok(Some(Self { day, flights }))
    }
}

/// The flights of an aircraft that are scheduled after a moment, earliest first.
///
/// # Errors
/// The file cannot be read.
pub fn later_flights(model: &Connection, tail: &str, after: i64) -> Result<Vec<Uuid>, Error> {
    let mut statement =
        model.prepare("SELECT id FROM flight WHERE tail = ?1 AND departs_at > ?2 ORDER BY departs_at, id")?;
    statement.query_map((tail, after), root)?.collect()
}

/// The tail numbers that a day of the timetable (YYYYMMDD) knows.
///
/// # Errors
/// The file cannot be read.
pub fn tails(model: &Connection, day: u32) -> Result<Vec<String>, Error> {
    let mut statement =
        model.prepare("SELECT DISTINCT tail FROM flight WHERE day = ?1 AND tail <> '' ORDER BY tail")?;
    statement.query_map([day], |row| row.get(0))?.collect()
}

fn root(row: &angzarr_runtime::rusqlite::Row<'_>) -> Result<Uuid, Error> {
    row.get::<_, [u8; 16]>(0).map(Uuid::from_bytes)
}
