//! N: snapshots.

use std::sync::{Arc, Mutex};

use angzarr_runtime::Retention;
use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::{Extras, SnapshotWrite, Storage, StorageErrorKind, StreamRead, Write};
use angzarr_runtime::stream::{StoredSnapshot, StreamKey};
use angzarr_tests::account::Account;
use angzarr_tests::brittle::{Brittle, Strike, Struck};
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::notes::{Diary, Scratch};
use angzarr_tests::rig::start;
use angzarr_tests::{Fault, Faults, Rig, on_every_store};
use prost::Message as _;

/// (sequence, retention) of each stored snapshot. They are stored in one step with their events: what is not there when
/// the command is answered never comes.
async fn snapshots(runtime: &Runtime, key: &StreamKey, expected: &[(u32, Retention)]) {
    let found = runtime.storage().snapshots(key).await.unwrap();
    let found: Vec<_> = found.iter().map(|snapshot| (snapshot.sequence, snapshot.retention)).collect();
    assert_eq!(found, expected, "the snapshots of {key}");
}

/// Stores a snapshot of any kind behind the back of the runtime.
async fn plant(storage: &dyn Storage, key: &StreamKey, snapshot: StoredSnapshot) {
    let write = SnapshotWrite { key: key.clone(), snapshot };
    let outcomes = storage.commit(vec![Write::extras(Extras { snapshots: vec![write], ..Extras::default() })]).await;
    outcomes.into_iter().next().unwrap().unwrap();
}

/// What is warned of on the test's own thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn event(&self, event: &tracing::Event<'_>) {
        struct Text(String);
        impl tracing::field::Visit for Text {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

on_every_store! {
    async fn n1_every_sixteen_events_and_only_the_newest(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let key = StreamKey::main("account", id);
        for n in 1..=50u32 {
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
            match n {
                15 => snapshots(&runtime, &key, &[]).await,
                16 => snapshots(&runtime, &key, &[(15, Retention::Default)]).await,
                32 => snapshots(&runtime, &key, &[(31, Retention::Default)]).await,
                50 => snapshots(&runtime, &key, &[(47, Retention::Default)]).await,
                _ => {}
            }
        }
        // One command with many events: still at most one snapshot, behind all of them.
        let many = Uuid::new_v4();
        runtime.send::<Account>(many, DepositMany { count: 100 }).await.unwrap();
        snapshots(&runtime, &StreamKey::main("account", many), &[(99, Retention::Default)]).await;
        runtime.shutdown().await.unwrap();
    }

    async fn n1_the_number_is_configurable_per_aggregate(store) {
        let runtime = start(&store).await;
        let (ledger, diary, scratch) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        for n in 1..=7u32 {
            runtime.send::<Ledger>(ledger, Book { amount: 1, ..Default::default() }).await.unwrap();
            runtime.send::<Diary>(diary, angzarr_tests::messages::Write { text: n.to_string() }).await.unwrap();
            runtime.send::<Scratch>(scratch, angzarr_tests::messages::Write { text: n.to_string() }).await.unwrap();
        }
        snapshots(&runtime, &StreamKey::main("ledger", ledger), &[(4, Retention::Default)]).await;
        snapshots(&runtime, &StreamKey::main("diary", diary), &[(5, Retention::Default)]).await;
        snapshots(&runtime, &StreamKey::main("scratch", scratch), &[]).await;
        runtime.shutdown().await.unwrap();
        // Whatever the codec, the state is the same after a restart.
        let runtime = start(&store).await;
        assert_eq!(runtime.state::<Ledger>(ledger).await.unwrap().total, 7);
        let pages: Vec<String> = (1..=7).map(|n: u32| n.to_string()).collect();
        assert_eq!(runtime.state::<Diary>(diary).await.unwrap().pages, pages);
        assert_eq!(runtime.state::<Scratch>(scratch).await.unwrap().pages, pages);
        runtime.shutdown().await.unwrap();
    }

    async fn n2_a_milestone_is_kept_for_good(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let key = StreamKey::main("account", id);
        let deposits = async |count: u32| {
            for _ in 0..count {
                runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
            }
        };
        deposits(5).await;
        // A handler asks …
        runtime.send::<Account>(id, ReachMilestone {}).await.unwrap();
        snapshots(&runtime, &key, &[(5, Retention::Persist)]).await;
        deposits(30).await;
        snapshots(&runtime, &key, &[(5, Retention::Persist), (31, Retention::Default)]).await;
        // … and an operator asks.
        assert_eq!(runtime.snapshot::<Account>(id, Retention::Persist).await.unwrap(), Some(35));
        snapshots(&runtime, &key, &[(5, Retention::Persist), (35, Retention::Persist)]).await;
        deposits(30).await;
        snapshots(&runtime, &key, &[(5, Retention::Persist), (35, Retention::Persist), (63, Retention::Default)]).await;
        // Nothing to take: no events, no policy.
        assert_eq!(runtime.snapshot::<Account>(Uuid::new_v4(), Retention::Persist).await.unwrap(), None);
        let error = runtime.snapshot::<Scratch>(Uuid::new_v4(), Retention::Persist).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        // A refused milestone leaves none behind.
        let other = Uuid::new_v4();
        runtime.preview::<Account>(other, ReachMilestone {}).await.unwrap();
        snapshots(&runtime, &StreamKey::main("account", other), &[]).await;
        runtime.shutdown().await.unwrap();
    }

    async fn n3_n5_a_transient_one_lives_until_the_next(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let key = StreamKey::main("account", id);
        runtime.send::<Account>(id, DepositMany { count: 3 }).await.unwrap();
        runtime.snapshot::<Account>(id, Retention::Transient).await.unwrap();
        snapshots(&runtime, &key, &[(2, Retention::Transient)]).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.snapshot::<Account>(id, Retention::Transient).await.unwrap();
        snapshots(&runtime, &key, &[(3, Retention::Transient)]).await;
        runtime.send::<Account>(id, DepositMany { count: 20 }).await.unwrap();
        snapshots(&runtime, &key, &[(23, Retention::Default)]).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.snapshot::<Account>(id, Retention::Transient).await.unwrap();
        // N5: the newest stays, whatever its kind, and whatever is asked for again.
        snapshots(&runtime, &key, &[(24, Retention::Transient)]).await;
        runtime.snapshot::<Account>(id, Retention::Transient).await.unwrap();
        snapshots(&runtime, &key, &[(24, Retention::Transient)]).await;
        runtime.shutdown().await.unwrap();
    }

    /// An older snapshot that arrives late (two writers, one slow) must not remove the newer one.
    async fn n5_a_late_older_snapshot_removes_nothing_newer(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let key = StreamKey::main("account", id);
        runtime.send::<Account>(id, DepositMany { count: 5 }).await.unwrap();
        runtime.snapshot::<Account>(id, Retention::Default).await.unwrap();
        let older = runtime.storage().snapshots(&key).await.unwrap().remove(0);
        runtime.send::<Account>(id, DepositMany { count: 5 }).await.unwrap();
        runtime.snapshot::<Account>(id, Retention::Default).await.unwrap();
        snapshots(&runtime, &key, &[(9, Retention::Default)]).await;
        plant(runtime.storage(), &key, older).await;
        let kept = runtime.storage().snapshots(&key).await.unwrap();
        assert_eq!(kept.last().unwrap().sequence, 9);
        runtime.shutdown().await.unwrap();
    }

    /// Whatever lies in the place of a snapshot, the state is that of the events, and somebody is told.
    async fn n4_an_unreadable_or_foreign_snapshot_is_ignored(store) {
        let runtime = start(&store).await;
        let model = Uuid::new_v4();
        runtime.send::<Account>(model, DepositMany { count: 10 }).await.unwrap();
        runtime.snapshot::<Account>(model, Retention::Default).await.unwrap();
        let good = runtime.storage().snapshots(&StreamKey::main("account", model)).await.unwrap().pop().unwrap();
        let wrong = Account { balance: 1_000_000, ..Default::default() }.encode_to_vec();
        let at = |sequence, poison| StoredSnapshot { sequence, ..poison };
        let unreadable = StoredSnapshot { state: vec![0xff; 9].into(), ..good.clone() };
        let version = StoredSnapshot { state: wrong.clone().into(), state_version: good.state_version + 1, ..good.clone() };
        let kind = StoredSnapshot { state: wrong.clone().into(), type_name: "somebody.Else".into(), ..good.clone() };
        // More than the stream has: of another stream, or from a backup.
        let ahead = at(99, StoredSnapshot { state: wrong.into(), ..good.clone() });
        let poisons = [
            vec![unreadable.clone()],
            vec![version.clone()],
            vec![kind.clone()],
            vec![ahead],
            // Behind a good one: that one serves.
            vec![at(4, StoredSnapshot { state: Account { balance: 5, events: 5, ..Default::default() }.encode_to_vec().into(), ..good }), at(7, version)],
            vec![at(3, kind), at(7, unreadable)],
        ];
        // In streams without any other snapshot: what is planted is what lies there.
        for (n, poison) in poisons.into_iter().enumerate() {
            let id = Uuid::new_v4();
            let key = StreamKey::main("account", id);
            runtime.send::<Account>(id, DepositMany { count: 10 }).await.unwrap();
            let count = poison.len();
            for snapshot in poison {
                plant(runtime.storage(), &key, StoredSnapshot { retention: Retention::Persist, ..snapshot }).await;
            }
            assert_eq!(runtime.storage().snapshots(&key).await.unwrap().len(), count, "poison {n} is stored");
            let warnings = Warnings::default();
            let listening = tracing::subscriber::set_default(warnings.clone());
            let state = runtime.state::<Account>(id).await.unwrap();
            drop(listening);
            assert_eq!((state.balance, state.events, state.next_sequence()), (10, 10, 10), "poison {n}");
            let told = warnings.told();
            assert_eq!(told.len(), 1, "poison {n}: {told:?}");
            assert!(told[0].contains("snapshot ignored"), "poison {n}: {told:?}");
            let would = runtime.preview::<Account>(id, Deposit { amount: 1 }).await.unwrap();
            assert_eq!(would.events_of::<Deposited>().next().unwrap().balance_before, 10, "poison {n}");
            for sequence in 0..10 {
                let then = runtime.state::<Account>(id).as_of_sequence(sequence).await.unwrap();
                assert_eq!(then.balance, i64::from(sequence) + 1, "poison {n}");
            }
        }
        // A good one is nothing to speak of.
        let warnings = Warnings::default();
        let listening = tracing::subscriber::set_default(warnings.clone());
        assert_eq!(runtime.state::<Account>(model).await.unwrap().balance, 10);
        drop(listening);
        assert!(warnings.told().is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn n6_reads_start_from_the_newest_and_retention_is_per_stream(store) {
        let runtime = start(&store).await;
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        let (key_a, key_b) = (StreamKey::main("account", a), StreamKey::main("account", b));
        for id in [a, b] {
            runtime.send::<Account>(id, DepositMany { count: 10 }).await.unwrap();
            runtime.snapshot::<Account>(id, Retention::Default).await.unwrap();
        }
        runtime.send::<Account>(a, DepositMany { count: 3 }).await.unwrap();
        runtime.snapshot::<Account>(a, Retention::Persist).await.unwrap();
        runtime.send::<Account>(a, DepositMany { count: 2 }).await.unwrap();
        runtime.snapshot::<Account>(a, Retention::Transient).await.unwrap();
        snapshots(&runtime, &key_a, &[(12, Retention::Persist), (14, Retention::Transient)]).await;
        snapshots(&runtime, &key_b, &[(9, Retention::Default)]).await;
        // Branches are streams of their own.
        runtime.send::<Account>(a, DepositMany { count: 40 }).edition("what-if").await.unwrap();
        let branch = StreamKey { edition: "what-if".into(), ..key_a.clone() };
        snapshots(&runtime, &branch, &[(54, Retention::Default)]).await;
        snapshots(&runtime, &key_a, &[(12, Retention::Persist), (14, Retention::Transient)]).await;
        // The newest one is used, whatever its kind.
        let newest = runtime.storage().snapshots(&key_a).await.unwrap().pop().unwrap();
        let read = |to| StreamRead { snapshot: Some((newest.type_name.clone(), newest.state_version)), to, ..StreamRead::all() };
        let slice = runtime.storage().read_stream(&key_a, read(None)).await.unwrap();
        assert_eq!((slice.snapshot.unwrap().sequence, slice.events.len()), (14, 0));
        let slice = runtime.storage().read_stream(&key_a, read(Some(13))).await.unwrap();
        assert_eq!((slice.snapshot.unwrap().sequence, slice.events.len()), (12, 1));
        runtime.shutdown().await.unwrap();
    }

    /// A snapshot is stored with the events that led to it, or not at all.
    async fn n1_n2_a_snapshot_shares_the_fate_of_its_events(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        let key = StreamKey::main("account", id);
        faults.next("account", [Fault::Fail(StorageErrorKind::Failed)]);
        runtime.send::<Account>(id, ReachMilestone {}).await.unwrap_err();
        snapshots(&runtime, &key, &[]).await;
        // Stored, and the answer is lost.
        faults.next("account", [Fault::FailAfter]);
        runtime.send::<Account>(id, ReachMilestone {}).await.unwrap_err();
        snapshots(&runtime, &key, &[(0, Retention::Persist)]).await;
        // Lost against another writer at first: the snapshot that is stored is that of the try that was stored.
        runtime.send::<Account>(id, DepositMany { count: 14 }).await.unwrap();
        faults.next("account", [Fault::Conflict]);
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        snapshots(&runtime, &key, &[(0, Retention::Persist), (15, Retention::Default)]).await;
        assert_eq!(faults.appends(), 5, "no write but those of the commands");
        assert_eq!(runtime.statistics().failed_snapshots, 0);
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 15);
        runtime.shutdown().await.unwrap();
    }

    /// A codec that fails or panics costs the snapshot and nothing else.
    async fn c5_n4_a_broken_codec_harms_no_command(store) {
        let runtime = start(&store).await;
        let strike = |id, how: &str| runtime.send::<Brittle>(id, Strike { how: how.into() });
        for (n, how) in ["encode", "no encode"].into_iter().enumerate() {
            let id = Uuid::new_v4();
            for _ in 0..3 {
                strike(id, "well").await.unwrap();
            }
            // The fourth one has a snapshot.
            let receipt = strike(id, how).await.unwrap();
            assert_eq!(receipt.next_sequence(), 4);
            assert_eq!(runtime.statistics().failed_snapshots, n as u64 + 1, "{how}");
            snapshots(&runtime, &StreamKey::main("brittle", id), &[]).await;
            // The state is as good as ever, and so is the next snapshot.
            for _ in 0..4 {
                strike(id, "well").await.unwrap();
            }
            assert_eq!(runtime.state::<Brittle>(id).await.unwrap().strikes, 8);
            snapshots(&runtime, &StreamKey::main("brittle", id), &[(7, Retention::Default)]).await;
            // An operator is told.
            strike(id, how).await.unwrap();
            let error = runtime.snapshot::<Brittle>(id, Retention::Persist).await.unwrap_err();
            assert_eq!(error.code(), "COMPONENT");
        }
        // What was stored and cannot be read is ignored.
        for how in ["decode", "no decode"] {
            let id = Uuid::new_v4();
            for _ in 0..3 {
                strike(id, "well").await.unwrap();
            }
            strike(id, how).await.unwrap();
            snapshots(&runtime, &StreamKey::main("brittle", id), &[(3, Retention::Default)]).await;
            strike(id, "well").await.unwrap();
            let state = runtime.state::<Brittle>(id).await.unwrap();
            assert_eq!((state.strikes, state.next_sequence()), (5, 5), "{how}");
            assert_eq!(runtime.state::<Brittle>(id).as_of_sequence(3).await.unwrap().last, how);
            let would = runtime.preview::<Brittle>(id, Strike { how: "x".into() }).await.unwrap();
            assert_eq!(would.events_of::<Struck>().next().unwrap().before, 5);
        }
        runtime.shutdown().await.unwrap();
    }
}
