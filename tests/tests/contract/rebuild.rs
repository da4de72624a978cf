//! J3, J6, J1: rebuilds of projectors, what they must not repeat, and consumers that ask whether they have seen an event.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use angzarr_runtime::dead_letter::{DeadLetter, DeadLetterFilter};
use angzarr_runtime::prelude::*;
use angzarr_runtime::reaction::SeenEvents;
use angzarr_runtime::{Error, RebuildProblem, RebuildProgress, SubscriptionStatus};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::{
    BALANCES, Balances, Everywhere, FlakyModel, Journal, Tally, Trouble, UNLUCKY, Witness, balance_row,
};
use angzarr_tests::rig::eventually;
use angzarr_tests::{Faults, Rig, Store, on_every_store};

/// A rig whose read model is like its store: in memory, or a file.
fn rig_like(store: &Store) -> Rig {
    match model_file(store) {
        Some(path) => Rig::with_model(SqliteReadModel::open(path, BALANCES).unwrap()),
        None => Rig::new(),
    }
}

fn model_file(store: &Store) -> Option<PathBuf> {
    store.file().map(|file| file.with_file_name("balances.db"))
}

/// Where the fresh file of a rebuild stands.
fn fresh_file(store: &Store) -> Option<PathBuf> {
    store.file().map(|file| file.with_file_name("balances.db.angzarr-rebuild"))
}

/// What nobody would ever project: a rebuild puts it right.
async fn spoil(model: &SqliteReadModel) {
    use angzarr_runtime::{Checkpoint, ReadModel as _};
    let transaction = model.begin().await.map_err(|error| error.to_string()).unwrap();
    transaction.execute("UPDATE balance SET amount = -1", []).unwrap();
    let elsewhere = Checkpoint { store: Uuid::nil(), position: 0 };
    model.commit(transaction, "balances letter spoilt", elsewhere).await.map_err(|error| error.to_string()).unwrap();
}

async fn checkpoint(model: &SqliteReadModel) -> u64 {
    use angzarr_runtime::ReadModel as _;
    model.checkpoint("balances").await.map_err(|error| error.to_string()).unwrap().map_or(0, |it| it.position)
}

fn status(runtime: &Runtime, name: &str) -> SubscriptionStatus {
    runtime.subscriptions().into_iter().find(|status| status.name == name).unwrap()
}

async fn letters(runtime: &Runtime) -> Vec<DeadLetter> {
    runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap()
}

async fn deposit(runtime: &Runtime, id: Uuid, amounts: impl IntoIterator<Item = i64>) {
    for amount in amounts {
        runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
    }
}

fn problem(error: Error) -> RebuildProblem {
    assert_eq!(error.code(), "REBUILD");
    match error {
        Error::Rebuild { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

/// A rebuild of `balances` that the test holds up at the first event of a stream.
async fn held_rebuild(
    rig: &Rig,
    runtime: &Runtime,
    at: Uuid,
) -> tokio::task::JoinHandle<angzarr_runtime::Result<RebuildProgress>> {
    let tries = rig.balances.tries(at, 0);
    rig.balances.trouble(at, 0, Trouble::Stuck);
    let rebuild = tokio::spawn(runtime.rebuild("balances").into_future());
    eventually("the rebuild is at the event", async || rig.balances.tries(at, 0) > tries).await;
    rebuild
}

on_every_store! {
    /// Events arrive all the time: none is missed at the switch, none is doubled, and the rows are those of the log.
    async fn j3_a_rebuild_makes_the_rows_anew_beside_live_traffic(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let ids: Vec<Uuid> = (0..8).map(|_| Uuid::new_v4()).collect();
        for &id in &ids {
            deposit(&runtime, id, [1; 40]).await;
        }
        runtime.settled().await;
        spoil(&rig.model).await;
        let writers: Vec<_> = ids.iter().map(|&id| {
            let runtime = runtime.clone();
            tokio::spawn(async move { deposit(&runtime, id, [1; 60]).await })
        }).collect();
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let done = runtime.rebuild("balances").progress(move |it| tell.lock().unwrap().push(it)).await.unwrap();
        for writer in writers {
            writer.await.unwrap();
        }
        runtime.settled().await;
        for &id in &ids {
            assert_eq!(balance_row(&rig.model, id).await, Some((100, 100, 99)));
        }
        assert_eq!(checkpoint(&rig.model).await, runtime.storage().head());
        let told = told.lock().unwrap().clone();
        assert!(!told.is_empty() && told.windows(2).all(|pair| pair[0].position <= pair[1].position));
        assert!(told.iter().all(|it| it.position <= it.head));
        assert_eq!(told.last(), Some(&done));
        assert!(done.events >= 320 && done.position >= 320 && done.parked_streams == 0, "{done:?}");
        assert_eq!(status(&runtime, "balances").rebuild, None);
        assert!(fresh_file(&store).is_none_or(|file| !file.exists()));
        // What was seen before the switch says that it is a replay.
        let replayed = rig.balances.seen().iter().filter(|seen| seen.replay).count();
        assert_eq!(replayed as u64, done.events);
        // After a restart it goes on where the fresh rows end.
        runtime.shutdown().await.unwrap();
        let runtime = rig.start(&store).await;
        runtime.send::<Account>(ids[0], Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(balance_row(&rig.model, ids[0]).await, Some((101, 101, 100)));
        assert!(letters(&runtime).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// While it runs: live events go on into the old rows, SIMPLE waits for those, the status shows it, and there is only one.
    async fn j3_live_traffic_goes_on_meanwhile(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        deposit(&runtime, id, [1, 1, 1]).await;
        runtime.settled().await;
        assert_eq!(status(&runtime, "balances").rebuild, None);
        let rebuild = held_rebuild(&rig, &runtime, id).await;
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.projections_of::<BalanceView>("balances").map(|it| it.balance).collect::<Vec<_>>(), [4]);
        assert_eq!(balance_row(&rig.model, id).await, Some((4, 4, 3)));
        let shown = status(&runtime, "balances").rebuild.unwrap();
        assert_eq!((shown.position, shown.events), (0, 0));
        let refused = runtime.rebuild("balances").await.unwrap_err();
        assert_eq!(problem(refused), RebuildProblem::Running);
        rig.balances.no_more_trouble(id, 0);
        let done = rebuild.await.unwrap().unwrap();
        assert_eq!(done.events, 4);
        assert_eq!(balance_row(&rig.model, id).await, Some((4, 4, 3)));
        // And again.
        runtime.rebuild("balances").await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((4, 4, 3)));
        runtime.shutdown().await.unwrap();
    }

    /// Whoever asked goes away, or the process dies: the old rows are untouched, and what was left behind is no trouble.
    async fn j3_an_interrupted_rebuild_leaves_the_old_rows(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        deposit(&runtime, id, [1, 1, 1]).await;
        runtime.settled().await;
        let rebuild = held_rebuild(&rig, &runtime, id).await;
        rebuild.abort();
        assert!(rebuild.await.unwrap_err().is_cancelled());
        spoil(&rig.model).await;
        rig.balances.no_more_trouble(id, 0);
        eventually("it is given up", async || status(&runtime, "balances").rebuild.is_none()).await;
        assert_eq!(balance_row(&rig.model, id).await, Some((-1, 3, 2)));
        assert!(fresh_file(&store).is_none_or(|file| !file.exists()));
        // A process that died has left its file, torn.
        if let Some(file) = fresh_file(&store) {
            std::fs::write(&file, "torn").unwrap();
        }
        // One more is stopped by the shutdown.
        let rebuild = held_rebuild(&rig, &runtime, id).await;
        let shutdown = tokio::spawn(runtime.clone().shutdown());
        eventually("it shuts down", async || {
            matches!(runtime.send::<Account>(id, Withdraw { amount: 1_000_000 }).await, Err(Error::ShuttingDown))
        }).await;
        rig.balances.no_more_trouble(id, 0);
        let ended = rebuild.await.unwrap();
        assert!(matches!(ended, Err(Error::ShuttingDown)), "{ended:?}");
        shutdown.await.unwrap().unwrap();
        drop(runtime);
        let runtime = rig.start(&store).await;
        assert_eq!(balance_row(&rig.model, id).await, Some((-1, 3, 2)));
        if let Some(file) = fresh_file(&store) {
            std::fs::write(&file, "torn").unwrap();
        }
        runtime.rebuild("balances").await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((3, 3, 2)));
        assert!(fresh_file(&store).is_none_or(|file| !file.exists()));
        runtime.shutdown().await.unwrap();
    }

    /// A handler that fails in the rebuild parks its stream, as it does live; nothing of it is lost or doubled.
    async fn j3_j2_a_handler_that_fails_parks_its_stream(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let (bad, good) = (Uuid::new_v4(), Uuid::new_v4());
        deposit(&runtime, bad, [1, 10, 100]).await;
        deposit(&runtime, good, [1, 10, 100]).await;
        // What is done once stays done: it is not parked behind the failing one.
        runtime.send::<Account>(bad, AddPoints { points: 1 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(rig.mails.sequences(bad), [3]);
        rig.balances.trouble(bad, 1, Trouble::Always);
        let done = runtime.rebuild("balances").await.unwrap();
        assert_eq!(done.parked_streams, 1);
        assert_eq!(balance_row(&rig.model, bad).await, Some((1, 1, 0)));
        assert_eq!(balance_row(&rig.model, good).await, Some((111, 3, 2)));
        assert_eq!(status(&runtime, "balances").parked_streams, 1);
        assert_eq!(letters(&runtime).await.len(), 2);
        deposit(&runtime, bad, [1_000]).await;
        runtime.settled().await;
        assert_eq!(letters(&runtime).await.len(), 3, "what comes later waits behind");
        runtime.shutdown().await.unwrap();
        let runtime = rig.start(&store).await;
        assert_eq!(status(&runtime, "balances").parked_streams, 1);
        rig.balances.no_more_trouble(bad, 1);
        let oldest = letters(&runtime).await[0].id;
        runtime.dead_letters().retry(oldest).await.unwrap();
        assert_eq!(balance_row(&rig.model, bad).await, Some((1_111, 4, 4)));
        assert!(letters(&runtime).await.is_empty());
        assert_eq!(rig.mails.sequences(bad), [3]);
        runtime.shutdown().await.unwrap();
    }

    /// A stream that is parked is not parked for nothing: what went through in the rebuild is resolved.
    async fn j3_d2_letters_of_what_went_through_are_resolved(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 1, Trouble::Always);
        deposit(&runtime, id, [1, 10, 100]).await;
        runtime.settled().await;
        assert_eq!(letters(&runtime).await.len(), 2);
        // Still failing: nothing changes.
        let done = runtime.rebuild("balances").await.unwrap();
        assert_eq!((done.parked_streams, letters(&runtime).await.len()), (1, 2));
        assert_eq!(balance_row(&rig.model, id).await, Some((1, 1, 0)));
        rig.balances.no_more_trouble(id, 1);
        runtime.rebuild("balances").await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((111, 3, 2)));
        assert!(letters(&runtime).await.is_empty());
        assert_eq!(status(&runtime, "balances").parked_streams, 0);
        runtime.send::<Account>(id, Deposit { amount: 1_000 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((1_111, 4, 3)));
        runtime.shutdown().await.unwrap();
    }

    /// The switch is interrupted before it has resolved the letters: the next start does it, and nothing is doubled.
    async fn j3_r1_a_switch_that_was_interrupted_is_finished_at_the_next_start(store) {
        let rig = rig_like(&store);
        let faults = Faults::new();
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 1, Trouble::Always);
        deposit(&runtime, id, [1, 10, 100]).await;
        runtime.settled().await;
        rig.balances.no_more_trouble(id, 1);
        faults.fail_resolution(1);
        let error = runtime.rebuild("balances").await.unwrap_err();
        assert!(error.to_string().contains("the fresh state is in place"), "{error}");
        assert!(matches!(problem(error), RebuildProblem::AfterSwitch(_)));
        assert_eq!(balance_row(&rig.model, id).await, Some((111, 3, 2)));
        assert_eq!(letters(&runtime).await.len(), 2);
        runtime.shutdown().await.unwrap();
        let runtime = rig.start(&store).await;
        assert!(letters(&runtime).await.is_empty());
        assert_eq!(status(&runtime, "balances").parked_streams, 0);
        deposit(&runtime, id, [1_000]).await;
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, id).await, Some((1_111, 4, 3)));
        runtime.shutdown().await.unwrap();
    }

    /// The fresh state cannot be taken over: the old one stays, and so do its letters.
    async fn j3_a_switch_that_fails_changes_nothing(store) {
        let rig = Rig::new();
        rig.tally.accept_unlucky();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        let planted = [1, UNLUCKY, 1].map(|amount| angzarr_tests::store::stored(&Deposited { amount, ..Default::default() }, 1));
        angzarr_tests::store::plant(runtime.storage(), &angzarr_runtime::stream::StreamKey::main("account", id), planted.into(), 1_000).await;
        runtime.settled().await;
        assert_eq!(rig.tally.count(id), 3);
        rig.tally.accepts_unlucky(false);
        rig.tally.takes_nothing_over(true);
        let error = runtime.rebuild("tally").await.unwrap_err();
        assert!(error.to_string().contains("the old state stays: not taken over, on purpose"), "{error}");
        assert_eq!(rig.tally.count(id), 3);
        assert!(letters(&runtime).await.is_empty());
        deposit(&runtime, id, [1]).await;
        runtime.settled().await;
        assert_eq!(rig.tally.count(id), 4, "its stream goes on");
        // It can be: the events that fail now are missing, and their letters say so.
        rig.tally.takes_nothing_over(false);
        runtime.rebuild("tally").await.unwrap();
        assert_eq!(rig.tally.count(id), 1);
        let parked = letters(&runtime).await;
        assert_eq!(parked.len(), 3);
        rig.tally.accept_unlucky();
        runtime.dead_letters().retry(parked[0].id).await.unwrap();
        assert_eq!(rig.tally.count(id), 4);
        runtime.shutdown().await.unwrap();
    }

    /// A projector without a read model goes on with the instance that it was rebuilt into.
    async fn j3_a_rebuild_into_an_instance(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        deposit(&runtime, id, [1, 2, 3]).await;
        runtime.settled().await;
        assert_eq!(problem(runtime.rebuild("journal").await.unwrap_err()), RebuildProblem::NoReadModel);
        let wrong = runtime.rebuild("journal").into_instance(Tally { model: FlakyModel::default() }).await.unwrap_err();
        assert!(wrong.to_string().contains("Tally"), "{wrong}");
        assert!(matches!(problem(wrong), RebuildProblem::OtherProjector { .. }));
        let used = Balances { model: rig.model.clone(), witness: Witness::default(), mails: Witness::default() };
        let used = runtime.rebuild("balances").into_instance(used).await.unwrap_err();
        assert!(matches!(problem(used), RebuildProblem::NotFresh { position } if position == runtime.storage().head()));
        let unknown = runtime.rebuild("jurnal").await.unwrap_err();
        assert!(unknown.to_string().contains("did you mean `journal`?"), "{unknown}");
        let fresh = Witness::default();
        let done = runtime.rebuild("journal").into_instance(Journal { witness: fresh.clone() }).await.unwrap();
        assert_eq!(done.events, 3);
        assert_eq!(fresh.sequences(id), [0, 1, 2]);
        assert!(fresh.seen().iter().all(|seen| seen.replay));
        let receipt = runtime.send::<Account>(id, Deposit { amount: 4 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(receipt.projections_of::<SeenView>("journal").count(), 1);
        assert_eq!(fresh.sequences(id), [0, 1, 2, 3]);
        assert!(!fresh.seen()[3].replay);
        assert_eq!(rig.journal.sequences(id), [0, 1, 2], "the old one sees nothing any more");
        // With a read model of the same kind.
        let model = SqliteReadModel::in_memory(BALANCES).unwrap();
        let fresh = Balances { model: model.clone(), witness: Witness::default(), mails: Witness::default() };
        runtime.rebuild("balances").into_instance(fresh).await.unwrap();
        deposit(&runtime, id, [10]).await;
        runtime.settled().await;
        assert_eq!(balance_row(&model, id).await, Some((20, 5, 4)));
        assert_eq!(balance_row(&rig.model, id).await, Some((10, 4, 3)));
        runtime.shutdown().await.unwrap();
    }

    /// What a projector never sees live it does not see in a rebuild.
    async fn j3_j4_s5_editions_and_isolated_events(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        deposit(&runtime, id, [1, 1]).await;
        runtime.send::<Account>(id, Deposit { amount: 7 }).sync(SyncMode::Isolated).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 100 }).edition("what-if").await.unwrap();
        runtime.settled().await;
        runtime.rebuild("balances").await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((2, 2, 1)));
        let fresh = Witness::default();
        runtime.rebuild("everywhere").into_instance(Everywhere { witness: fresh.clone() }).await.unwrap();
        let seen: Vec<_> = fresh.seen().into_iter().map(|seen| (seen.edition, seen.sequence)).collect();
        assert_eq!(seen, [(String::new(), 0), (String::new(), 1), ("what-if".to_owned(), 3)]);
        runtime.shutdown().await.unwrap();
    }

    /// What must not be repeated is not, and is done for what comes after the switch.
    async fn j6_live_only_is_left_out(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        deposit(&runtime, id, [1]).await;
        runtime.send::<Account>(id, AddPoints { points: 1 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(rig.mails.sequences(id), [1]);
        let done = runtime.rebuild("balances").await.unwrap();
        assert_eq!(done.events, 2);
        assert_eq!((rig.mails.sequences(id), rig.mails.tries(id, 1)), (vec![1], 1));
        runtime.send::<Account>(id, AddPoints { points: 1 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(rig.mails.sequences(id), [1, 2]);
        assert!(rig.mails.seen().iter().all(|seen| !seen.replay));
        runtime.shutdown().await.unwrap();
    }

    /// A mail that could not be sent is still to be sent after a rebuild: its letter stays, those behind it are resolved.
    async fn j6_d2_what_was_not_done_live_is_still_to_be_done(store) {
        let rig = rig_like(&store);
        let runtime = rig.start(&store).await;
        let (failing, waiting) = (Uuid::new_v4(), Uuid::new_v4());
        rig.mails.trouble(failing, 1, Trouble::Permanent);
        rig.balances.trouble(waiting, 0, Trouble::Permanent);
        for id in [failing, waiting] {
            deposit(&runtime, id, [1]).await;
            runtime.send::<Account>(id, AddPoints { points: 1 }).await.unwrap();
            deposit(&runtime, id, [10]).await;
        }
        runtime.settled().await;
        assert_eq!(letters(&runtime).await.len(), 5);
        rig.balances.no_more_trouble(waiting, 0);
        runtime.rebuild("balances").await.unwrap();
        for id in [failing, waiting] {
            assert_eq!(balance_row(&rig.model, id).await, Some((11, 2, 2)));
        }
        assert_eq!(rig.mails.sequences(waiting), [1], "what waited behind the failing event catches up");
        let left = letters(&runtime).await;
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(status(&runtime, "balances").parked_streams, 1);
        rig.mails.no_more_trouble(failing, 1);
        runtime.dead_letters().retry(left[0].id).await.unwrap();
        assert_eq!(rig.mails.sequences(failing), [1]);
        assert_eq!(balance_row(&rig.model, failing).await, Some((11, 2, 2)));
        assert!(letters(&runtime).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// The process dies between the rows and the checkpoint, which is not in the same database: the events come again, and
    /// take effect once.
    async fn j1_a_consumer_that_asks_whether_it_has_seen_an_event(store) {
        let (rig, id) = (Rig::new(), Uuid::new_v4());
        let faults = Faults::new();
        faults.forget_checkpoints(true);
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        for _ in 0..3 {
            runtime.send::<Account>(id, ReachMilestone {}).await.unwrap();
        }
        runtime.settled().await;
        assert_eq!(rig.totals.milestones(), 3);
        runtime.shutdown().await.unwrap();
        let runtime = rig.start(&store).await;
        runtime.send::<Account>(id, ReachMilestone {}).await.unwrap();
        runtime.settled().await;
        assert_eq!(rig.totals.deliveries(id), [0, 1, 2, 0, 1, 2, 3], "they came again");
        assert_eq!(rig.totals.milestones(), 4, "and took effect once");
        let ids = rig.totals.ids();
        assert_eq!((ids[0], ids[1]), (ids[3], ids[4]), "the same id whenever it comes");
        let namespace = Uuid::parse_str("5f1c7a3e-92d4-5b06-8e71-c3a9d2f04b68").unwrap();
        assert_eq!(ids[0], Uuid::new_v5(&namespace, format!("account/{id}#0").as_bytes()));
        runtime.shutdown().await.unwrap();
    }
}

/// The rows of another projector would be lost.
#[tokio::test]
async fn j3_a_file_of_two_projectors_is_refused() {
    use angzarr_runtime::{Checkpoint, ReadModel as _};
    let rig = Rig::new();
    let runtime = rig.start(&Store::memory()).await;
    let transaction = rig.model.begin().await.map_err(|error| error.to_string()).unwrap();
    let elsewhere = Checkpoint { store: Uuid::nil(), position: 1 };
    rig.model.commit(transaction, "balances-of-old", elsewhere).await.map_err(|error| error.to_string()).unwrap();
    let error = runtime.rebuild("balances").await.unwrap_err();
    assert!(error.to_string().contains("`balances-of-old`") && error.to_string().contains("into_instance"), "{error}");
    assert!(matches!(problem(error), RebuildProblem::NoFreshState(_)));
    runtime.shutdown().await.unwrap();
}

#[test]
fn j1_notes_of_consumers_do_not_mix() {
    assert_eq!(SeenEvents::of("totals").consumer(), "totals");
    assert!(SeenEvents::NOTE.contains("ON CONFLICT DO NOTHING") && SeenEvents::TABLE.contains("consumer"));
}
