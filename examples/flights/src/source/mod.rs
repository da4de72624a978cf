//! The log: rows become moments, in the order in which the world would have known them.
//!
//! In: `flights.csv`, plain, gzipped or zipped. Out: for each row what was told about it, and when. Never: a guess that is
//! not written down here.
//!
//! What the log does not say, and what is assumed instead:
//! - the timetable was known 24 hours before the scheduled departure;
//! - a cancellation was known at the scheduled departure;
//! - a flight was in the air, from gate to gate, for its `air_time` and 30 minutes; where `air_time` is missing, for the
//!   time of its distance at 400 miles an hour and 30 minutes;
//! - a departure without arrival delay (diverted, or never recorded) was known as such six hours after it left.

mod row;

pub use row::{Row, SourceError};

use std::io::Read;
use std::path::Path;

/// A week around the blizzard of 8 and 9 February 2013, shipped with the example.
static WINDOW: &[u8] = include_bytes!("../../data/window.csv.gz");

/// What was told about a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// It is in the timetable.
    Scheduled,
    /// It has left.
    Departed,
    /// It will not go.
    Cancelled,
    /// It has arrived.
    Arrived,
    /// It has not arrived where it should.
    Diverted,
}

/// Something that the world came to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When, seconds since 1970.
    pub at: i64,
    /// Of which row.
    pub row: usize,
    /// What.
    pub news: News,
}

/// The rows of the shipped week.
///
/// # Errors
/// The shipped file is damaged.
pub fn window() -> Result<Vec<Row>, SourceError> {
    row::read(flate2::read::GzDecoder::new(WINDOW))
}

/// The rows of a file: `flights.csv`, `.csv.gz`, or the `.zip` that holds it.
///
/// # Errors
/// The file cannot be read, or is not the flights log.
pub fn file(path: &Path) -> Result<Vec<Row>, SourceError> {
    let open = || std::fs::File::open(path).map_err(|error| SourceError::file(path, error));
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("zip") => {
            let mut archive = zip::ZipArchive::new(open()?).map_err(|error| SourceError::file(path, error))?;
            let mut text = Vec::new();
            let mut entry = archive.by_index(0).map_err(|error| SourceError::file(path, error))?;
            entry.read_to_end(&mut text).map_err(|error| SourceError::file(path, error))?;
            row::read(text.as_slice())
        }
        Some("gz") => row::read(flate2::read::GzDecoder::new(open()?)),
        _ => row::read(open()?),
    }
}

/// Everything that was told, earliest first; of one flight always in its own order.
pub fn moments(rows: &[Row]) -> Vec<Moment> {
    let mut moments: Vec<Moment> = rows
        .iter()
        .enumerate()
        .flat_map(|(index, row)| row.news().map(move |(at, news)| Moment { at, row: index, news }))
        .collect();
    moments.sort_unstable();
    moments
}
