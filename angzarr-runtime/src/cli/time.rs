//! Times as a person writes and reads them, in UTC.

use std::str::FromStr as _;

use prost_types::Timestamp;

use crate::proto::TimestampExt as _;
use crate::stream::Nanos;

/// `2026-07-01T12:00:00Z` and everything else of RFC 3339, or `2026-07-01 12:00`, with seconds or without, in UTC.
pub(super) fn parse(text: &str) -> Result<Nanos, String> {
    let help = || {
        format!(
            "`{text}` is no time; write `2026-07-01 12:00`, `2026-07-01 12:00:30` (UTC) or `2026-07-01T12:00:00+02:00`"
        )
    };
    let trimmed = text.trim();
    // The parser below also takes a date alone, and would have to guess at the hour.
    if !trimmed.is_ascii() || trimmed.len() < "2026-07-01 12:00".len() {
        return Err(help());
    }
    let (date, time) = trimmed.split_at(10);
    let Some(time) = time.strip_prefix(['T', 't', ' ']) else { return Err(help()) };
    let time = time.trim_start();
    // Hours and minutes alone get their seconds, before whatever says the offset.
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
    let offset = if offset == "z" { "Z" } else { offset };
    let timestamp = Timestamp::from_str(&format!("{date}T{clock}{seconds}{offset}")).map_err(|_| help())?;
    timestamp.to_unix_nanos().ok_or_else(help)
}

/// As `2026-07-01 12:00:00.123`, in UTC.
pub(super) fn show(nanos: Nanos) -> String {
    let text = Timestamp::from_unix_nanos(nanos).to_string();
    let text = text.trim_end_matches('Z').replace('T', " ");
    match text.split_once('.') {
        Some((whole, part)) => format!("{whole}.{}", part.get(..3).unwrap_or(part)),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_people_write() {
        const NOON: Nanos = 1_782_907_200_000_000_000;
        for text in [
            "2026-07-01T12:00:00Z",
            "2026-07-01t12:00:00z",
            "2026-07-01 12:00",
            "2026-07-01 12:00:00",
            "2026-07-01T12:00",
            "2026-07-01T14:00:00+02:00",
            "2026-07-01 14:00+02:00",
            " 2026-07-01 12:00:00.000 ",
        ] {
            assert_eq!(parse(text), Ok(NOON), "{text}");
        }
        assert_eq!(parse("2026-07-01 12:00:00.5"), Ok(NOON + 500_000_000));
    }

    #[test]
    fn everything_else_is_refused_with_an_example() {
        for text in [
            "",
            "now",
            "2026-07-01",
            "12:00",
            "2026-07-01 25:00",
            "2026-13-01 12:00",
            "2026-07-01x12:00",
            "2026-07-01 12",
            "2026-07-01 12:00 Überall",
            "9999-07-01 12:00",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("write `2026-07-01 12:00`"), "{text}: {error}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        proptest::proptest!(|(text: String, digits in "[0-9]{1,12}-[0-9]{2}-[0-9]{2}[ T][0-9:.+Z-]{0,20}")| {
            let _ = parse(&text);
            let _ = parse(&digits);
        });
    }

    #[test]
    fn it_is_shown_as_it_may_be_written() {
        let half = parse("2026-07-01 12:00:00.5").unwrap();
        assert_eq!(show(half), "2026-07-01 12:00:00.500");
        assert_eq!(parse(&show(half)), Ok(half));
    }
}
