//! The model test: random programs against the reference of the contract, on every store. CONTRIBUTING.md says how to
//! run more of them, and one of them again.

#![allow(missing_docs)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use angzarr_tests::Store;
use angzarr_tests::model::program::{Step, program};
use angzarr_tests::model::run::World;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// A number from the environment, or what is usual.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is no number")))
}

/// A share of all programs, with the seed of today or a given one. Prints the shortest program that fails.
fn agree(programs: u64, most: usize, crashes: bool, mut run: impl FnMut(&[Step])) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = number("ANGZARR_MODEL_SEED", u64::from(now.subsec_nanos()));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let cases = u32::try_from(programs).expect("fewer than four thousand millions");
    let config = Config { cases, max_shrink_iters: 2_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let run = std::cell::RefCell::new(&mut run);
    let outcome = runner.run(&program(most, crashes), |steps| {
        catch_unwind(AssertUnwindSafe(|| (run.borrow_mut())(&steps))).map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            TestCaseError::fail(text.unwrap_or_default())
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => {
            let lines: Vec<_> = (1..).zip(&steps).map(|(n, step)| format!("  {n:>2}. {step:?}")).collect();
            panic!("ANGZARR_MODEL_SEED={seed}: the runtime and the contract disagree: {reason}\n{}", lines.join("\n"))
        }
        Err(TestError::Abort(reason)) => panic!("ANGZARR_MODEL_SEED={seed}: {reason}"),
    }
}

fn all_programs() -> u64 {
    number("ANGZARR_MODEL_PROGRAMS", 10_000)
}

/// Programs share a runtime, each with roots and a correlation id of its own, until one of them fails.
#[test]
fn c_m_t_b_g_k_j_the_runtime_agrees_with_the_reference_in_memory() {
    let mut shared: Option<(World, u32)> = None;
    agree(all_programs(), 24, false, |steps| {
        let (mut world, used) = shared.take().unwrap_or_else(|| (World::new(Store::memory(), false), 0));
        world.run(steps);
        if used < 200 {
            shared = Some((world, used + 1));
        } else {
            world.shutdown();
        }
    });
}

fn with_crashes(programs: u64, store: fn() -> Store) {
    agree(programs, 24, true, |steps| {
        // Every second length: no checkpoint outlives its process.
        let mut world = World::new(store(), steps.len() % 2 == 0);
        world.run(steps);
        world.shutdown();
    });
}

#[test]
fn r1_g2_j1_the_runtime_agrees_with_the_reference_across_crashes_in_memory() {
    with_crashes(all_programs() / 10, Store::memory);
}

#[test]
fn r1_g2_j1_the_runtime_agrees_with_the_reference_across_crashes_in_sqlite() {
    with_crashes(all_programs() / 33, Store::sqlite);
}
