//! S7, R7: however an event comes, each component has it once.

use angzarr_runtime::prelude::*;
use angzarr_runtime::transport::Transport;
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::{Rig, on_every_store};
use tokio::sync::watch;

/// Loses every announcement.
struct Deaf(watch::Sender<u64>);

/// Announces everything three times, old positions last.
struct Stammer(watch::Sender<u64>);

impl Transport for Deaf {
    fn describe(&self) -> String {
        "deaf".into()
    }
    fn announce(&self, _position: u64) {}
    fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl Transport for Stammer {
    fn describe(&self) -> String {
        "stammer".into()
    }
    fn announce(&self, position: u64) {
        for position in [position, position, position.saturating_sub(3)] {
            self.0.send_replace(position);
        }
    }
    fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// A payment that a saga answers, and deposits: what journal and ledger must have seen of it, each event once.
async fn everything_comes_once(runtime: &Runtime, rig: &Rig) {
    let (id, to) = (Uuid::new_v4(), Uuid::new_v4());
    let payment = SendMoney { to: to.as_bytes().to_vec(), amount: 5, copies: 2, ..SendMoney::default() };
    for _ in 0..3 {
        runtime.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
    }
    runtime.send::<Account>(id, payment).await.unwrap();
    runtime.settled().await;
    assert_eq!(rig.journal.sequences(id), [0, 1, 2, 3]);
    assert_eq!(rig.journal.sequences(to), [0, 1], "what the saga sent");
}

on_every_store! {
    async fn r7_a_transport_that_loses_everything_costs_no_event(store) {
        let rig = Rig::new();
        let builder = rig.builder().transport(Deaf(watch::Sender::new(0)));
        let runtime = store.describe(builder).build().await.unwrap();
        everything_comes_once(&runtime, &rig).await;
        runtime.shutdown().await.unwrap();
    }

    async fn r7_a_transport_that_doubles_and_reorders_runs_nothing_twice(store) {
        let rig = Rig::new();
        let builder = rig.builder().transport(Stammer(watch::Sender::new(0)));
        let runtime = store.describe(builder).build().await.unwrap();
        everything_comes_once(&runtime, &rig).await;
        runtime.shutdown().await.unwrap();
    }

    async fn s7_what_simple_waited_for_does_not_run_again(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        for n in 0..20 {
            let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
            assert!(receipt.missing().is_empty());
            assert_eq!(rig.journal.sequences(id).len(), n + 1, "before the answer");
        }
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(id), (0..20).collect::<Vec<_>>(), "and not again by the log");
        assert_eq!(rig.balances.sequences(id), (0..20).collect::<Vec<_>>());
        runtime.shutdown().await.unwrap();
    }
}
