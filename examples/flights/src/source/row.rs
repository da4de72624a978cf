//! One row of the log.

use std::io::Read;
use std::path::Path;

use super::News;

/// A flight as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Local calendar day, as YYYYMMDD.
    pub day: u32,
    /// Scheduled local time, as HHMM.
    pub scheduled: u32,
    /// The carrier's code.
    pub carrier: String,
    /// The flight number.
    pub number: u32,
    /// The aircraft; empty where the log has none.
    pub tail: String,
    /// Airport of departure.
    pub origin: String,
    /// Airport of arrival.
    pub destination: String,
    /// Scheduled departure, seconds since 1970.
    pub departs_at: i64,
    /// Minutes late at departure; none if it never left.
    pub departure_delay: Option<i32>,
    /// Minutes late at arrival; none if it never arrived there.
    pub arrival_delay: Option<i32>,
    /// Minutes in the air.
    pub air_time: Option<u32>,
    /// Miles.
    pub distance: u32,
}

/// The log cannot be read.
#[derive(Debug)]
pub struct SourceError(String);

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for SourceError {}

impl SourceError {
    pub(super) fn file(path: &Path, error: impl std::fmt::Display) -> Self {
        Self(format!("{}: {error}; name flights.csv, or the .gz or .zip that holds it", path.display()))
    }
}

const DAY: i64 = 86_400;

impl Row {
    /// Names the flight: no two rows of the log share it.
    pub fn key(&self) -> String {
        let Self { day, carrier, number, origin, destination, scheduled, .. } = self;
        format!("{day}/{carrier}{number}/{origin}-{destination}/{scheduled:04}")
    }

    /// When it left, if it did.
    pub fn left_at(&self) -> Option<i64> {
        self.departure_delay.map(|delay| self.departs_at + i64::from(delay) * 60)
    }

    /// When it came down, if it left: see the module for what is assumed.
    pub fn ended_at(&self) -> Option<i64> {
        let left = self.left_at()?;
        if self.arrival_delay.is_none() {
            return Some(left + 6 * 3_600);
        }
        let in_the_air = self.air_time.unwrap_or(self.distance * 60 / 400);
        Some(left + i64::from(in_the_air + 30) * 60)
    }

    /// What was told about this flight, and when, in order.
    pub fn news(&self) -> impl Iterator<Item = (i64, News)> + use<> {
        // A flight that leaves more than a day early was in the timetable before that.
        let known = (self.departs_at - DAY).min(self.left_at().unwrap_or(i64::MAX));
        let end = if self.arrival_delay.is_some() { News::Arrived } else { News::Diverted };
        let rest = match (self.left_at(), self.ended_at()) {
            (Some(left), Some(ended)) => [Some((left, News::Departed)), Some((ended, end))],
            _ => [Some((self.departs_at, News::Cancelled)), None],
        };
        std::iter::once((known, News::Scheduled)).chain(rest.into_iter().flatten())
    }
}

/// Reads the rows of a csv.
pub(super) fn read(csv: impl Read) -> Result<Vec<Row>, SourceError> {
    let mut reader = csv::Reader::from_reader(csv);
    let header = reader.headers().map_err(|error| SourceError(error.to_string()))?.clone();
    let columns = Columns::of(&header)?;
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let line = index + 2;
        let record = record.map_err(|error| SourceError(format!("line {line}: {error}")))?;
        let row = columns.row(&record).map_err(|problem| SourceError(format!("line {line}: {problem}")))?;
        rows.push(row);
    }
    Ok(rows)
}

struct Columns([usize; 14]);

const NAMES: [&str; 14] = [
    "year",
    "month",
    "day",
    "sched_dep_time",
    "dep_delay",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "time_hour",
];

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self, SourceError> {
        let mut columns = [0; 14];
        for (column, name) in columns.iter_mut().zip(NAMES) {
            *column = header
                .iter()
                .position(|found| found == name)
                .ok_or_else(|| SourceError(format!("no column `{name}`: this is not the flights log")))?;
        }
        Ok(Self(columns))
    }

    fn row(&self, record: &csv::StringRecord) -> Result<Row, String> {
        let text = |n: usize| match record.get(self.0[n]).unwrap_or("") {
            "NA" => "",
            text => text,
        };
        fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
            text.parse().map_err(|_| format!("`{text}` is no {name}"))
        }
        let maybe = |n: usize| match text(n) {
            "" => Ok(None),
            found => number::<i32>(NAMES[n], found).map(Some),
        };
        let (year, month, day): (u32, u32, u32) =
            (number("year", text(0))?, number("month", text(1))?, number("day", text(2))?);
        let scheduled: u32 = number("sched_dep_time", text(3))?;
        let hour = angzarr_runtime::prost_types::Timestamp::try_from_text(text(13))?;
        let departure_delay = maybe(4)?;
        Ok(Row {
            day: year * 10_000 + month * 100 + day,
            scheduled,
            carrier: text(6).to_owned(),
            number: number("flight", text(7))?,
            tail: text(8).to_owned(),
            origin: text(9).to_owned(),
            destination: text(10).to_owned(),
            departs_at: hour + i64::from(scheduled % 100) * 60,
            departure_delay,
            arrival_delay: departure_delay.and(maybe(5)?),
            air_time: maybe(11)?.map(i32::unsigned_abs),
            distance: number("distance", text(12))?,
        })
    }
}

trait FromText {
    fn try_from_text(text: &str) -> Result<i64, String>;
}

impl FromText for angzarr_runtime::prost_types::Timestamp {
    fn try_from_text(text: &str) -> Result<i64, String> {
        text.parse::<Self>().map(|time| time.seconds).map_err(|_| format!("`{text}` is no time_hour"))
    }
}
