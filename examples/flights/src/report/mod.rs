//! What a person reads: the summary, the storm as a chart, a board, a flight.
//!
//! In: figures. Out: text. Never: a query.

mod clock;
mod rotations;
mod truths;
mod what_if;

pub use clock::{parse_day, parse_moment, parse_time, show_time};
pub use rotations::rotations;
pub use truths::{Truth, of_the_year};
pub use what_if::what_if;

use std::fmt::Write as _;

use crate::domain::{Aircraft, Flight, Phase};
use crate::journey::Outcome;
use crate::projection::{BoardLine, CarrierDay, Figures, Hour};

/// The name of a phase on a board.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Unknown => "unknown",
        Phase::Scheduled => "scheduled",
        Phase::Airborne => "departed",
        Phase::Arrived => "arrived",
        Phase::Cancelled => "CANCELLED",
        Phase::Diverted => "diverted",
    }
}

/// What came in, what was stored, how fast.
pub fn summary(outcome: &Outcome, figures: &Figures, bytes: (u64, u64)) -> String {
    let mut text = String::new();
    let seconds = outcome.took.as_secs_f64();
    let head = if outcome.interrupted { "Interrupted" } else { "Done" };
    let _ = writeln!(text, "{head} after {seconds:.1} s.\n");
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "  {what:<28}{value:>14}");
    };
    line("flights in the log", thousands(outcome.rows as u64));
    line("  of these known before", thousands(outcome.skipped as u64));
    line("commands sent", thousands(outcome.commands));
    line("events stored now", thousands(outcome.added));
    line("events in the store", thousands(outcome.events));
    line("events a second", thousands((outcome.added as f64 / seconds.max(0.001)) as u64));
    line("event store", format!("{:.1} MB", bytes.0 as f64 / 1e6));
    line("read model", format!("{:.1} MB", bytes.1 as f64 / 1e6));
    let _ = writeln!(text);
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "  {what:<28}{value:>14}");
    };
    line("in the timetable", thousands(figures.flights));
    line("departed", thousands(figures.departed));
    line("arrived", thousands(figures.arrived));
    line("cancelled", thousands(figures.cancelled));
    line("diverted or not recorded", thousands(figures.diverted));
    if figures.departed > 0 {
        line("mean departure delay", format!("{:.2} min", figures.mean_departure_delay()));
    }
    if let Some(share) = (100 * figures.storm_cancelled).checked_div(figures.storm) {
        line("8 and 9 February", format!("{} flights", thousands(figures.storm)));
        line("  of these cancelled", format!("{} ({share} %)", thousands(figures.storm_cancelled)));
    }
    text
}

/// The storm: flights that left (█) and that were cancelled (░), by the hour in which they were to leave.
pub fn storm_chart(hours: &[Hour], width: usize) -> String {
    let most = hours.iter().map(|hour| hour.left + hour.cancelled).max().unwrap_or(0).max(1);
    let mut text = String::from("  hour (UTC)      █ left   ░ cancelled\n");
    for hour in hours {
        let cells = |count: u64| ((count * width as u64 + most / 2) / most) as usize;
        let (left, cancelled) = (cells(hour.left), cells(hour.cancelled));
        let counts = match (hour.left, hour.cancelled) {
            (0, 0) => String::new(),
            (left, 0) => format!(" {left}"),
            (left, cancelled) => format!(" {left} / {cancelled}"),
        };
        let _ = writeln!(text, "  {} {}{}{counts}", show_time(hour.at), "█".repeat(left), "░".repeat(cancelled));
    }
    text
}

/// Carriers of one day.
pub fn carriers(days: &[CarrierDay]) -> String {
    let mut text = String::from("  carrier   departed  cancelled   mean delay\n");
    for day in days {
        let mean = day.mean_delay.map_or_else(|| "–".to_owned(), |mean| format!("{mean:.1} min"));
        let _ = writeln!(text, "  {:<8}{:>10}{:>11}{mean:>13}", day.carrier, day.departed, day.cancelled);
    }
    text
}

/// A departures board.
pub fn board(airport: &str, as_of: i64, lines: &[BoardLine]) -> String {
    let mut text = format!("Departures from {airport}, as they were known at {} UTC\n\n", show_time(as_of));
    for line in lines {
        let phase = phase_name(Phase::try_from(line.phase).unwrap_or(Phase::Unknown));
        let delay = match line.delay {
            Some(delay) if delay > 0 => format!("{delay} min late"),
            Some(delay) if delay < 0 => format!("{} min early", -delay),
            Some(_) => "on time".to_owned(),
            None => String::new(),
        };
        let row =
            format!("  {}  {:<8} {:<4} {phase:<10} {delay}", show_time(line.departs_at), line.flight, line.destination);
        let _ = writeln!(text, "{}", row.trim_end());
    }
    if lines.is_empty() {
        let _ = writeln!(text, "  nothing on the board");
    }
    text
}

/// One flight.
pub fn flight(flight: &Flight, events: u32) -> String {
    let mut text = String::new();
    let Flight { carrier, number, tail, origin, destination, departs_at, .. } = flight;
    if flight.phase() == Phase::Unknown {
        return "  not in the timetable at that moment\n".to_owned();
    }
    let _ = writeln!(text, "  {carrier}{number} {origin} → {destination}, to leave {} UTC", show_time(*departs_at));
    let _ = writeln!(text, "  aircraft   {}", if tail.is_empty() { "not recorded" } else { tail });
    let noun = if events == 1 { "event" } else { "events" };
    let _ = writeln!(text, "  state      {} ({events} {noun})", phase_name(flight.phase()));
    if let Some(delay) = flight.departure_delay {
        let _ = writeln!(text, "  departed   {delay:+} min");
    }
    if let Some(delay) = flight.arrival_delay {
        let _ = writeln!(text, "  arrived    {delay:+} min");
    }
    text
}

/// The last legs of an aircraft.
pub fn rotation(tail: &str, aircraft: &Aircraft) -> String {
    let mut text = format!("{tail}: {} legs flown, the last {}:\n\n", aircraft.flown, aircraft.legs.len());
    for leg in &aircraft.legs {
        let landed = match (leg.landed, leg.diverted) {
            (0, _) => "in the air".to_owned(),
            (at, true) => format!("{} (not there)", show_time(at)),
            (at, false) => show_time(at),
        };
        let _ = writeln!(text, "  {} {} → {} {landed}", show_time(leg.took_off), leg.origin, leg.destination);
    }
    text
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(["0", "999", "1,000", "336,776", "1,234,567"], [0, 999, 1_000, 336_776, 1_234_567].map(thousands));
    }

    #[test]
    fn the_longest_bar_is_as_wide_as_asked() {
        let hours = [Hour { at: 0, left: 10, cancelled: 30 }, Hour { at: 3_600, left: 0, cancelled: 0 }];
        let chart = storm_chart(&hours, 40);
        assert!(chart.contains(&format!("{}{} 10 / 30", "█".repeat(10), "░".repeat(30))), "{chart}");
    }
}
