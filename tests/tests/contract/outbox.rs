//! R2, R3, R6: what is stored is published, at least once and in order, and the cursor never runs ahead. What consumers see
//! is in `feeds.rs`.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use angzarr_runtime::RelayStatus;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::{EditionDiscard, Extras, Write};
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::transport::Publication;
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::rig::eventually;
use angzarr_tests::store::stored;
use angzarr_tests::{Faults, Rig, Store, Storm, Weather, on_every_store};

const CURSOR: &str = "angzarr.relay";

async fn deposits(runtime: &Runtime, id: Uuid, count: usize) {
    for _ in 0..count {
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    }
}

async fn start(store: &Store, storm: &Storm) -> Runtime {
    store.describe(storm.over(Rig::new().builder())).build().await.unwrap()
}

fn relay(runtime: &Runtime) -> RelayStatus {
    runtime.relay().expect("the transport carries events")
}

/// Waits until everything that is stored is confirmed.
async fn published(runtime: &Runtime) {
    eventually("everything is published", async || relay(runtime).lag == 0).await;
}

/// Where the relay would go on after a crash.
async fn cursor(store: &Store) -> Option<u64> {
    let storage = store.open().await;
    let cursor = storage.checkpoint(CURSOR).await.unwrap();
    storage.close().await.unwrap();
    cursor
}

/// Doubles apart, each stream is published from its first event to its last.
fn assert_in_order(taken: &[Publication]) -> BTreeMap<String, u32> {
    let mut next: BTreeMap<String, u32> = BTreeMap::new();
    for publication in taken {
        let sequence = publication.event.event.sequence;
        let next = next.entry(publication.partition_key()).or_default();
        assert!(sequence <= *next, "{} #{sequence} is published before #{next}", publication.partition_key());
        *next = (*next).max(sequence + 1);
    }
    next
}

/// An id belongs to one event, and what is said about what it follows is true.
fn assert_ids(taken: &[Publication], isolated: &[u64]) {
    let mut by_id = HashMap::new();
    for publication in taken {
        let position = publication.event.event.position;
        assert_eq!(*by_id.entry(publication.id()).or_insert(position), position);
        assert!(publication.follows < position);
        let between = publication.follows + 1..position;
        assert!(between.clone().all(|position| isolated.contains(&position)), "something is left out in {between:?}");
    }
}

on_every_store! {
    async fn r2_what_is_stored_is_published_and_the_cursor_follows(store) {
        let (storm, ids) = (Storm::new(), [Uuid::new_v4(), Uuid::new_v4()]);
        let runtime = start(&store, &storm).await;
        for _ in 0..10 {
            deposits(&runtime, ids[0], 1).await;
            deposits(&runtime, ids[1], 2).await;
        }
        published(&runtime).await;
        let taken = storm.taken();
        let log = runtime.storage().read_log(0, usize::MAX, usize::MAX).await.unwrap();
        assert_eq!(taken.iter().map(|taken| taken.event.clone()).collect::<Vec<_>>(), log, "as it is stored, in order");
        assert_ids(&taken, &[]);
        assert!(taken.iter().all(|taken| taken.store == runtime.storage().id()));
        let status = relay(&runtime);
        assert_eq!((status.position, status.head, status.published, status.stalled), (30, 30, 30, None));
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, Some(30));
    }

    /// Each way to fail there is, before, between and after, with writers that do not wait.
    async fn r2_a_transport_that_fails_gets_everything_in_order_at_least_once(store) {
        for seed in 1..=4 {
            let storm = Storm::with(seed, Weather { loses: 0, ..Weather::storm() });
            let rig = Rig::new();
            let builder = storm.over(rig.builder());
            let store = store.another();
            let runtime = store.describe(builder).build().await.unwrap();
            let writers: Vec<_> = (0..4).map(|_| {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    let id = Uuid::new_v4();
                    for _ in 0..20 {
                        deposits(&runtime, id, 1).await;
                        tokio::task::yield_now().await;
                    }
                    id
                })
            }).collect();
            let mut ids = Vec::new();
            for writer in writers {
                ids.push(writer.await.unwrap());
            }
            published(&runtime).await;
            let next = assert_in_order(&storm.taken());
            assert_eq!(next.values().copied().collect::<Vec<_>>(), [20; 4], "seed {seed}: nothing is lost");
            assert_ids(&storm.taken(), &[]);
            runtime.shutdown().await.unwrap();
            assert_eq!(cursor(&store).await, Some(80));
        }
    }

    async fn r2_a_restart_goes_on_behind_the_cursor(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        deposits(&runtime, id, 5).await;
        published(&runtime).await;
        runtime.shutdown().await.unwrap();
        store.plant(&StreamKey::main("account", id), vec![stored(&Deposited { amount: 1, ..Default::default() }, 1)]).await;
        let runtime = start(&store, &storm).await;
        deposits(&runtime, id, 3).await;
        published(&runtime).await;
        assert_eq!(relay(&runtime).published, 4, "in this life");
        assert_eq!(storm.positions(), (1..=9).collect::<Vec<_>>(), "each once, what was stored meanwhile as well");
        runtime.shutdown().await.unwrap();
    }

    async fn r2_a_transport_that_is_down_holds_the_relay_back_and_the_status_says_why(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        storm.down(true);
        deposits(&runtime, id, 5).await;
        eventually("the relay is held back", async || relay(&runtime).stalled.is_some()).await;
        let status = relay(&runtime);
        let reason = status.stalled.unwrap();
        assert!(reason.contains("TRANSPORT_UNAVAILABLE") && reason.contains("down on purpose"), "{reason}");
        assert_eq!((status.position, status.head, status.lag, status.published), (0, 5, 5, 0));
        assert_eq!(runtime.storage().checkpoint(CURSOR).await.unwrap(), None);
        assert!(storm.taken().is_empty());
        storm.down(false);
        published(&runtime).await;
        eventually("nothing holds it back", async || relay(&runtime).stalled.is_none()).await;
        assert_eq!(storm.sequences(&StreamKey::main("account", id)), [0, 1, 2, 3, 4]);
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, Some(5));
    }

    /// Nothing is skipped; what came before it in the batch is confirmed, and not published again and again.
    async fn r2_an_event_that_is_refused_is_waited_for_and_not_skipped(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        storm.refuse(4);
        storm.down(true);
        let runtime = start(&store, &storm).await;
        deposits(&runtime, id, 6).await;
        storm.down(false);
        let refused = async || relay(&runtime).stalled.is_some_and(|reason| reason.contains("TRANSPORT_REFUSED"));
        eventually("the event is refused", refused).await;
        let status = relay(&runtime);
        assert_eq!((status.position, status.published), (3, 3));
        let reason = status.stalled.unwrap();
        assert!(reason.contains("too large on purpose") && reason.contains("before somebody mends it"), "{reason}");
        eventually("its cursor is stored", async || runtime.storage().checkpoint(CURSOR).await.unwrap() == Some(3)).await;
        storm.refuse(0);
        published(&runtime).await;
        assert_eq!(storm.positions(), [1, 2, 3, 4, 5, 6]);
        runtime.shutdown().await.unwrap();
    }

    /// A process that dies after the transport took something and before it confirmed.
    async fn r2_what_was_not_confirmed_is_published_again_and_nothing_else(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let builder = storm.over(Rig::new().builder()).drain_limit(Duration::from_millis(50));
        let runtime = store.describe(builder).build().await.unwrap();
        deposits(&runtime, id, 4).await;
        published(&runtime).await;
        storm.hold(true);
        deposits(&runtime, id, 3).await;
        eventually("the fifth is taken", async || storm.positions().contains(&5)).await;
        assert_eq!(relay(&runtime).position, 4, "taken is not confirmed");
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, Some(4));
        storm.hold(false);
        let before = storm.positions().len();
        let runtime = start(&store, &storm).await;
        published(&runtime).await;
        assert_eq!(storm.positions()[before..], [5, 6, 7]);
        runtime.shutdown().await.unwrap();
    }

    /// A process that dies after the transport confirmed and before the cursor was stored.
    async fn r2_a_kill_between_publishing_and_the_cursor_doubles_messages(store) {
        let (storm, faults, id) = (Storm::new(), Faults::new(), Uuid::new_v4());
        faults.forget_checkpoints(true);
        let runtime = faults.describe(&store, storm.over(Rig::new().builder())).build().await.unwrap();
        deposits(&runtime, id, 4).await;
        published(&runtime).await;
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, None);
        let runtime = start(&store, &storm).await;
        deposits(&runtime, id, 1).await;
        published(&runtime).await;
        assert_eq!(storm.positions(), [1, 2, 3, 4, 1, 2, 3, 4, 5]);
        assert_ids(&storm.taken(), &[]);
        runtime.shutdown().await.unwrap();
    }

    async fn r2_an_outage_of_the_log_holds_the_relay_back(store) {
        let (storm, faults, id) = (Storm::new(), Faults::new(), Uuid::new_v4());
        let runtime = faults.describe(&store, storm.over(Rig::new().builder())).build().await.unwrap();
        faults.log_is_down(true);
        deposits(&runtime, id, 4).await;
        let held = async || relay(&runtime).stalled.is_some_and(|reason| reason.contains("the log is down"));
        eventually("the relay is held back", held).await;
        faults.log_is_down(false);
        published(&runtime).await;
        assert_eq!(storm.positions(), [1, 2, 3, 4]);
        runtime.shutdown().await.unwrap();
    }

    async fn r2_s5_isolated_events_are_never_published(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        for n in 0..9 {
            let mode = if n % 3 == 1 { SyncMode::Isolated } else { SyncMode::Async };
            runtime.send::<Account>(id, Deposit { amount: 1 }).sync(mode).await.unwrap();
        }
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Isolated).await.unwrap();
        published(&runtime).await;
        assert_eq!(storm.sequences(&StreamKey::main("account", id)), [0, 2, 3, 5, 6, 8]);
        assert_ids(&storm.taken(), &[2, 5, 8, 10]);
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, Some(10), "passed, though not published");
    }

    async fn r2_i1_publications_carry_the_correlation_id(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        deposits(&runtime, id, 1).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).correlation("wf-7").await.unwrap();
        published(&runtime).await;
        assert_eq!(storm.taken().iter().map(Publication::correlation_id).collect::<Vec<_>>(), ["", "wf-7"]);
        runtime.shutdown().await.unwrap();
    }

    /// A transport that only wakes has no relay, and nothing is stored for one.
    async fn r2_no_relay_runs_for_nobody(store) {
        let runtime = Rig::new().start(&store).await;
        deposits(&runtime, Uuid::new_v4(), 3).await;
        runtime.settled().await;
        assert_eq!(runtime.relay(), None);
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, None);
    }

    async fn r2_r6_a_shutdown_publishes_what_is_stored(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        storm.hold(true);
        deposits(&runtime, id, 50).await;
        let (ended, ()) = tokio::join!(runtime.shutdown(), async { storm.hold(false) });
        ended.unwrap();
        assert_eq!(storm.positions(), (1..=50).collect::<Vec<_>>());
        assert_eq!(cursor(&store).await, Some(50));
    }

    async fn r2_r6_a_shutdown_does_not_wait_for_a_transport_that_is_down(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        storm.down(true);
        let runtime = start(&store, &storm).await;
        deposits(&runtime, id, 5).await;
        let began = Instant::now();
        runtime.shutdown().await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(20), "the drain limit is 30 s");
        storm.down(false);
        let runtime = start(&store, &storm).await;
        published(&runtime).await;
        assert_eq!(storm.positions(), [1, 2, 3, 4, 5]);
        runtime.shutdown().await.unwrap();
    }

    /// No cursor is written. What a crash costs then: what was stored and not confirmed is not published.
    async fn r3_without_an_outbox_nothing_is_written_to_publish(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let start = async || store.describe(storm.over(Rig::new().builder()).outbox(false)).build().await.unwrap();
        let runtime = start().await;
        deposits(&runtime, id, 5).await;
        published(&runtime).await;
        assert!(!relay(&runtime).outbox);
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, None);
        store.plant(&StreamKey::main("account", id), vec![stored(&Deposited { amount: 1, ..Default::default() }, 1)]).await;
        let runtime = start().await;
        deposits(&runtime, id, 2).await;
        published(&runtime).await;
        assert_eq!(storm.positions(), [1, 2, 3, 4, 5, 7, 8], "what a dead process left is not published");
        runtime.shutdown().await.unwrap();
    }

    /// A durable transport is its own cursor: nothing is lost even so.
    async fn r3_a_transport_that_knows_what_it_has_is_the_cursor(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        storm.tells_newest();
        let start = async || {
            let builder = storm.over(Rig::new().builder()).outbox(false).drain_limit(Duration::from_millis(50));
            store.describe(builder).build().await.unwrap()
        };
        let runtime = start().await;
        deposits(&runtime, id, 3).await;
        published(&runtime).await;
        storm.down(true);
        deposits(&runtime, id, 4).await;
        runtime.shutdown().await.unwrap();
        let runtime = start().await;
        deposits(&runtime, id, 1).await;
        eventually("it cannot be asked", async || relay(&runtime).stalled.is_some()).await;
        assert!(relay(&runtime).lag >= 4, "nobody knows what is confirmed");
        storm.down(false);
        published(&runtime).await;
        assert_eq!(storm.positions(), (1..=8).collect::<Vec<_>>());
        runtime.shutdown().await.unwrap();
        assert_eq!(cursor(&store).await, None);
    }
}

/// What was discarded before it was published is not published, and not waited for.
#[tokio::test]
async fn r2_b5_a_discarded_end_of_the_log_does_not_hold_the_relay_back() {
    let (store, storm, id) = (Store::memory(), Storm::new(), Uuid::new_v4());
    storm.down(true);
    let runtime = start(&store, &storm).await;
    deposits(&runtime, id, 2).await;
    for _ in 0..3 {
        runtime.send::<Account>(id, Deposit { amount: 1 }).edition("what-if").await.unwrap();
    }
    runtime.settled().await;
    let discard = EditionDiscard { edition: "what-if".into(), domain: None, at: 1 };
    let write = Write::extras(Extras { discards: vec![discard], ..Extras::default() });
    runtime.storage().commit(vec![write]).await.remove(0).unwrap();
    storm.down(false);
    published(&runtime).await;
    let status = relay(&runtime);
    assert_eq!((status.position, status.head, status.published), (5, 5, 2));
    deposits(&runtime, id, 1).await;
    published(&runtime).await;
    assert_eq!(storm.positions(), [1, 2, 6]);
    assert_ids(&storm.taken(), &[3, 4, 5]);
    runtime.shutdown().await.unwrap();
}
