//! Legs that could no longer be flown.

use std::fmt::Write as _;

use super::show_time;
use crate::domain::Progress;
use crate::pb::Cause;
use crate::rotations::Rotations;

/// What broke in the days of the aircraft that are followed.
pub fn rotations(rotations: &Rotations) -> String {
    let Rotations { day, aircraft } = rotations;
    let broken = rotations.broken();
    let (year, month, day) = (day / 10_000, day / 100 % 100, day % 100);
    let mut text = format!("Rotations of {year}-{month:02}-{day:02} that could no longer be flown:\n\n");
    for (tail, leg, progress, why) in &broken {
        let progress = match progress {
            Progress::Planned => "planned",
            Progress::Begun => "departed",
            Progress::Flown => "arrived",
            Progress::Cancelled => "CANCELLED",
            Progress::Diverted => "diverted",
        };
        let why = match why.cause() {
            Cause::None => String::new(),
            Cause::Late => format!("could leave at {} at the earliest", show_time(why.ready_at)),
            Cause::Elsewhere => format!("stands at {}", why.stands_at),
            Cause::Lost => "was diverted before".to_owned(),
        };
        let (at, from, to) = (show_time(leg.departs_at), &leg.origin, &leg.destination);
        let _ = writeln!(text, "  {at}  {:<7} {from} → {to}  {progress:<10} {tail} {why}", leg.name);
    }
    if broken.is_empty() {
        let _ = writeln!(text, "  none");
    }
    let mut tails: Vec<_> = broken.iter().map(|(tail, ..)| tail).collect();
    tails.sort_unstable();
    tails.dedup();
    let (legs, of_them, followed) = (broken.len(), tails.len(), aircraft.len());
    let _ = writeln!(text, "\nLegs: {legs}, of {of_them} aircraft; {followed} aircraft were followed.");
    text
}
