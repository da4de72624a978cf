//! J: projectors.

use std::collections::HashMap;

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::reaction::ComponentKind;
use angzarr_runtime::storage::{NewEvent, StreamFilter};
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::{Checkpoint, ForeignReadModel};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::{BALANCES, Commit, Trouble, UNLUCKY, balance_row};
use angzarr_tests::rig::eventually;
use angzarr_tests::store::stored;
use angzarr_tests::{Faults, Rig, Store, on_every_store};
use futures_util::future::join_all;

fn deposits<const N: usize>(amounts: [i64; N]) -> Vec<NewEvent> {
    amounts.map(|amount| stored(&Deposited { amount, ..Default::default() }, 1)).into()
}

on_every_store! {
    async fn j1_events_come_in_order_per_stream_and_take_effect_once(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let ids: Vec<Uuid> = (0..16).map(|_| Uuid::new_v4()).collect();
        let writers = ids.iter().map(|&id| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                for n in 1..=25 {
                    runtime.send::<Account>(id, Deposit { amount: n }).await.unwrap();
                }
            })
        });
        for writer in join_all(writers).await {
            writer.unwrap();
        }
        runtime.settled().await;
        for &id in &ids {
            assert_eq!(rig.journal.sequences(id), (0..25).collect::<Vec<_>>());
            assert_eq!(balance_row(&rig.model, id).await, Some((325, 25, 24)));
            assert_eq!(rig.tally.count(id), 25);
        }
        let seen = rig.journal.seen();
        assert!(seen.windows(2).all(|pair| pair[0].position < pair[1].position));
        assert!(seen.iter().all(|seen| !seen.replay));
        // With a restart in between nothing comes again to a read model that keeps its checkpoint.
        runtime.shutdown().await.unwrap();
        let runtime = rig.start(&store).await;
        runtime.send::<Account>(ids[0], Deposit { amount: 5 }).sync(SyncMode::Simple).await.unwrap();
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, ids[0]).await, Some((330, 26, 25)));
        assert_eq!(rig.tally.count(ids[0]), 26);
        runtime.shutdown().await.unwrap();
    }

    /// Failing commits of the read model: the rows of a batch that was not committed are not there twice later.
    async fn j1_a_failing_commit_doubles_nothing(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        for n in 1..=60u32 {
            if n % 20 == 0 {
                // Fewer failures than retries, however the batches fall.
                runtime.settled().await;
                rig.tally.fail_commits(2);
            }
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
        runtime.settled().await;
        assert_eq!(rig.tally.count(id), 60);
        assert_eq!(rig.tally.checkpoint_of("tally"), runtime.storage().head());
        assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// A commit that went through, and the answer was lost.
    async fn j1_a_lost_answer_doubles_nothing(store) {
        let (rig, id) = (Rig::new(), Uuid::new_v4());
        rig.tally.commits([Commit::AnswerLost]);
        store.plant(&StreamKey::main("account", id), deposits([1, 1, 1])).await;
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(rig.tally.commits_left(), 0);
        assert_eq!(rig.tally.count(id), 3);
        runtime.shutdown().await.unwrap();
    }

    /// Events that were committed one by one stay done when the last commit of their batch fails.
    async fn j1_a_failing_last_commit_doubles_nothing(store) {
        let (rig, good, bad) = (Rig::new(), Uuid::new_v4(), Uuid::new_v4());
        store.plant(&StreamKey::main("account", good), deposits([1, 1, 1])).await;
        store.plant(&StreamKey::main("account", bad), deposits([UNLUCKY])).await;
        rig.tally.commits([Commit::Works, Commit::Works, Commit::Works, Commit::Fails]);
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(rig.tally.commits_left(), 0);
        assert_eq!((rig.tally.count(good), rig.tally.count(bad)), (3, 0));
        let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].letter.rejection_reason, "an unlucky deposit", "not overwritten when it came again");
        runtime.shutdown().await.unwrap();
    }

    /// The same when the failing event cannot be parked at first.
    async fn j1_a_failing_park_doubles_nothing(store) {
        let (rig, good, bad) = (Rig::new(), Uuid::new_v4(), Uuid::new_v4());
        store.plant(&StreamKey::main("account", good), deposits([1, 1, 1])).await;
        store.plant(&StreamKey::main("account", bad), deposits([UNLUCKY])).await;
        let faults = Faults::new();
        faults.fail_letter(1);
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        runtime.settled().await;
        assert_eq!((rig.tally.count(good), rig.tally.count(bad)), (3, 0));
        assert_eq!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().len(), 1);
        runtime.shutdown().await.unwrap();
    }

    /// An event is parked, its letter is retried, and then its batch comes again, because the checkpoint was not stored.
    async fn j1_d2_a_retried_event_does_not_come_again_with_its_batch(store) {
        let (rig, good, bad) = (Rig::new(), Uuid::new_v4(), Uuid::new_v4());
        store.plant(&StreamKey::main("account", good), deposits([1])).await;
        store.plant(&StreamKey::main("account", bad), deposits([UNLUCKY])).await;
        rig.tally.commits([Commit::Works, Commit::Fails]);
        let runtime = rig.start(&store).await;
        eventually("the checkpoint is not stored", async || rig.tally.commits_left() == 0).await;
        rig.tally.accept_unlucky();
        let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        runtime.dead_letters().retry(letters[0].id).await.unwrap();
        runtime.settled().await;
        assert_eq!((rig.tally.count(good), rig.tally.count(bad)), (1, 1));
        assert_eq!(rig.tally.checkpoint_of("tally"), runtime.storage().head());
        runtime.shutdown().await.unwrap();
    }

    /// Somebody deletes the store and keeps the read model: it is not taken for that of the new store.
    async fn j1_a_read_model_of_another_store_is_refused(store) {
        let (rig, id) = (Rig::new(), Uuid::new_v4());
        let runtime = rig.start(&store).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        let before = runtime.storage().id();
        runtime.shutdown().await.unwrap();
        let store = store.deleted();
        // A new store that has more events than the read model has seen.
        store.plant(&StreamKey::main("account", id), deposits([1, 1, 1])).await;
        let error = store.describe(rig.builder()).build().await.unwrap_err();
        assert_eq!(error.code(), "READ_MODEL");
        let Error::ReadModel { component, problem: ForeignReadModel::OtherStore { read_model, store: now } } = &error else {
            panic!("{error}");
        };
        assert_eq!((component.as_str(), *read_model), ("balances", before));
        assert_ne!(*now, before);
        for word in ["balances", &before.to_string(), &now.to_string(), "delete the read model"] {
            assert!(error.to_string().contains(word), "{word}: {error}");
        }
        // Without the old read model it is built from the log.
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, id).await, Some((3, 3, 2)));
        runtime.shutdown().await.unwrap();
    }

    /// A store that lost events, such as one from a backup: what would come next was never projected.
    async fn j1_a_read_model_ahead_of_its_store_is_refused(store) {
        let (rig, id) = (Rig::new(), Uuid::new_v4());
        let runtime = rig.start(&store).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        let (is, head) = (runtime.storage().id(), runtime.storage().head());
        runtime.shutdown().await.unwrap();
        rig.tally.set_checkpoint("tally", Checkpoint { store: is, position: head + 4 });
        let error = store.describe(rig.builder()).build().await.unwrap_err();
        let Error::ReadModel { component, problem } = &error else { panic!("{error}") };
        assert_eq!(component, "tally");
        assert_eq!(*problem, ForeignReadModel::Ahead { read_model: head + 4, head });
        assert!(error.to_string().contains("delete the read model"), "{error}");
        // At the head it goes on.
        rig.tally.set_checkpoint("tally", Checkpoint { store: is, position: head });
        rig.start(&store).await.shutdown().await.unwrap();
    }

    /// Its checkpoints knew no store yet: which events it holds cannot be told.
    async fn j1_a_read_model_of_an_earlier_version_is_refused(store) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.db");
        let old = "DROP TABLE angzarr_checkpoints;
            CREATE TABLE angzarr_checkpoints (projector TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
            INSERT INTO angzarr_checkpoints VALUES ('balances', 0)";
        drop(SqliteReadModel::open(&path, old).unwrap());
        let rig = Rig::with_model(SqliteReadModel::open(&path, BALANCES).unwrap());
        let error = store.describe(rig.builder()).build().await.unwrap_err();
        assert_eq!(error.code(), "READ_MODEL");
        let Error::ReadModel { component, problem } = &error else { panic!("{error}") };
        assert_eq!((component.as_str(), *problem), ("balances", ForeignReadModel::EarlierVersion));
        assert!(error.to_string().contains("earlier version; delete the read model"), "{error}");
        // The file that this version makes is none of those, nor is the store held.
        let rig = Rig::with_model(SqliteReadModel::open(directory.path().join("new.db"), BALANCES).unwrap());
        rig.start(&store).await.shutdown().await.unwrap();
        rig.start(&store).await.shutdown().await.unwrap();
    }

    /// The read model is out of reach: that is no fault of the events.
    async fn j2_j5_an_outage_of_the_read_model_parks_nothing(store) {
        let (rig, id) = (Rig::new(), Uuid::new_v4());
        let runtime = rig.start(&store).await;
        let stalled = || {
            let status = runtime.subscriptions().into_iter().find(|status| status.name == "tally").unwrap();
            status.stalled.unwrap_or_default()
        };
        rig.tally.begins_fail(true);
        for _ in 0..3 {
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
        eventually("the status names it", async || stalled().contains("cannot begin, on purpose")).await;
        eventually("others go on", async || balance_row(&rig.model, id).await == Some((3, 3, 2))).await;
        rig.tally.begins_fail(false);
        runtime.settled().await;
        assert_eq!(rig.tally.count(id), 3);
        // The same with commits, even with one that panics.
        rig.tally.commits([Commit::Panics; 1_000]);
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        eventually("the status names the panic", async || stalled().contains("a commit panics on purpose")).await;
        rig.tally.commits([]);
        runtime.settled().await;
        assert_eq!(rig.tally.count(id), 4);
        assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// Handlers that fail after they wrote their rows: the rows are taken back, and written once in the end.
    async fn j1_a_failing_handler_leaves_no_row(store) {
        let rig = Rig::new();
        let (a, b) = (Uuid::new_v4(), Uuid::new_v4());
        rig.balances.trouble(a, 3, Trouble::Times(2));
        rig.balances.trouble(b, 0, Trouble::Times(3));
        let runtime = rig.start(&store).await;
        for _ in 0..8 {
            runtime.send::<Account>(a, Deposit { amount: 10 }).await.unwrap();
            runtime.send::<Account>(b, Deposit { amount: 1 }).await.unwrap();
        }
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, a).await, Some((80, 8, 7)));
        assert_eq!(balance_row(&rig.model, b).await, Some((8, 8, 7)));
        assert!(rig.balances.tries(a, 3) >= 3);
        assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// A projector that fails for good parks its stream, in order; others go on; a resolved letter lets it catch up.
    async fn j2_d2_a_failing_stream_is_parked_and_catches_up(store) {
        let rig = Rig::new();
        let (bad, good) = (Uuid::new_v4(), Uuid::new_v4());
        rig.balances.trouble(bad, 1, Trouble::Always);
        let runtime = rig.start(&store).await;
        for amount in [1, 10, 100, 1_000] {
            runtime.send::<Account>(bad, Deposit { amount }).await.unwrap();
            runtime.send::<Account>(good, Deposit { amount }).await.unwrap();
        }
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, bad).await, Some((1, 1, 0)), "nothing of it, and nothing behind it");
        assert_eq!(balance_row(&rig.model, good).await, Some((1_111, 4, 3)), "other streams go on");
        assert_eq!(rig.journal.sequences(bad), [0, 1, 2, 3], "other projectors go on");
        let desk = runtime.dead_letters();
        let letters = desk.list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!(letters.len(), 3);
        let status = |runtime: &Runtime| runtime.subscriptions().into_iter().find(|status| status.name == "balances").unwrap();
        assert_eq!(status(&runtime).parked_streams, 1);
        // After a restart it is still parked: what comes later waits behind.
        runtime.shutdown().await.unwrap();
        let runtime = rig.start(&store).await;
        let desk = { drop(desk); runtime.dead_letters() };
        assert_eq!(status(&runtime).parked_streams, 1);
        runtime.send::<Account>(bad, Deposit { amount: 10_000 }).await.unwrap();
        runtime.settled().await;
        let letters = desk.list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!(letters.len(), 4);
        assert_eq!(balance_row(&rig.model, bad).await, Some((1, 1, 0)));
        // Not the younger before the older.
        let error = desk.retry(letters[2].id).await.unwrap_err();
        assert!(error.to_string().contains("older"), "{error}");
        // As long as the trouble lasts, the letter stays.
        desk.retry(letters[0].id).await.unwrap_err();
        assert_eq!(desk.list(&DeadLetterFilter::default()).await.unwrap().len(), 4);
        assert_eq!(balance_row(&rig.model, bad).await, Some((1, 1, 0)));
        let failed = desk.show(letters[0].id).await.unwrap().unwrap();
        assert_eq!(failed.attempts, letters[0].attempts + 1);
        assert_eq!(failed.occurred_at, letters[0].occurred_at);
        // The oldest is resolved: those behind it follow by themselves, until the next one that fails.
        rig.balances.no_more_trouble(bad, 1);
        rig.balances.trouble(bad, 3, Trouble::Permanent);
        desk.retry(letters[0].id).await.unwrap();
        assert_eq!(balance_row(&rig.model, bad).await, Some((111, 3, 2)));
        assert_eq!(status(&runtime).parked_streams, 1);
        let left = desk.list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!(left.iter().map(|it| it.id).collect::<Vec<_>>(), [letters[2].id, letters[3].id]);
        assert_eq!((left[0].attempts, left[0].letter.rejection_reason.as_str()), (1, "trouble for good"));
        assert_eq!(left[1].attempts, 0, "never tried");
        rig.balances.no_more_trouble(bad, 3);
        desk.retry(letters[2].id).await.unwrap();
        assert_eq!(balance_row(&rig.model, bad).await, Some((11_111, 5, 4)), "in order, each once");
        assert_eq!(status(&runtime).parked_streams, 0);
        runtime.send::<Account>(bad, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(balance_row(&rig.model, bad).await, Some((11_112, 6, 5)));
        assert!(desk.list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// A panicking handler is a failing handler.
    async fn j2_a_panicking_handler_parks_its_stream(store) {
        let rig = Rig::new();
        let (bad, good) = (Uuid::new_v4(), Uuid::new_v4());
        rig.journal.trouble(bad, 0, Trouble::Panic);
        rig.balances.trouble(bad, 0, Trouble::Panic);
        let runtime = rig.start(&store).await;
        runtime.send::<Account>(bad, Deposit { amount: 1 }).await.unwrap();
        runtime.send::<Account>(good, Deposit { amount: 1 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(good), [0]);
        assert_eq!(balance_row(&rig.model, good).await, Some((1, 1, 0)));
        assert_eq!(balance_row(&rig.model, bad).await, None);
        let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        let mut components: Vec<_> = letters.iter().map(|it| it.letter.source_component.clone()).collect();
        components.sort();
        assert_eq!(components, ["balances", "journal"]);
        assert!(letters[0].letter.rejection_reason.contains("panic"), "{}", letters[0].letter.rejection_reason);
        runtime.shutdown().await.unwrap();
    }

    async fn j4_events_of_editions_go_to_those_who_ask(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        let receipt = runtime.send::<Account>(id, Deposit { amount: 2 }).edition("what-if").sync(SyncMode::Simple).await.unwrap();
        let answered: Vec<_> = receipt.projections().iter().map(|it| it.projector.as_str()).collect();
        assert_eq!(answered, ["everywhere"], "only who sees the branch is waited for");
        runtime.send::<Account>(id, Deposit { amount: 4 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(id), [0, 1]);
        assert_eq!(balance_row(&rig.model, id).await, Some((5, 2, 1)));
        let everywhere: Vec<_> = rig.everywhere.seen().into_iter().map(|seen| (seen.edition, seen.sequence)).collect();
        assert_eq!(everywhere, [(String::new(), 0), ("what-if".to_owned(), 1), (String::new(), 1)]);
        runtime.shutdown().await.unwrap();
    }

    async fn j5_position_head_and_lag_are_visible(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        rig.journal.trouble(id, 2, Trouble::Stuck);
        let faults = Faults::new();
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        let by_name = || -> HashMap<String, _> {
            runtime.subscriptions().into_iter().map(|status| (status.name.clone(), status)).collect()
        };
        let mut names: Vec<_> = by_name().into_iter().map(|(name, status)| (name, status.kind)).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("balances", ComponentKind::Projector),
            ("courier", ComponentKind::Saga),
            ("everywhere", ComponentKind::Projector),
            ("journal", ComponentKind::Projector),
            ("movers", ComponentKind::Saga),
            ("tagger", ComponentKind::Projector),
            ("tally", ComponentKind::Projector),
            ("thanks", ComponentKind::Saga),
        ];
        assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)));
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        let head = runtime.storage().head();
        eventually("balances is at the head", async || by_name()["balances"].lag == 0).await;
        let found = by_name();
        let (journal, balances) = (&found["journal"], &found["balances"]);
        assert_eq!((journal.head, balances.head), (head, head));
        assert!(journal.position < head);
        assert_eq!(journal.lag, head - journal.position);
        assert!((1..=2).contains(&journal.lag), "two are handled and told, one is stuck: {journal:?}");
        assert_eq!((balances.position, balances.handled, balances.parked_streams), (head, 4, 0));
        rig.journal.no_more_trouble(id, 2);
        runtime.settled().await;
        assert_eq!(by_name()["journal"].lag, 0);
        // What holds a subscription back is told, while it does.
        faults.log_is_down(true);
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        eventually("the status names what holds it back", async || {
            by_name().values().all(|status| status.stalled.as_deref().is_some_and(|why| why.contains("on purpose")))
        })
        .await;
        assert!(by_name().values().all(|status| status.lag >= 1));
        faults.log_is_down(false);
        runtime.settled().await;
        eventually("nothing is held back", async || by_name().values().all(|status| status.stalled.is_none())).await;
        assert_eq!(rig.journal.sequences(id), [0, 1, 2, 3, 4]);
        runtime.shutdown().await.unwrap();
    }
}

/// The process dies in the middle of a batch, with rows written and nothing committed. The read model's file has none of
/// it, and after the restart all of it, once.
#[test]
fn j1_r1_death_in_the_middle_of_a_batch() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.db");
    let store = Store::sqlite();
    let ids: Vec<Uuid> = (0..5).map(|_| Uuid::new_v4()).collect();
    for (life, &id) in ids.iter().enumerate() {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        tokio.block_on(async {
            let rig = Rig::with_model(SqliteReadModel::open(&path, BALANCES).unwrap());
            rig.balances.trouble(id, 5, Trouble::Stuck);
            let runtime = rig.start(&store).await;
            // What the earlier lives left over is not in the batch that dies here.
            runtime.settled().await;
            for _ in 0..10 {
                runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
            }
            eventually("the batch is half done", async || rig.balances.tries(id, 5) > 0).await;
            // What was committed is a prefix; the open transaction shows nothing.
            let row = balance_row(&rig.model, id).await;
            assert!(row.is_none_or(|(amount, events, _)| amount <= 5 && events <= 5), "{row:?}");
            for earlier in &ids[..life] {
                assert_eq!(balance_row(&rig.model, *earlier).await, Some((10, 10, 9)));
            }
        });
        // Every task dies where it stands.
        tokio.shutdown_timeout(std::time::Duration::from_secs(10));
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        let rig = Rig::with_model(SqliteReadModel::open(&path, BALANCES).unwrap());
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        for id in ids {
            assert_eq!(balance_row(&rig.model, id).await, Some((10, 10, 9)));
            assert_eq!(runtime.storage().streams(&StreamFilter::domain("account"), None, 100).await.unwrap().len(), 5);
            let key = StreamKey::main("account", id);
            assert_eq!(angzarr_tests::store::events_of(runtime.storage(), &key).await.len(), 10);
        }
        runtime.shutdown().await.unwrap();
    });
}
