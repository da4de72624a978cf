//! The model test: random programs, run by the runtime and by a small reference that knows the contract and no storage. After
//! each step both must agree on every answer and on everything that is stored.
//!
//! `ANGZARR_MODEL_PROGRAMS=200000 cargo test -p angzarr-tests --test coordination model` is the soak. A program that fails is shrunk
//! and printed as its list of steps; `PROPTEST_RNG_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::IntentFilter;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::store::{decode, events_of};
use angzarr_tests::time::ManualClock;
use angzarr_tests::{Faults, Store};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::domain::*;

#[derive(Clone, Debug)]
enum Step {
    /// An order, perhaps under an id that was used before, perhaps as a cascade.
    Place {
        lines: u32,
        quantity: u32,
        price: i64,
        id: Option<u8>,
        cascade: bool,
    },
    Fill {
        quantity: u32,
    },
    /// With the sequence that it expects, so far off the right one.
    Cancel {
        off: Option<i8>,
    },
    Pay {
        amount: i64,
    },
    Delivered {
        id: u8,
    },
    /// Time goes on.
    Wait {
        seconds: i64,
    },
    /// Several cancellations at once.
    Race {
        writers: u8,
    },
    BranchCancel,
    Merge,
    Discard,
    /// Looks at the past.
    Look {
        sequence: u8,
    },
    /// The runtime is stopped in order, dropped in the middle, or loses its checkpoints; and another goes on.
    Restart(Ending),
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Shutdown,
    Drop,
    LostCheckpoints,
}

fn step(with_restarts: bool) -> impl Strategy<Value = Step> {
    let price = prop_oneof![Just(7i64), Just(13), Just(50), Just(5_001), Just(5_002)];
    let place = (0..3u32, 0..6u32, price, proptest::option::weighted(0.3, 0..2u8), any::<bool>());
    let place =
        place.prop_map(|(lines, quantity, price, id, cascade)| Step::Place { lines, quantity, price, id, cascade });
    let ending = prop_oneof![Just(Ending::Shutdown), Just(Ending::Drop), Just(Ending::LostCheckpoints)];
    let plain = prop_oneof![
        6 => place,
        3 => (0..8u32).prop_map(|quantity| Step::Fill { quantity }),
        2 => proptest::option::of(-2..3i8).prop_map(|off| Step::Cancel { off }),
        2 => prop_oneof![Just(7i64), Just(13), Just(20), Just(5_000)].prop_map(|amount| Step::Pay { amount }),
        1 => (0..2u8).prop_map(|id| Step::Delivered { id }),
        2 => prop_oneof![Just(10i64), Just(451), Just(903)].prop_map(|seconds| Step::Wait { seconds }),
        1 => (2..4u8).prop_map(|writers| Step::Race { writers }),
        2 => Just(Step::BranchCancel),
        1 => Just(Step::Merge),
        1 => Just(Step::Discard),
        1 => (0..6u8).prop_map(|sequence| Step::Look { sequence }),
    ];
    let restarts = if with_restarts { 3 } else { 0 };
    (0..22 + restarts, plain, ending.prop_map(Step::Restart))
        .prop_map(|(which, plain, restart)| if which < 22 { plain } else { restart })
}

/// What the contract says, for one order and all that belongs to it.
#[derive(Default)]
struct Reference {
    /// Main's events in some order: reactions of one order write at the same time.
    order: Vec<String>,
    free: u32,
    reserved: u32,
    taken: i64,
    payments: u32,
    /// The process's own story, in order.
    checkout: Vec<String>,
    knows_order: bool,
    complete: bool,
    /// When the payment is late.
    late_at: Option<i64>,
    placed_ids: BTreeSet<u8>,
    delivered_ids: BTreeSet<u8>,
    at: String,
    branch: Option<Branch>,
}

struct Branch {
    left_at: usize,
    events: usize,
    /// Events of it that main has.
    merged: usize,
}

impl Reference {
    fn place(&mut self, lines: u32, quantity: u32, price: i64, now: i64) {
        self.order.push("placed".into());
        for _ in 0..lines {
            if quantity <= self.free {
                self.free -= quantity;
                self.reserved += 1;
            } else {
                self.order.push(format!("backordered: out_of_stock: {} are left", self.free));
            }
        }
        if self.complete {
            return;
        }
        self.checkout.push(format!("started {price}"));
        (self.knows_order, self.late_at) = (true, Some(now + 900));
        if price >= 1_000 {
            self.order.push(format!("cancelled: too_much {price} of {}", self.checkout.len()));
            if price % 2 == 1 {
                self.checkout.push(format!("gave up: too_much: {price} is too much"));
            }
        } else {
            self.pay(price);
        }
    }

    fn pay(&mut self, amount: i64) {
        if amount == 13 {
            return;
        }
        self.taken += amount;
        self.payments += 1;
        if self.complete {
            return;
        }
        self.checkout.push(format!("paid {amount}"));
        self.late_at = None;
        self.complete = amount == 7;
    }

    fn time_passes(&mut self, now: i64) {
        if self.late_at.is_some_and(|late| late <= now) {
            self.late_at = None;
            self.order.push("cancelled: late".into());
        }
    }
}

/// A runtime, and what is needed for another one on the same store.
struct World {
    store: Store,
    faults: Faults,
    clock: ManualClock,
    now: i64,
    runtime: Runtime,
}

impl World {
    async fn new(store: Store) -> Self {
        let (faults, clock, now) = (Faults::new(), ManualClock::at(1_000_000), 1_000_000);
        let runtime = Self::start(&store, &faults, &clock).await;
        Self { store, faults, clock, now, runtime }
    }

    async fn start(store: &Store, faults: &Faults, clock: &ManualClock) -> Runtime {
        // A file allows one runtime at a time: one that was dropped may still be going.
        for _ in 0..2_000 {
            match faults.describe(store, Shop::default().builder().clock(clock.clone())).build().await {
                Ok(runtime) => return runtime,
                Err(Error::Storage(_)) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the store stays locked")
    }

    async fn restart(&mut self, ending: Ending) {
        self.faults.forget_checkpoints(matches!(ending, Ending::LostCheckpoints));
        match ending {
            Ending::Drop => {}
            Ending::Shutdown | Ending::LostCheckpoints => {
                self.runtime.clone().shutdown().await.expect("it ends in order")
            }
        }
        // In memory the old one and the new one share the store for a moment, as two processes might.
        if matches!(self.store, Store::Sqlite(_)) {
            self.runtime.clone().shutdown().await.expect("it ends in order");
        }
        self.runtime = Self::start(&self.store, &self.faults, &self.clock).await;
    }
}

macro_rules! agree {
    ($left:expr, $right:expr, $($what:tt)+) => {
        prop_assert_eq!($left, $right, $($what)+)
    };
}

async fn run(world: &mut World, program: &[Step]) -> Result<(), TestCaseError> {
    let order = Uuid::new_v4();
    let workflow = order.to_string();
    let edition = format!("e-{}", order.simple());
    let mut model = Reference::default();
    for (number, step) in program.iter().enumerate() {
        let runtime = world.runtime.clone();
        let at = format!("step {number}: {step:?}");
        match step.clone() {
            Step::Place { lines, quantity, price, id, cascade } => {
                let place = troubled("own shelf", place(lines, quantity, price));
                let mut send = runtime.send::<Order>(order, place).correlation(workflow.clone());
                if let Some(id) = id {
                    send = send.external_id(format!("place-{id}"));
                }
                if cascade {
                    send = send.sync(SyncMode::Cascade).cascade_error_mode(CascadeErrorMode::Continue);
                }
                let receipt = send.await.map_err(|error| TestCaseError::fail(format!("{at}: {error}")))?;
                let is_new = id.is_none_or(|id| model.placed_ids.insert(id));
                agree!(receipt.already_processed(), !is_new, "{}", at);
                if is_new {
                    let before = model.order.len();
                    model.place(lines, quantity, price, world.now);
                    if cascade {
                        // Every failure is a rejection, and each left its mark on the order.
                        let failures = model.order[before..].iter().filter(|it| *it != "placed").count();
                        agree!(receipt.cascade_errors().len(), failures, "{}", at);
                    }
                }
                prop_assert!(receipt.missing().is_empty(), "{}: {:?}", at, receipt.missing());
            }
            Step::Fill { quantity } => {
                runtime.send::<Stock>(order, Fill { quantity }).await.expect("filled");
                model.free += quantity;
            }
            Step::Cancel { off } => {
                let next = u32::try_from(model.order.len()).expect("few");
                let expected = off.map(|off| next.saturating_add_signed(i32::from(off)));
                let mut send = runtime.send::<Order>(order, Cancel { why: "x".into() });
                if let Some(expected) = expected {
                    send = send.expect_sequence(expected);
                }
                let answer = send.await;
                if expected.is_none_or(|expected| expected == next) {
                    prop_assert!(answer.is_ok(), "{}: {:?}", at, answer);
                    model.order.push("cancelled: x".into());
                } else {
                    agree!(answer.err().map(|error| error.code()), Some("SEQUENCE_MISMATCH"), "{}", at);
                }
            }
            Step::Pay { amount } => {
                let answer = runtime.send::<Payment>(order, TakePayment { amount }).correlation(workflow.clone()).await;
                agree!(answer.is_ok(), amount < 1_000, "{}", at);
                if amount < 1_000 {
                    model.pay(amount);
                }
            }
            Step::Delivered { id } => {
                let by = format!("carrier {number}");
                let fact = runtime.fact::<Parcel, _>(order, Delivered { by: by.clone() });
                let receipt = fact.external_id(format!("d-{id}")).await.expect("a fact");
                let is_new = model.delivered_ids.insert(id);
                agree!(receipt.already_processed(), !is_new, "{}", at);
                if is_new {
                    model.at = by;
                }
            }
            Step::Wait { seconds } => {
                world.now += seconds;
                world.clock.set(world.now);
                model.time_passes(world.now);
                // Until the timeouts that are due have been seen.
                loop {
                    let due = SystemTime::now().duration_since(UNIX_EPOCH).map(|_| world.now * 1_000_000_000).ok();
                    let due = IntentFilter { due_until: due, ..IntentFilter::default() };
                    if runtime.storage().intents(&due).await.expect("intents").is_empty() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            Step::Race { writers } => {
                let writes = (0..writers).map(|_| {
                    let runtime = runtime.clone();
                    tokio::spawn(async move { runtime.send::<Order>(order, Cancel { why: "race".into() }).await })
                });
                let mut sequences = BTreeSet::new();
                for write in writes.collect::<Vec<_>>() {
                    sequences.insert(write.await.expect("it runs").expect("accepted").events()[0].sequence);
                    model.order.push("cancelled: race".into());
                }
                agree!(sequences.len(), usize::from(writers), "{}", at);
            }
            Step::BranchCancel => {
                let send = runtime.send::<Order>(order, Cancel { why: "branch".into() }).edition(edition.as_str());
                let receipt = send.await.expect("accepted");
                let left_at = model.order.len();
                let branch = model.branch.get_or_insert(Branch { left_at, events: 0, merged: 0 });
                agree!(receipt.events()[0].sequence as usize, branch.left_at + branch.events, "{}", at);
                branch.events += 1;
            }
            Step::Merge => {
                let answer = runtime.edition(&edition).merge().await;
                let answer = answer.map(|merged| merged.already_merged).map_err(|error| error.code());
                let expected = match &mut model.branch {
                    None => Err("UNKNOWN_EDITION"),
                    Some(branch) if branch.merged == branch.events => Ok(true),
                    Some(branch) if branch.merged > 0 || model.order.len() != branch.left_at => Err("MERGE_CONFLICT"),
                    Some(branch) => {
                        branch.merged = branch.events;
                        model.order.extend((0..branch.events).map(|_| "cancelled: branch".to_owned()));
                        Ok(false)
                    }
                };
                agree!(answer, expected, "{}", at);
            }
            Step::Discard => {
                let answer = runtime.edition(&edition).discard().await.map_err(|error| error.code());
                let expected = model.branch.take().map(|_| ()).ok_or("UNKNOWN_EDITION");
                agree!(answer, expected, "{}", at);
            }
            Step::Look { sequence } => {
                let events = events_of(runtime.storage(), &StreamKey::main("order", order)).await;
                let prefix: Vec<String> = events.iter().take(usize::from(sequence) + 1).map(told).collect();
                let then = runtime.state::<Order>(order).as_of_sequence(u32::from(sequence)).await.expect("a state");
                agree!(&then.story, &prefix, "{}", at);
            }
            Step::Restart(ending) => {
                drop(runtime);
                world.restart(ending).await;
            }
        }
        compare(world, order, &edition, &model, &at).await?;
    }
    Ok(())
}

/// What an order's event says in its story.
fn told(event: &angzarr_runtime::stream::StoredEvent) -> String {
    match event.type_name.as_str() {
        "coordination.OrderPlaced" => "placed".to_owned(),
        "coordination.OrderCancelled" => format!("cancelled: {}", decode::<OrderCancelled>(event).why),
        "coordination.Backordered" => format!("backordered: {}", decode::<Backordered>(event).why),
        other => panic!("no event of these programs: {other}"),
    }
}

async fn compare(world: &World, order: Uuid, edition: &str, model: &Reference, at: &str) -> Result<(), TestCaseError> {
    let runtime = &world.runtime;
    runtime.settled().await;
    let counted = |story: &[String]| {
        let mut counts = BTreeMap::new();
        for line in story {
            *counts.entry(line.clone()).or_insert(0) += 1;
        }
        counts
    };
    let now = runtime.state::<Order>(order).await.expect("a state");
    agree!(counted(&now.story), counted(&model.order), "{}", at);
    let events = events_of(runtime.storage(), &StreamKey::main("order", order)).await;
    let replayed: Vec<String> = events.iter().map(told).collect();
    agree!(&now.story, &replayed, "{}: the state is the fold of its events", at);
    for (index, event) in events.iter().enumerate() {
        agree!(event.sequence as usize, index, "{}: a hole", at);
    }
    let stock = runtime.state::<Stock>(order).await.expect("a state");
    agree!(stock.free, model.free, "{}", at);
    let payment = runtime.state::<Payment>(order).await.expect("a state");
    agree!((payment.taken, payment.times), (model.taken, model.payments), "{}", at);
    let checkout = runtime.process::<Checkout>(&order.to_string()).await.expect("a state");
    agree!(&checkout.story, &model.checkout, "{}", at);
    agree!(&runtime.state::<Parcel>(order).await.expect("a state").at, &model.at, "{}", at);
    if let Some(branch) = &model.branch {
        let story = runtime.state::<Order>(order).edition(edition).await.expect("a state").into_state().story;
        agree!(story.len(), branch.left_at + branch.events, "{}", at);
        agree!(&story[..branch.left_at], &replayed[..branch.left_at], "{}: main as it was", at);
    }
    let letters = runtime.dead_letters().list(&Default::default()).await.expect("letters");
    prop_assert!(letters.is_empty(), "{}: {:?}", at, letters);
    let key = StreamKey::main("checkout", angzarr_runtime::root("checkout", order.to_string()));
    let waiting = IntentFilter { stream: Some(key), ..IntentFilter::default() };
    let waiting = runtime.storage().intents(&waiting).await.expect("intents");
    agree!(waiting.len(), usize::from(model.late_at.is_some()), "{}: {:?}", at, waiting);
    Ok(())
}

fn programs(default: u32, share: u32) -> u32 {
    let asked = std::env::var("ANGZARR_MODEL_PROGRAMS").ok().and_then(|text| text.parse::<u32>().ok());
    asked.map_or(default, |asked| asked / share)
}

fn check(cases: u32, length: usize, with_restarts: bool, store: Option<fn() -> Store>) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    // Without restarts all programs share a runtime: their orders do not know each other.
    let shared = store.is_none().then(|| tokio.block_on(World::new(Store::memory())));
    let shared = shared.map(tokio::sync::Mutex::new);
    let program = proptest::collection::vec(step(with_restarts), 1..length);
    let outcome = runner.run(&program, |program| {
        tokio.block_on(async {
            match (&shared, store) {
                (Some(world), _) => run(&mut *world.lock().await, &program).await,
                (None, Some(store)) => {
                    let mut world = World::new(store()).await;
                    let outcome = run(&mut world, &program).await;
                    world.runtime.shutdown().await.expect("it ends in order");
                    outcome
                }
                (None, None) => unreachable!("one of them is there"),
            }
        })
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// Four threads of them, so that both cores are busy while one waits.
macro_rules! shares {
    ($($name:ident)+) => {$(
        #[test]
        fn $name() {
            check(programs(2_500, 5), 9, false, None);
        }
    )+};
}
shares! {
    model_programs_in_memory_1
    model_programs_in_memory_2
    model_programs_in_memory_3
    model_programs_in_memory_4
}

#[test]
fn model_programs_with_restarts_in_memory() {
    check(programs(300, 10), 12, true, Some(Store::memory));
}

#[test]
fn model_programs_with_restarts_on_sqlite() {
    check(programs(60, 40), 10, true, Some(Store::sqlite));
}

/// There the old program and the new one share the store for a moment.
#[cfg(feature = "postgres")]
#[test]
fn model_programs_with_restarts_on_postgres() {
    check(programs(40, 60), 10, true, Some(Store::postgres));
}
