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
    Misfit
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

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match Runtime::builder().build().await {
        Ok(_) => println!("it starts"),
        Err(error) => {
            println!("{}\n{error}", error.code());
            std::process::exit(3);
        }
    }
}
