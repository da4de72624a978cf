//! The day of an aircraft: which of its legs it can still fly.
//!
//! In: what the flights of one tail number say under one correlation id, in any order. Out: the legs that can no longer be
//! flown as planned, and the withdrawal of what does not hold any more. Never: a verdict that depends on the order of the
//! telling; it follows from the facts that are known, by the flights' own times.
//!
//! The log has nothing but departures from New York, so the legs between two of them have to be assumed:
//! - an aircraft flies at 500 miles an hour, and needs 20 minutes more from gate to gate; its way back is as long as the
//!   way out, and may lead to any airport of New York;
//! - between landing and leaving it stands for 30 minutes;
//! - for a leg that was cancelled it had come, if it could: it stands where that leg was to leave.
//!
//! These are the times of a good day. A leg is called broken if not even they would do.

use angzarr_runtime::prelude::*;

use super::Flight;
use crate::pb::{
    Arrived, Cancelled, Cause, Departed, Diverted, LegBegun, LegCancelled, LegDiverted, LegFlown, LegPlanned,
    RotationBroken, RotationMended, Scheduled,
};

/// Seconds between landing and leaving.
const TURNAROUND: i64 = 30 * 60;

/// Seconds from gate to gate.
fn gate_to_gate(miles: u32) -> i64 {
    (i64::from(miles) * 60 / 500 + 20) * 60
}

/// How far a leg has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Progress {
    /// Nothing is known but the plan.
    Planned = 0,
    /// In the air.
    Begun = 1,
    /// At its destination.
    Flown = 2,
    /// It will not go.
    Cancelled = 3,
    /// Somewhere else.
    Diverted = 4,
}

/// What is known of a leg. Its parts may come in any order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DayLeg {
    /// Root of the flight.
    #[prost(string, tag = "1")]
    pub flight: String,
    /// The plan, once it is known.
    #[prost(message, optional, tag = "2")]
    pub planned: Option<LegPlanned>,
    /// How far it has come.
    #[prost(enumeration = "Progress", tag = "3")]
    pub progress: i32,
    /// When it left, seconds since 1970; 0 while that is not known.
    #[prost(int64, tag = "4")]
    pub left_at: i64,
    /// When it arrived, seconds since 1970; 0 while that is not known.
    #[prost(int64, tag = "5")]
    pub arrived_at: i64,
    /// Why it can no longer be flown as planned, if so.
    #[prost(message, optional, tag = "6")]
    pub broken: Option<RotationBroken>,
}

/// The day of one aircraft: what its flights say under a correlation id like `N14228 2013-02-08` (see `Day::of`), and which
/// legs can no longer be flown as planned.
#[process_manager(domain = "day", from = [Flight])]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Day {
    /// The legs, by scheduled departure; those without a plan come last.
    #[prost(message, repeated, tag = "1")]
    pub legs: Vec<DayLeg>,
}

#[process_manager]
impl Day {
    /// Another leg.
    #[handler]
    fn scheduled(&self, e: Scheduled, ctx: &EventContext) -> Reaction {
        let Scheduled { carrier, number, origin, destination, departs_at, distance, .. } = e;
        let name = format!("{carrier}{number}");
        let fact = LegPlanned { flight: ctx.root().to_string(), name, origin, destination, departs_at, distance };
        self.with(Self::planned, fact.clone()).told(Reaction::new().event(fact))
    }

    /// The aircraft leaves: whatever was feared, it is there.
    #[handler]
    fn departed(&self, e: Departed, ctx: &EventContext) -> Reaction {
        let fact = LegBegun { flight: ctx.root().to_string(), at: e.at };
        self.with(Self::begun, fact.clone()).told(Reaction::new().event(fact))
    }

    /// The aircraft is where it should be, at a time that is known now.
    #[handler]
    fn arrived(&self, e: Arrived, ctx: &EventContext) -> Reaction {
        let fact = LegFlown { flight: ctx.root().to_string(), at: e.at };
        self.with(Self::flown, fact.clone()).told(Reaction::new().event(fact))
    }

    /// The aircraft stays where it is.
    #[handler]
    fn cancelled(&self, _: Cancelled, ctx: &EventContext) -> Reaction {
        let fact = LegCancelled { flight: ctx.root().to_string() };
        self.with(Self::called_off, fact.clone()).told(Reaction::new().event(fact))
    }

    /// The aircraft is somewhere else.
    #[handler]
    fn diverted(&self, _: Diverted, ctx: &EventContext) -> Reaction {
        let fact = LegDiverted { flight: ctx.root().to_string() };
        self.with(Self::lost, fact.clone()).told(Reaction::new().event(fact))
    }

    #[apply]
    fn planned(&mut self, e: LegPlanned) {
        self.change(&e.flight.clone(), |leg| leg.planned = Some(e));
    }
    #[apply]
    fn begun(&mut self, e: LegBegun) {
        self.change(&e.flight, |leg| {
            leg.left_at = e.at;
            leg.comes_to(Progress::Begun);
        });
    }
    #[apply]
    fn flown(&mut self, e: LegFlown) {
        self.change(&e.flight, |leg| {
            leg.arrived_at = e.at;
            leg.comes_to(Progress::Flown);
        });
    }
    #[apply]
    fn called_off(&mut self, e: LegCancelled) {
        self.change(&e.flight, |leg| leg.comes_to(Progress::Cancelled));
    }
    #[apply]
    fn lost(&mut self, e: LegDiverted) {
        self.change(&e.flight, |leg| leg.comes_to(Progress::Diverted));
    }
    #[apply]
    fn broken(&mut self, e: RotationBroken) {
        self.change(&e.flight.clone(), |leg| leg.broken = Some(e));
    }
    #[apply]
    fn mended(&mut self, e: RotationMended) {
        self.change(&e.flight, |leg| leg.broken = None);
    }
}

impl Day {
    /// The correlation id of an aircraft's day: the day of the timetable (YYYYMMDD), which is that of New York.
    ///
    /// ```
    /// assert_eq!(flights::domain::Day::of("N14228", 20_130_208), "N14228 2013-02-08");
    /// ```
    pub fn of(tail: &str, day: u32) -> String {
        format!("{tail} {}-{:02}-{:02}", day / 10_000, day / 100 % 100, day % 100)
    }

    /// The legs that can no longer be flown as planned.
    pub fn broken_legs(&self) -> impl Iterator<Item = (&LegPlanned, Progress, &RotationBroken)> {
        let all = self.legs.iter();
        all.filter_map(|leg| Some((leg.planned.as_ref()?, leg.progress(), leg.broken.as_ref()?)))
    }

    /// The same day with one fact more.
    fn with<E>(&self, apply: fn(&mut Self, E), fact: E) -> Self {
        let mut day = self.clone();
        apply(&mut day, fact);
        day
    }

    /// What follows from the facts and was not said yet, or was said and does not follow.
    fn told(&self, mut reaction: Reaction<Self>) -> Reaction<Self> {
        for (leg, verdict) in self.legs.iter().zip(self.verdicts()) {
            reaction = match verdict {
                verdict if verdict == leg.broken => reaction,
                Some(broken) => reaction.event(broken),
                None => reaction.event(RotationMended { flight: leg.flight.clone() }),
            };
        }
        reaction
    }

    /// Goes through the day with the aircraft; one verdict for each leg.
    fn verdicts(&self) -> Vec<Option<RotationBroken>> {
        let mut place = Place::Unknown;
        self.legs.iter().map(|leg| place.goes_on(leg)).collect()
    }

    /// Changes a leg, which may be one that nothing was known of, and puts the day in order again.
    fn change(&mut self, flight: &str, change: impl FnOnce(&mut DayLeg)) {
        let index = self.legs.iter().position(|leg| leg.flight == flight).unwrap_or_else(|| {
            self.legs.push(DayLeg { flight: flight.to_owned(), ..DayLeg::default() });
            self.legs.len() - 1
        });
        change(&mut self.legs[index]);
        self.legs.sort_by(|a, b| a.place_in_day().cmp(&b.place_in_day()));
    }
}

impl DayLeg {
    /// By the plan. Of two legs that were to leave at the same time the aircraft flew the one that left.
    fn place_in_day(&self) -> (i64, bool, &str) {
        let departs_at = self.planned.as_ref().map_or(i64::MAX, |plan| plan.departs_at);
        (departs_at, !self.has_left(), &self.flight)
    }

    fn has_left(&self) -> bool {
        matches!(self.progress(), Progress::Begun | Progress::Flown | Progress::Diverted)
    }

    /// The news of one flight may be told in any order, too; the last one of its story counts.
    fn comes_to(&mut self, progress: Progress) {
        self.set_progress(self.progress().max(progress));
    }
}

/// Where an aircraft is, as far as it can be known.
enum Place {
    /// Nothing is known of this day yet: it may be wherever the first leg leaves.
    Unknown,
    /// It could leave from here, from that time on.
    Stands { airport: String, ready_at: i64 },
    /// It lands here at that time, and its way back takes that long.
    Lands { airport: String, at: i64, way_back: i64 },
    /// Nobody knows.
    Lost,
}

impl Place {
    /// When it could leave from `origin`, or what keeps it from that.
    fn ready(&self, origin: &str) -> Result<i64, (Cause, String)> {
        match self {
            Self::Unknown => Ok(i64::MIN),
            Self::Stands { airport, ready_at } if airport == origin => Ok(*ready_at),
            Self::Stands { airport, .. } => Err((Cause::Elsewhere, airport.clone())),
            Self::Lands { airport, at, .. } if airport == origin => Ok(at.saturating_add(TURNAROUND)),
            Self::Lands { at, way_back, .. } => Ok(at.saturating_add(2 * TURNAROUND + way_back)),
            Self::Lost => Err((Cause::Lost, String::new())),
        }
    }

    /// Takes the aircraft through a leg, and says what is wrong with it.
    fn goes_on(&mut self, leg: &DayLeg) -> Option<RotationBroken> {
        let plan = leg.planned.as_ref()?;
        let ready = self.ready(&plan.origin);
        let broken = |cause: Cause, ready_at, stands_at| {
            Some(RotationBroken { flight: leg.flight.clone(), cause: cause.into(), ready_at, stands_at })
        };
        let verdict = match &ready {
            Ok(ready_at) if *ready_at <= plan.departs_at => None,
            Ok(ready_at) => broken(Cause::Late, *ready_at, String::new()),
            Err((cause, stands_at)) => broken(*cause, 0, stands_at.clone()),
        };
        let way = gate_to_gate(plan.distance);
        let lands = |at| Self::Lands { airport: plan.destination.clone(), at, way_back: way };
        match leg.progress() {
            // Facts are stronger than what was assumed before them.
            Progress::Begun => *self = lands(leg.left_at.saturating_add(way)),
            Progress::Flown => *self = lands(leg.arrived_at),
            Progress::Diverted => *self = Self::Lost,
            Progress::Cancelled => {
                if let (None, Ok(ready_at)) = (&verdict, ready) {
                    *self = Self::Stands { airport: plan.origin.clone(), ready_at };
                }
                return verdict;
            }
            Progress::Planned => {
                if let Ok(ready_at) = ready {
                    *self = lands(plan.departs_at.max(ready_at).saturating_add(way));
                }
                return verdict;
            }
        }
        None
    }
}
