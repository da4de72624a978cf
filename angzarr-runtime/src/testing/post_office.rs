//! A small domain that the tests of scenarios, documentation and tool share: parcels, what they cost, where they went, and who
//! pays for those that never arrive.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::prelude::*;

macro_rules! messages {
    ($package:literal: $($name:ident { $($tag:tt [$($kind:tt)+] $field:ident: $type:ty),* $(,)? })+) => {
        $(
            #[derive(Clone, PartialEq, prost::Message)]
            pub(crate) struct $name {
                $(#[prost($($kind)+, tag = $tag)] pub(crate) $field: $type,)*
            }
        )+
        crate::name_messages!($package: $($name),+);
    };
}

messages! { "post":
    Pack { "1" [string] label: String, "2" [uint32] grams: u32 }
    Send { "1" [string] to: String }
    Stamp { "1" [uint32] count: u32 }
    Drop {}
    Packed { "1" [string] label: String, "2" [uint32] grams: u32 }
    PackedV1 { "1" [string] label: String }
    Sent { "1" [string] to: String }
    Insured {}
    Stamped { "1" [int64] at: i64 }
    Line { "1" [string] text: String }
    Declare {}
    Noted { "1" [string] at: String }
    Tracked { "1" [string] at: String }
    TrackedV1 { "1" [string] town: String }
    Returned { "1" [string] why: String }
    Covered { "1" [uint32] cents: u32 }
    Settled { "1" [string] why: String }
}

/// Messages of another package, one of which has the same short name.
pub(crate) mod billing {
    messages! { "billing":
        Charge { "1" [uint32] cents: u32 }
        Charged { "1" [uint32] cents: u32 }
        Sent {}
    }
}
use billing::{Charge, Charged};

/// A parcel, from the table to the road.
#[aggregate(domain = "parcel", snapshot(every = 3))]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Parcel {
    #[prost(string, tag = "1")]
    pub(crate) label: String,
    #[prost(uint32, tag = "2")]
    pub(crate) grams: u32,
    #[prost(string, tag = "3")]
    pub(crate) to: String,
    #[prost(uint32, tag = "4")]
    pub(crate) stamps: u32,
}

#[aggregate]
impl Parcel {
    /// Puts something | into it.
    #[handler]
    fn pack(&self, cmd: Pack) -> Result<Packed, Rejection> {
        ensure!(cmd.grams <= 20_000, "too_heavy", "{} g", cmd.grams);
        Ok(Packed { label: cmd.label, grams: cmd.grams })
    }

    /// Gives it to the postman.
    ///
    /// Heavy ones are insured.
    #[handler(merge = Strict)]
    fn send(&self, cmd: Send) -> Result<(Sent, Option<Insured>), Rejection> {
        ensure!(!self.label.is_empty(), "empty");
        Ok((Sent { to: cmd.to }, (self.grams > 1_000).then_some(Insured {})))
    }

    #[handler(merge = Commutative)]
    fn stamp(&self, cmd: Stamp, ctx: &CommandContext) -> Result<Vec<Stamped>, Rejection> {
        let at = ctx.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
        Ok(vec![Stamped { at }; cmd.count as usize])
    }

    #[handler]
    fn drop_it(&self, _: Drop) -> Result<Option<Sent>, Rejection> {
        panic!("it fell on the floor")
    }

    /// What a carrier says.
    #[fact]
    fn carrier_says(&self, fact: Noted) -> Option<Tracked> {
        (!fact.at.is_empty()).then_some(Tracked { at: fact.at })
    }

    /// Who does not pay gets it back.
    #[rejected]
    fn not_paid(&self, r: Rejected<Charge>) -> Result<Returned, Revocation> {
        match self.to.as_str() {
            "" => Err(Revocation::new("it never left").dead_letter().escalate()),
            "myself" => Err(Revocation::new("never mind")),
            "nobody" => Err(Revocation::forward()),
            "panic" => panic!("on purpose"),
            _ => Ok(Returned { why: format!("{} by {}", r.reason(), r.component()) }),
        }
    }

    #[rejected(from = Customs)]
    fn stopped(&self, r: Rejected<Declare>) -> Result<Option<Returned>, Revocation> {
        Ok((r.code() != "later").then(|| Returned { why: r.code().to_owned() }))
    }

    /// Only what is on its way can be called back.
    #[compensate]
    fn call_back(&self, c: Compensate) -> Result<Returned, Revocation> {
        ensure!(!self.to.is_empty(), "not_sent");
        Ok(Returned { why: format!("{}: {:?}", c.reason, c.sequences) })
    }

    #[apply]
    fn packed(&mut self, e: Packed) {
        (self.label, self.grams) = (e.label, e.grams);
    }
    #[apply]
    fn sent(&mut self, e: Sent) {
        self.to = e.to;
    }
    /// Nothing to remember.
    #[apply]
    fn insured(&mut self, _: Insured) {}
    #[apply]
    fn stamped(&mut self, _: Stamped) {
        self.stamps += 1;
    }
    #[apply]
    fn tracked(&mut self, _: Tracked) {}
    #[apply]
    fn returned(&mut self, e: Returned) {
        self.to = format!("back: {}", e.why);
    }
}

/// The first version did not weigh.
#[upcaster(from = 1)]
fn weigh(old: PackedV1) -> Packed {
    Packed { label: old.label, grams: 100 }
}

#[upcaster(from = 1)]
fn towns(old: TrackedV1) -> Tracked {
    Tracked { at: format!("the town of {}", old.town) }
}

/// What a customer owes.
#[aggregate(domain = "bill")]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Bill {
    #[prost(uint32, tag = "1")]
    pub(crate) cents: u32,
}

#[aggregate]
impl Bill {
    #[handler]
    fn charge(&self, cmd: Charge) -> Result<Charged, Rejection> {
        Ok(Charged { cents: cmd.cents })
    }
    #[apply]
    fn charged(&mut self, e: Charged) {
        self.cents += e.cents;
    }
    #[apply]
    fn sent(&mut self, _: billing::Sent) {}
}

/// Declared, not here.
#[aggregate(domain = "customs", remote, handles(Declare))]
pub(crate) struct Customs;

/// Who sends pays.
#[saga(name = "charge-sender", from = Parcel)]
fn charge_sender(e: Sent, ctx: &EventContext) -> Result<Vec<Command<Bill>>, ReactionError> {
    match e.to.as_str() {
        "" => Err(ReactionError::permanent("nobody to send it to")),
        "myself" => Ok(Vec::new()),
        to => Ok(vec![Bill::command(root("bill", to), Charge { cents: 450 }).at(ctx.created_at())]),
    }
}

/// A saga that holds something.
#[saga(name = "customs", from = Parcel)]
pub(crate) struct ToCustoms {
    pub(crate) abroad: &'static str,
}

#[saga]
impl ToCustoms {
    #[handler]
    fn sent(&self, e: Sent, ctx: &EventContext) -> Option<Command<Customs>> {
        (e.to == self.abroad).then(|| Customs::command(ctx.root(), Declare {}))
    }
}

/// Pays for what never arrives.
#[process_manager(domain = "insurance", from = [Parcel], to = [Customs])]
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Insurance {
    #[prost(uint32, tag = "1")]
    pub(crate) cents: u32,
    #[prost(string, repeated, tag = "2")]
    pub(crate) seen: Vec<String>,
}

#[process_manager]
impl Insurance {
    /// Covers it for a week.
    #[handler]
    fn insured(&self, _: Insured, ctx: &EventContext) -> Reaction {
        Reaction::new()
            .event(Covered { cents: 100 })
            .command(Bill::command(root("bill", "post"), Charge { cents: 100 }))
            .fact(Parcel::fact(ctx.root(), Noted { at: "the insurer".to_owned() }))
            .timeout("lost", Duration::from_secs(7 * 86_400))
    }
    #[handler]
    fn tracked(&self, e: Tracked) -> Reaction {
        let settled = Reaction::new().event(Settled { why: e.at.clone() });
        if e.at == "there" { settled.complete() } else { settled }
    }
    /// A week is over.
    #[timeout("lost")]
    fn lost(&self) -> Reaction {
        Reaction::new().event(Settled { why: format!("{} for a lost one", self.cents) }).complete()
    }
    #[rejected]
    fn uncovered(&self, r: Rejected<Charge>) -> Reaction {
        Reaction::new().event(Settled { why: r.reason().to_owned() })
    }
    #[apply]
    fn covered(&mut self, e: Covered) {
        self.cents = e.cents;
    }
    /// It is in the books.
    #[apply]
    fn settled(&mut self, e: Settled) {
        self.seen.push(e.why);
    }
}

/// A saga of a process.
#[saga(name = "pay-out", from = Insurance)]
fn pay_out(_: Settled) -> (Option<Command<Bill>>, Option<Fact<Parcel>>) {
    (None, None)
}

/// Writes down what happened to parcels.
#[projector(name = "journal", domains = ["parcel"])]
#[derive(Clone, Default)]
pub(crate) struct Journal {
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
}

#[projector]
impl Journal {
    #[handler]
    async fn packed(&self, e: Packed, ctx: &EventContext) -> Result<Line, ProjectionError> {
        let text = format!("#{} {} of {} g", ctx.sequence(), e.label, e.grams);
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(text.clone());
        Ok(Line { text })
    }

    /// A destination that cannot be spelled fails.
    #[handler]
    async fn sent(&self, e: Sent) -> Result<(), ProjectionError> {
        if e.to == "?" { Err(ProjectionError::permanent("no such place")) } else { Ok(()) }
    }
}

/// A program of all of it.
pub(crate) fn builder() -> crate::Builder {
    Runtime::builder().with(ToCustoms { abroad: "Oslo" }).with(Journal::default())
}
