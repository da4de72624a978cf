//! Upcaster chains that only the whole program shows to be wrong. `tests/wiring.rs` runs it.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;

macro_rules! shapes {
    ($($name:ident),+) => {
        $(#[derive(Clone, PartialEq, prost::Message)] pub struct $name { #[prost(int64, tag = "1")] pub n: i64 })+
        angzarr_runtime::name_messages!("chains": $($name),+);
    };
}
shapes!(
    HoleV1,
    HoleV2,
    HoleV3,
    Hole,
    LateV2,
    Late,
    TwiceV1,
    OnceV1,
    Twice,
    ForkV1,
    ForkLeft,
    ForkRight,
    Egg,
    Hen,
    MisfitV1,
    MisfitV2,
    MisfitOther,
    Misfit,
    Tape,
    Strip,
    Reel,
    Say,
    SaidV1,
    Said
);

#[upcaster(from = 1, event = "chains.Hole")]
fn hole_begins(old: HoleV1) -> HoleV2 {
    HoleV2 { n: old.n }
}
#[upcaster(from = 3)]
fn hole_ends(old: HoleV3) -> Hole {
    Hole { n: old.n }
}

#[upcaster(from = 2)]
fn late_start(old: LateV2) -> Late {
    Late { n: old.n }
}

#[upcaster(from = 1)]
fn twice_a(old: TwiceV1) -> Twice {
    Twice { n: old.n }
}
#[upcaster(from = 1)]
fn twice_b(old: OnceV1) -> Twice {
    Twice { n: old.n }
}

#[upcaster(from = 1)]
fn fork_left(old: ForkV1) -> ForkLeft {
    ForkLeft { n: old.n }
}
#[upcaster(from = 1)]
fn fork_right(old: ForkV1) -> ForkRight {
    ForkRight { n: old.n }
}

#[upcaster(from = 1)]
fn egg_to_hen(old: Egg) -> Hen {
    Hen { n: old.n }
}
#[upcaster(from = 2)]
fn hen_to_egg(old: Hen) -> Egg {
    Egg { n: old.n }
}

#[upcaster(from = 1, event = "chains.Misfit")]
fn misfit_begins(old: MisfitV1) -> MisfitV2 {
    MisfitV2 { n: old.n }
}
#[upcaster(from = 2)]
fn misfit_goes_on(old: MisfitOther) -> Misfit {
    Misfit { n: old.n }
}

/// The first output leads on; the second one leads back.
#[upcaster(from = 1)]
fn cut_tape(old: Tape) -> (Reel, Strip) {
    (Reel { n: old.n }, Strip { n: old.n })
}
#[upcaster(from = 1)]
fn splice_strip(old: Strip) -> (Reel, Tape) {
    (Reel { n: old.n }, Tape { n: old.n })
}

/// Returns what only old programs stored.
#[aggregate(domain = "speaker")]
#[derive(Clone, PartialEq, prost::Message)]
pub struct Speaker {}

#[aggregate]
impl Speaker {
    #[handler]
    fn say_it_the_old_way(&self, cmd: Say) -> Result<SaidV1, Rejection> {
        Ok(SaidV1 { n: cmd.n })
    }
    #[apply]
    fn said_once(&mut self, _: SaidV1) {}
    #[apply]
    fn said(&mut self, _: Said) {}
}

#[upcaster(from = 1)]
fn raise_voice(old: SaidV1) -> Said {
    Said { n: old.n }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // A name that is too long by a limit of this program, and fits where nothing was said.
    let limits = angzarr_runtime::Limits { domain_name_chars: 6, ..Default::default() };
    match Runtime::builder().limits(limits).build().await {
        Ok(_) => println!("it starts"),
        Err(error) => {
            println!("{}\n{error}", error.code());
            std::process::exit(3);
        }
    }
}
