//! An aircraft, by the number on its tail.

use angzarr_runtime::prelude::*;

use crate::pb::{Land, Landed, TakeOff, TookOff};

/// One leg of an aircraft's rotation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Leg {
    /// Key of the flight.
    #[prost(string, tag = "1")]
    pub flight: String,
    /// When it took off, seconds since 1970; 0 while only the landing is known.
    #[prost(int64, tag = "2")]
    pub took_off: i64,
    /// When it landed, seconds since 1970; 0 while it is in the air.
    #[prost(int64, tag = "3")]
    pub landed: i64,
    /// Where it took off.
    #[prost(string, tag = "4")]
    pub origin: String,
    /// Where it was to land.
    #[prost(string, tag = "5")]
    pub destination: String,
    /// Whether it landed elsewhere.
    #[prost(bool, tag = "6")]
    pub diverted: bool,
}

/// The rotation of one aircraft: its last legs, by the time at which they took off.
///
/// What it is told comes from many flights, and what happened earlier may be told later: the legs are kept in the order
/// of their own times, not in the order of the telling.
#[aggregate(domain = "aircraft", snapshot(every = 64))]
#[derive(Clone, Default, PartialEq, prost::Message)]
pub struct Aircraft {
    /// The last [`Aircraft::REMEMBERED`] legs, earliest first.
    #[prost(message, repeated, tag = "1")]
    pub legs: Vec<Leg>,
    /// Legs that it has flown in all.
    #[prost(uint32, tag = "2")]
    pub flown: u32,
}

#[aggregate]
impl Aircraft {
    /// It takes off on a flight.
    #[handler(merge = AggregateHandles)]
    fn take_off(&self, cmd: TakeOff) -> Result<Option<TookOff>, Rejection> {
        if self.leg(&cmd.flight).is_some_and(|leg| leg.took_off != 0) {
            return Ok(None);
        }
        let TakeOff { flight, at, origin, destination } = cmd;
        Ok(Some(TookOff { flight, at, origin, destination }))
    }

    /// It comes down from a flight.
    #[handler(merge = AggregateHandles)]
    fn land(&self, cmd: Land) -> Result<Option<Landed>, Rejection> {
        if self.leg(&cmd.flight).is_some_and(|leg| leg.landed != 0) {
            return Ok(None);
        }
        let Land { flight, at, diverted } = cmd;
        Ok(Some(Landed { flight, at, diverted }))
    }

    #[apply]
    fn took_off(&mut self, e: TookOff) {
        self.flown += 1;
        let leg = self.leg_mut(e.flight);
        (leg.took_off, leg.origin, leg.destination) = (e.at, e.origin, e.destination);
        self.put_in_order();
    }

    #[apply]
    fn landed(&mut self, e: Landed) {
        let leg = self.leg_mut(e.flight);
        (leg.landed, leg.diverted) = (e.at, e.diverted);
        self.put_in_order();
    }
}

impl Aircraft {
    /// Legs that are remembered: about a week of a busy aircraft.
    pub const REMEMBERED: usize = 32;

    fn leg(&self, flight: &str) -> Option<&Leg> {
        self.legs.iter().rev().find(|leg| leg.flight == flight)
    }

    fn leg_mut(&mut self, flight: String) -> &mut Leg {
        let index = self.legs.iter().rposition(|leg| leg.flight == flight).unwrap_or_else(|| {
            self.legs.push(Leg { flight, ..Leg::default() });
            self.legs.len() - 1
        });
        &mut self.legs[index]
    }

    fn put_in_order(&mut self) {
        self.legs.sort_by_key(|leg| if leg.took_off == 0 { leg.landed } else { leg.took_off });
        let surplus = self.legs.len().saturating_sub(Self::REMEMBERED);
        self.legs.drain(..surplus);
    }
}
