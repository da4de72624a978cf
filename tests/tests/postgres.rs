//! Several programs on one PostgreSQL schema, and read models beside it.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::postgres::url;
use angzarr_tests::reactions::balance_row;
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{assert_gapless, events_of};
use angzarr_tests::{Rig, Store};

/// What each account has got, and how often.
#[projector(name = "takings", domains = ["account"])]
pub struct Takings {
    model: PostgresReadModel,
}

#[projector]
impl Takings {
    #[handler]
    async fn deposited(&self, e: Deposited, ctx: &EventContext) -> Result<(), ProjectionError> {
        let transaction = ctx.transaction(&self.model).await?;
        let sql = "INSERT INTO takings AS old VALUES ($1, $2, 1)
                   ON CONFLICT (account) DO UPDATE SET amount = old.amount + $2, count = old.count + 1";
        let statement = transaction.prepare_cached(sql).await?;
        transaction.execute(&statement, &[&ctx.stream().root, &e.amount]).await?;
        Ok(())
    }
}

const TAKINGS: &str = "CREATE TABLE IF NOT EXISTS takings (account uuid PRIMARY KEY, amount bigint, count bigint)";

/// A schema for read models beside that of the store.
async fn takings() -> (Store, PostgresReadModel) {
    let place = Store::postgres();
    let Store::Postgres(schema) = &place else { panic!("it is one") };
    let model = PostgresReadModel::connect(url(), schema.name(), TAKINGS).await.expect("a read model");
    (place, model)
}

async fn row(model: &PostgresReadModel, account: Uuid) -> Option<(i64, i64)> {
    let client = model.client().await.expect("a connection");
    let row = client.query_opt("SELECT amount, count FROM takings WHERE account = $1", &[&account]).await;
    row.expect("an answer").map(|row| (row.get(0), row.get(1)))
}

async fn start(store: &Store, rig: &Rig, model: &PostgresReadModel) -> Runtime {
    let builder = store.describe(rig.builder().with(Takings { model: model.clone() }));
    builder.build().await.expect("the runtime starts")
}

/// Rows C9 and R4: two programs write to the same streams, and each of them sees what both have stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c9_r4_two_programs_share_streams_and_wake_each_other() {
    const EACH: i64 = 30;
    let store = Store::postgres();
    // One read model for both: one of them brings it up to date, for all (row R5).
    let (_place, model) = takings().await;
    let (rig, other_rig) = (Rig::new(), Rig::new());
    let runtimes = [start(&store, &rig, &model).await, start(&store, &other_rig, &model).await];
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
    let writers = runtimes.iter().flat_map(|runtime| {
        ids.iter().map(|&id| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    runtime.send::<Account>(id, Deposit { amount: 1 }).await.expect("accepted");
                }
            })
        })
    });
    let writers: Vec<_> = writers.collect();
    for writer in writers {
        writer.await.expect("a writer ends well");
    }
    for &id in &ids {
        let key = angzarr_runtime::stream::StreamKey::main("account", id);
        let events = events_of(runtimes[0].storage(), &key).await;
        assert_gapless(&events);
        assert_eq!(events.len() as i64, 2 * EACH);
        for runtime in &runtimes {
            assert_eq!(runtime.state::<Account>(id).await.expect("a state").balance, 2 * EACH);
        }
        eventually("it has seen everything", async || row(&model, id).await == Some((2 * EACH, 2 * EACH))).await;
        for rig in [&rig, &other_rig] {
            // Its file is its own: each of them brings it up to date.
            eventually("and so have the others", async || {
                balance_row(&rig.model, id).await.is_some_and(|(balance, ..)| balance == 2 * EACH)
            })
            .await;
        }
        let seen = || [rig.journal.sequences(id), other_rig.journal.sequences(id)].concat();
        eventually("the journal too", async || seen().len() >= 2 * EACH as usize).await;
        let mut seen = seen();
        seen.sort_unstable();
        assert_eq!(seen, (0..2 * EACH as u32).collect::<Vec<_>>(), "each of them once, by one or the other");
    }
    // A program that only listens is woken by the other.
    let [writing, listening] = &runtimes;
    writing.send::<Account>(ids[0], Deposit { amount: 5 }).await.expect("accepted");
    eventually("it is woken", async || row(&model, ids[0]).await == Some((2 * EACH + 5, 2 * EACH + 1))).await;
    assert!(listening.storage().head() >= writing.storage().head());
    for runtime in runtimes {
        runtime.shutdown().await.expect("it ends in order");
    }
}

/// Row J1: after a start nothing comes again, and SIMPLE finds the row; row J3: a rebuild puts right what was spoiled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn j1_j3_a_read_model_on_postgres_keeps_its_place_and_is_rebuilt() {
    let store = Store::postgres();
    let (_place, model) = takings().await;
    let (rig, id) = (Rig::new(), Uuid::new_v4());
    for round in 1..=3 {
        let runtime = start(&store, &rig, &model).await;
        for _ in 0..10 {
            runtime.send::<Account>(id, Deposit { amount: 2 }).await.expect("accepted");
        }
        runtime.send::<Account>(id, Deposit { amount: 2 }).sync(SyncMode::Simple).await.expect("accepted");
        assert_eq!(row(&model, id).await, Some((22 * round, 11 * round)), "each event took effect once");
        runtime.shutdown().await.expect("it ends in order");
    }
    let runtime = start(&store, &rig, &model).await;
    let client = model.client().await.expect("a connection");
    client.batch_execute("UPDATE takings SET amount = 1000").await.expect("spoiled");
    drop(client);
    runtime.rebuild("takings").await.expect("rebuilt");
    assert_eq!(row(&model, id).await, Some((66, 33)));
    runtime.send::<Account>(id, Deposit { amount: 2 }).sync(SyncMode::Simple).await.expect("accepted");
    assert_eq!(row(&model, id).await, Some((68, 34)));
    runtime.shutdown().await.expect("it ends in order");
    // It knows whose events it holds.
    let foreign = Store::postgres();
    let builder = foreign.describe(rig.builder().with(Takings { model: model.clone() }));
    assert!(builder.build().await.is_err(), "a read model of another store");
}
