//! A flight, from the timetable to its end.

use angzarr_runtime::prelude::*;

use crate::pb::{Arrive, Arrived, Cancel, Cancelled, Depart, Departed, Divert, Diverted, Schedule, Scheduled};

/// How far a flight has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Phase {
    /// Not in the timetable.
    Unknown = 0,
    /// In the timetable.
    Scheduled = 1,
    /// In the air.
    Airborne = 2,
    /// At its destination.
    Arrived = 3,
    /// It will not go.
    Cancelled = 4,
    /// Somewhere else, or never recorded.
    Diverted = 5,
}

/// One flight of one day.
///
/// Every command may come again, after a crash or an interrupted run: what is known already gives no event.
#[aggregate(domain = "flight")]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Flight {
    /// How far it has come.
    #[prost(enumeration = "Phase", tag = "1")]
    pub phase: i32,
    /// The carrier's code.
    #[prost(string, tag = "2")]
    pub carrier: String,
    /// The flight number.
    #[prost(uint32, tag = "3")]
    pub number: u32,
    /// The aircraft, if the log names one.
    #[prost(string, tag = "4")]
    pub tail: String,
    /// Airport of departure.
    #[prost(string, tag = "5")]
    pub origin: String,
    /// Airport of arrival.
    #[prost(string, tag = "6")]
    pub destination: String,
    /// Scheduled departure, seconds since 1970.
    #[prost(int64, tag = "7")]
    pub departs_at: i64,
    /// Minutes late at departure, once it has left.
    #[prost(sint32, optional, tag = "8")]
    pub departure_delay: Option<i32>,
    /// Minutes late at arrival, once it has arrived.
    #[prost(sint32, optional, tag = "9")]
    pub arrival_delay: Option<i32>,
}

#[aggregate]
impl Flight {
    /// Puts the flight into the timetable.
    #[handler]
    fn schedule(&self, cmd: Schedule) -> Result<Option<Scheduled>, Rejection> {
        ensure!(cmd.origin != cmd.destination, "goes_nowhere", "from {} to {}", cmd.origin, cmd.destination);
        if self.phase() != Phase::Unknown {
            return Ok(None);
        }
        let Schedule { carrier, number, tail, origin, destination, departs_at, day, distance } = cmd;
        Ok(Some(Scheduled { carrier, number, tail, origin, destination, departs_at, day, distance }))
    }

    /// It leaves.
    #[handler]
    fn depart(&self, cmd: Depart) -> Result<Option<Departed>, Rejection> {
        match self.phase() {
            Phase::Unknown => Err(Rejection::not_found("not_scheduled", "the flight is not in the timetable")),
            Phase::Cancelled => Err(Rejection::new("cancelled", "a cancelled flight does not leave")),
            Phase::Scheduled => Ok(Some(Departed {
                at: cmd.at,
                delay: cmd.delay,
                tail: self.tail.clone(),
                origin: self.origin.clone(),
                destination: self.destination.clone(),
            })),
            Phase::Airborne | Phase::Arrived | Phase::Diverted => Ok(None),
        }
    }

    /// It reaches its destination.
    #[handler]
    fn arrive(&self, cmd: Arrive) -> Result<Option<Arrived>, Rejection> {
        Ok(self.may_end("arrive")?.then(|| Arrived { at: cmd.at, delay: cmd.delay, tail: self.tail.clone() }))
    }

    /// It will not go.
    #[handler]
    fn cancel(&self, cmd: Cancel) -> Result<Option<Cancelled>, Rejection> {
        match self.phase() {
            Phase::Unknown => Err(Rejection::not_found("not_scheduled", "the flight is not in the timetable")),
            Phase::Scheduled => Ok(Some(Cancelled { at: cmd.at })),
            Phase::Cancelled => Ok(None),
            Phase::Airborne | Phase::Arrived | Phase::Diverted => {
                Err(Rejection::new("has_left", "a flight that has left cannot be cancelled"))
            }
        }
    }

    /// It ends elsewhere, or nobody recorded where.
    #[handler]
    fn divert(&self, cmd: Divert) -> Result<Option<Diverted>, Rejection> {
        Ok(self.may_end("be diverted")?.then(|| Diverted { at: cmd.at, tail: self.tail.clone() }))
    }

    #[apply]
    fn scheduled(&mut self, e: Scheduled) {
        *self = Self {
            phase: Phase::Scheduled.into(),
            carrier: e.carrier,
            number: e.number,
            tail: e.tail,
            origin: e.origin,
            destination: e.destination,
            departs_at: e.departs_at,
            departure_delay: None,
            arrival_delay: None,
        };
    }

    #[apply]
    fn departed(&mut self, e: Departed) {
        self.set_phase(Phase::Airborne);
        self.departure_delay = Some(e.delay);
    }

    #[apply]
    fn arrived(&mut self, e: Arrived) {
        self.set_phase(Phase::Arrived);
        self.arrival_delay = Some(e.delay);
    }

    #[apply]
    fn cancelled(&mut self, _: Cancelled) {
        self.set_phase(Phase::Cancelled);
    }

    #[apply]
    fn diverted(&mut self, _: Diverted) {
        self.set_phase(Phase::Diverted);
    }
}

impl Flight {
    /// Whether a flight in the air comes down now (`true`), or did before (`false`).
    fn may_end(&self, what: &str) -> Result<bool, Rejection> {
        match self.phase() {
            Phase::Airborne => Ok(true),
            Phase::Arrived | Phase::Diverted => Ok(false),
            Phase::Unknown | Phase::Scheduled | Phase::Cancelled => {
                Err(Rejection::new("not_in_the_air", format!("a flight that has not left cannot {what}")))
            }
        }
    }
}
