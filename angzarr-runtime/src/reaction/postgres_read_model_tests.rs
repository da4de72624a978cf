//! A read model on a real server: its transactions, and its rebuild.

use uuid::Uuid;

use super::*;
use crate::storage::postgres::tests::{Schema, stranger, url};
use crate::testing::storage_contract::block_on;

const TABLES: &str = "CREATE TABLE IF NOT EXISTS balance (account text PRIMARY KEY, amount bigint NOT NULL)";
const AT_5: Checkpoint = Checkpoint { store: Uuid::from_u128(1), position: 5 };

async fn model(schema: &Schema) -> PostgresReadModel {
    PostgresReadModel::connect(url(), &schema.0, TABLES).await.expect("a read model")
}

async fn put(transaction: &PostgresTransaction, account: &str) -> Result<u64, tokio_postgres::Error> {
    transaction.execute("INSERT INTO balance VALUES ($1, 1)", &[&account]).await
}

async fn accounts(model: &PostgresReadModel) -> Vec<String> {
    let client = model.client().await.expect("a connection");
    let rows = client.query("SELECT account FROM balance ORDER BY account", &[]).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Row J1: late answers must not send a projector back; another store begins anew.
#[test]
fn j1_a_checkpoint_never_moves_back() {
    block_on(async {
        let schema = Schema::new().await;
        let model = model(&schema).await;
        let other = Checkpoint { store: Uuid::from_u128(2), position: 1 };
        let at = |position| Checkpoint { position, ..AT_5 };
        assert_eq!(model.checkpoint("p").await.expect("it answers"), None);
        for (stored, wanted) in [(AT_5, AT_5), (at(3), AT_5), (at(9), at(9)), (other, other)] {
            let transaction = model.begin().await.expect("it begins");
            model.commit(transaction, "p", stored).await.expect("it commits");
            assert_eq!(model.checkpoint("p").await.expect("it answers"), Some(wanted));
            assert_eq!(model.checkpoint("q").await.expect("it answers"), None);
        }
    });
}

/// Row J1: rows and checkpoint together, or neither, however a transaction ends.
#[test]
fn j1_rows_and_checkpoint_are_one() {
    block_on(async {
        let schema = Schema::new().await;
        let model = model(&schema).await;
        let transaction = model.begin().await.expect("it begins");
        put(&transaction, "a").await.expect("a row");
        assert!(accounts(&model).await.is_empty(), "nobody sees it yet");
        model.commit(transaction, "p", AT_5).await.expect("it commits");
        assert_eq!(accounts(&model).await, ["a"]);
        // Undone, dropped in the middle, and failed inside although the handler did not mind.
        let transaction = model.begin().await.expect("it begins");
        put(&transaction, "b").await.expect("a row");
        model.rollback(transaction).await.expect("it rolls back");
        let transaction = model.begin().await.expect("it begins");
        put(&transaction, "b").await.expect("a row");
        drop(transaction);
        let transaction = model.begin().await.expect("it begins");
        put(&transaction, "b").await.expect("a row");
        put(&transaction, "a").await.expect_err("it is there already");
        let later = Checkpoint { position: 9, ..AT_5 };
        model.commit(transaction, "p", later).await.expect_err("nothing of it was stored");
        assert_eq!(accounts(&model).await, ["a"]);
        assert_eq!(model.checkpoint("p").await.expect("it answers"), Some(AT_5));
        // Its sessions are as good as new afterwards.
        for n in 0..20u64 {
            let transaction = model.begin().await.expect("it begins");
            put(&transaction, &format!("c{n:02}")).await.expect("a row");
            model.commit(transaction, "p", Checkpoint { position: 10 + n, ..AT_5 }).await.expect("it commits");
        }
        assert_eq!(accounts(&model).await.len(), 21);
        // The server ends a session within the transaction.
        let transaction = model.begin().await.expect("it begins");
        put(&transaction, "d").await.expect("a row");
        let pid: i32 = transaction.query_one("SELECT pg_backend_pid()", &[]).await.expect("a pid").get(0);
        stranger().await.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.expect("ended");
        model.commit(transaction, "p", Checkpoint { position: 99, ..AT_5 }).await.expect_err("it is gone");
        assert_eq!(accounts(&model).await.len(), 21);
        assert_eq!(model.checkpoint("p").await.expect("it answers").map(|it| it.position), Some(29));
    });
}

/// Row J3: a fresh one beside it, of the form that the program has now, which takes its place in one step.
#[test]
fn j3_a_fresh_schema_takes_the_place_of_the_old_one() {
    block_on(async {
        let schema = Schema::new().await;
        let old = model(&schema).await;
        let transaction = old.begin().await.expect("it begins");
        put(&transaction, "spoiled").await.expect("a row");
        transaction.batch_execute("CREATE TABLE by_hand (id serial PRIMARY KEY)").await.expect("a table");
        old.commit(transaction, "p", AT_5).await.expect("it commits");
        let abandoned = old.fresh("p").await.expect("a fresh one");
        abandoned.abandon().await.expect("it goes");
        // The program of today has a column more.
        let tables = "CREATE TABLE IF NOT EXISTS balance (account text PRIMARY KEY, amount bigint NOT NULL, note text)";
        let model = PostgresReadModel::connect(url(), &schema.0, tables).await.expect("a read model");
        accounts(&model).await; // statements are prepared for the old form
        let fresh = model.fresh("p").await.expect("a fresh one");
        // What a process left behind that died is thrown away.
        drop(fresh);
        let fresh = model.fresh("p").await.expect("a fresh one");
        assert!(accounts(&fresh).await.is_empty());
        let transaction = fresh.begin().await.expect("it begins");
        transaction.execute("INSERT INTO balance VALUES ('right', 1, 'new')", &[]).await.expect("a row");
        transaction.batch_execute("INSERT INTO by_hand DEFAULT VALUES").await.expect("it came along");
        fresh.commit(transaction, "p", Checkpoint { position: 7, ..AT_5 }).await.expect("it commits");
        assert_eq!(accounts(&model).await, ["spoiled"], "until then the old one is read");
        model.take_over(&fresh).await.expect("it takes over");
        assert_eq!(accounts(&model).await, ["right"]);
        assert_eq!(model.checkpoint("p").await.expect("it answers").map(|it| it.position), Some(7));
        let left = "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, $1)";
        let left: i64 = stranger().await.query_one(left, &[&schema.0]).await.expect("an answer").get(0);
        assert_eq!(left, 1, "nothing beside it");
        let transaction = model.begin().await.expect("it begins");
        transaction.execute("INSERT INTO balance VALUES ('next', 1, 'new')", &[]).await.expect("a row");
        model.commit(transaction, "p", Checkpoint { position: 8, ..AT_5 }).await.expect("it goes on");
    });
}

/// Row J3: nothing of anybody else is lost.
#[test]
fn j3_what_others_depend_on_is_not_rebuilt() {
    block_on(async {
        let (schema, other) = (Schema::new().await, Schema::new().await);
        let shared = model(&schema).await;
        for name in ["p", "p letter 1", "pq"] {
            let transaction = shared.begin().await.expect("it begins");
            shared.commit(transaction, name, AT_5).await.expect("it commits");
        }
        let error = shared.fresh("p").await.expect_err("another projector is in it");
        assert!(error.is_permanent() && error.message().contains("`pq`"), "{error}");
        let stranger = stranger().await;
        let leave = format!("DELETE FROM {}.angzarr_checkpoints WHERE name = 'pq'", schema.0);
        stranger.batch_execute(&leave).await.expect("it leaves");
        let fresh = shared.fresh("p").await.expect("it is alone");
        let transaction = fresh.begin().await.expect("it begins");
        fresh.commit(transaction, "p", AT_5).await.expect("it commits");
        // Somebody begins to look into it meanwhile.
        let view = format!("CREATE SCHEMA {1}; CREATE VIEW {1}.report AS SELECT * FROM {0}.balance", schema.0, other.0);
        stranger.batch_execute(&view).await.expect("a view");
        let error = shared.take_over(&fresh).await.expect_err("the view would be lost");
        assert!(error.is_permanent() && error.message().contains("report"), "{error}");
        let error = shared.fresh("p").await.expect_err("the view would be lost");
        assert!(error.message().contains("report"), "{error}");
        fresh.abandon().await.expect("it goes");
        assert!(accounts(&shared).await.is_empty());
    });
}
