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

/// Waits.
#[process_manager(domain = "patience", from = [Meter], to = [Elsewhere])]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Patience {}

#[process_manager]
impl Patience {
    #[handler]
    fn was_hit(&self, _: WasHit) -> Reaction {
        Reaction::new()
    }

    #[timeout("too-long")]
    fn too_long(&self, _ctx: &EventContext) -> Option<Reaction> {
        None
    }

    #[rejected(from = Elsewhere)]
    fn refused(&self, _: Rejected<Hit>) -> Reaction {
        Reaction::new()
    }
}

/// What comes from outside.
#[aggregate]
impl Meter {
    #[fact]
    fn seen(&self, f: Shown) -> WasHit {
        WasHit { times: f.times }
    }

    #[compensate]
    fn undo(&self, _: Compensate) -> Result<Option<WasHit>, Revocation> {
        Ok(None)
    }
}

#[upcaster(from = 1)]
fn many(old: WasHitOnce) -> WasHit {
    WasHit { times: old.times.max(1) }
}
