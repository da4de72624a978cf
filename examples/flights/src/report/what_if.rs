//! Two courses of a day, side by side.

use std::fmt::Write as _;

use super::{show_time, thousands};
use crate::what_if::Answer;

/// What a closed airport would have changed.
pub fn what_if(answer: &Answer) -> String {
    let Answer { closure, day, in_fact, closed, grounded, on_main, editions } = answer;
    let (airport, edition) = (&closure.airport, closure.edition());
    let (year, month, day) = (day / 10_000, day / 100 % 100, day % 100);
    let mut text = format!(
        "What if {airport} had closed at {} UTC, for the rest of {year}-{month:02}-{day:02}?\n\n",
        show_time(closure.from)
    );
    let _ = writeln!(text, "  {:<28}{:>10}{:>14}", "", "in fact", edition);
    let mut line = |what: &str, was: u64, would_be: u64| {
        let _ = writeln!(text, "  {what:<28}{:>10}{:>14}", thousands(was), thousands(would_be));
    };
    line("in the timetable", in_fact.scheduled, closed.scheduled);
    line("left", in_fact.left, closed.left);
    line("  arrived", in_fact.arrived, closed.arrived);
    line("  diverted or not recorded", in_fact.diverted, closed.diverted);
    line("cancelled", in_fact.cancelled, closed.cancelled);
    line("minutes late at departure", in_fact.late, closed.late);
    let _ = writeln!(
        text,
        "\n{} flights more would not have gone. Aircraft that would have stood at {airport}, and what they flew next:\n",
        in_fact.left.saturating_sub(closed.left)
    );
    for (tail, grounded) in grounded {
        let flight = &grounded.flight;
        let _ = write!(text, "  {tail:<7} not to {:<4}", flight.destination);
        let _ = match &grounded.next {
            None => writeln!(text, "nothing more is known of it"),
            Some(next) => {
                let verdict =
                    if grounded.is_broken() { "  ← cannot be flown: the aircraft is not there" } else { "" };
                let name = format!("{}{}", next.carrier, next.number);
                let (at, from, to) = (show_time(next.departs_at), &next.origin, &next.destination);
                writeln!(text, "{at} {name:<7} {from} → {to}{verdict}")
            }
        };
    }
    let broken = grounded.values().filter(|grounded| grounded.is_broken()).count();
    let _ = writeln!(text, "\nRotations that would break: {broken} of {}.", grounded.len());
    let (before, after) = (thousands(on_main.0), thousands(on_main.1));
    let left = if editions.is_empty() { "none".to_owned() } else { editions.join(", ") };
    let _ = writeln!(
        text,
        "\nThe edition is discarded. Events of flights on main: {before} before, {after} after. Editions left: {left}."
    );
    text
}
