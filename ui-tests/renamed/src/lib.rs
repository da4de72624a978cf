//! Every attribute in a crate that calls the runtime `events`: generated code must not assume a name.

use events::prelude::*;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $name {
            /// How often.
            #[prost(int64, tag = "1")]
            pub times: i64,
        }
    )+};
}

counts! {
    /// A command.
    Hit,
    /// Its event.
    WasHit,
    /// The event as it was.
    WasHitOnce,
    /// What is shown.
    Shown
}
events::name_messages!("ui.renamed": Hit, WasHit, WasHitOnce, Shown);

/// Counts.
#[aggregate(domain = "meter")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Meter {
    /// How many so far.
    #[prost(int64, tag = "1")]
    pub hits: i64,
}

/// One event, in an enum.
#[derive(Events)]
pub enum Happened {
    /// It was hit.
    Hit(WasHit),
}

#[aggregate]
impl Meter {
    #[handler(merge = Strict)]
    fn hit(&self, cmd: Hit, _ctx: &CommandContext) -> Result<Happened, Rejection> {
        Ok(Happened::Hit(WasHit { times: cmd.times }))
    }

    #[apply]
    fn was_hit(&mut self, e: WasHit) {
        self.hits += e.times;
    }
}

/// Elsewhere.
#[aggregate(domain = "elsewhere", remote, handles(Hit))]
pub struct Elsewhere;

#[saga(name = "echo", from = Meter)]
fn echo(_: WasHit) -> Option<Command<Elsewhere>> {
    None
}

/// Shows.
#[projector(name = "display", domains = [Meter])]
pub struct Display;

#[projector]
impl Display {
    #[handler]
    async fn was_hit(&self, e: WasHit) -> Result<Shown, ProjectionError> {
        Ok(Shown { times: e.times })
    }
}

#[upcaster(from = 1)]
fn many(old: WasHitOnce) -> WasHit {
    WasHit { times: old.times.max(1) }
}
