//! Who may do what, where several processes share a store (row R5).

use std::time::{Duration, Instant};

use super::*;
use crate::storage::{Lease, Leases};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);

const ONE: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

fn leases(it: &Subject) -> &dyn Leases {
    it.storage.leases().expect("a store that several processes share")
}

async fn hold(it: &Subject, holder: Uuid, names: &[&str], time: Duration) -> Vec<bool> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    leases(it).hold(holder, &names, time).await.expect("an answer")
}

async fn holders(it: &Subject) -> Vec<(String, Uuid)> {
    let held = leases(it).list().await.expect("a list");
    held.into_iter().map(|Lease { name, holder, .. }| (name, holder)).collect()
}

/// Promise 1 of [`Leases`]: the second one does not get what the first one has, and gets the rest.
pub async fn r5_a_lease_has_one_holder(it: &Subject) {
    assert_eq!(hold(it, ONE, &["a", "b"], LONG).await, [true, true]);
    assert_eq!(hold(it, OTHER, &["b", "c"], LONG).await, [false, true]);
    assert_eq!(hold(it, ONE, &["c", "b", "a"], LONG).await, [false, true, true], "in the order of the question");
    assert_eq!(holders(it).await, [("a".to_owned(), ONE), ("b".to_owned(), ONE), ("c".to_owned(), OTHER)]);
    let held = leases(it).list().await.expect("a list");
    assert!(held.iter().all(|lease| lease.left > LONG / 2 && lease.left <= LONG), "{held:?}");
}

/// Promises 1 and 2: as long as somebody has it nobody else does, whatever they try, and each renewal counts anew.
pub async fn r5_a_lease_that_is_renewed_is_kept(it: &Subject) {
    assert_eq!(hold(it, ONE, &["a"], SHORT).await, [true]);
    let began = Instant::now();
    while began.elapsed() < SHORT * 3 {
        let before = Instant::now();
        assert_eq!(hold(it, ONE, &["a"], SHORT).await, [true]);
        let answers = hold(it, OTHER, &["a"], SHORT).await;
        // On a machine that stands still the lease may have run out meanwhile.
        assert!(answers == [false] || before.elapsed() >= SHORT);
        if answers == [true] {
            return;
        }
    }
}

/// Promise 3: who is not heard of loses it, and learns that they did.
pub async fn r5_a_lease_runs_out(it: &Subject) {
    assert_eq!(hold(it, ONE, &["a"], SHORT).await, [true]);
    let began = Instant::now();
    while hold(it, OTHER, &["a"], LONG).await == [false] {
        assert!(began.elapsed() < LONG / 2, "it does not run out");
        std::thread::sleep(SHORT / 10);
    }
    assert!(began.elapsed() >= SHORT * 9 / 10, "it ran out early");
    assert_eq!(hold(it, ONE, &["a"], LONG).await, [false]);
    assert_eq!(holders(it).await, [("a".to_owned(), OTHER)]);
}

/// What is given back can be taken at once; nobody gives back what others have.
pub async fn r5_a_lease_is_given_back(it: &Subject) {
    assert_eq!(hold(it, ONE, &["a", "b"], LONG).await, [true, true]);
    let names = ["a".to_owned()];
    leases(it).release(OTHER, &names).await.expect("nothing happens");
    assert_eq!(hold(it, OTHER, &["a"], LONG).await, [false]);
    leases(it).release(ONE, &names).await.expect("given back");
    assert_eq!(holders(it).await, [("b".to_owned(), ONE)]);
    assert_eq!(hold(it, OTHER, &["a", "b"], LONG).await, [true, false]);
    assert!(hold(it, OTHER, &[], LONG).await.is_empty());
}

/// Promises 1 and 3: many want the same names at once, in whatever order; each name goes to one of them.
pub async fn r5_of_racing_holders_one_wins(it: &Subject) {
    for round in 0..10 {
        let names: Vec<String> = (0..8).map(|name| format!("{round}/{name}")).collect();
        let racing = (1..=6u128).map(|who| {
            let mut names = names.clone();
            if who % 2 == 0 {
                names.reverse();
            }
            async move {
                let answers = leases(it).hold(Uuid::from_u128(who), &names, LONG).await.expect("an answer");
                names.into_iter().zip(answers).filter(|(_, has)| *has).map(|(name, _)| name).collect::<Vec<_>>()
            }
        });
        let mut taken: Vec<String> = futures_util::future::join_all(racing).await.into_iter().flatten().collect();
        taken.sort();
        assert_eq!(taken, names);
    }
}
