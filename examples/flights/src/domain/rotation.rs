//! What a flight means to the aircraft that flies it.

use angzarr_runtime::prelude::*;

use super::{Aircraft, Flight, aircraft_root};
use crate::pb::{Arrived, Departed, Diverted, Land, TakeOff};

/// Tells the aircraft about each take-off and landing of its flights. Flights without a known aircraft tell nobody.
#[saga(name = "rotation", from = Flight)]
pub struct Rotation;

#[saga]
impl Rotation {
    /// The aircraft takes off.
    #[handler]
    fn departed(&self, e: Departed, ctx: &EventContext) -> Option<Command<Aircraft>> {
        let flight = ctx.root().to_string();
        let Departed { at, tail, origin, destination, .. } = e;
        tell(&tail, TakeOff { flight, at, origin, destination }, ctx)
    }

    /// The aircraft lands.
    #[handler]
    fn arrived(&self, e: Arrived, ctx: &EventContext) -> Option<Command<Aircraft>> {
        tell(&e.tail, Land { flight: ctx.root().to_string(), at: e.at, diverted: false }, ctx)
    }

    /// The aircraft lands elsewhere.
    #[handler]
    fn diverted(&self, e: Diverted, ctx: &EventContext) -> Option<Command<Aircraft>> {
        tell(&e.tail, Land { flight: ctx.root().to_string(), at: e.at, diverted: true }, ctx)
    }
}

fn tell<C: angzarr_runtime::Message>(tail: &str, command: C, ctx: &EventContext) -> Option<Command<Aircraft>>
where
    Aircraft: angzarr_runtime::Accepts<C>,
{
    // The aircraft's history has the time of the world, not of the import.
    (!tail.is_empty()).then(|| Aircraft::command(aircraft_root(tail), command).at(ctx.created_at()))
}
