//! Versions of the schema: many that start at once, newer ones, other programs.

use super::*;

#[test]
fn eight_processes_that_start_at_once_make_one_store() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let schema = Schema::new().await;
        let starts = (0..8).map(|_| tokio::spawn(schema.postgres().start()));
        let stores = futures_util::future::join_all(starts).await;
        let ids: Vec<Uuid> =
            stores.into_iter().map(|it| it.expect("no panic").expect("each of them opens").id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
        let steps = format!("SELECT count(*) FROM {}.angzarr_schema", schema.0);
        let steps: i64 = stranger().await.query_one(&steps, &[]).await.expect("an answer").get(0);
        assert_eq!(steps, 1, "each step ran once");
    });
}

#[test]
fn what_a_newer_program_has_written_is_refused() {
    block_on(async {
        let schema = Schema::new().await;
        open(&schema).await.close().await.expect("it closes");
        let newer = format!("INSERT INTO {}.angzarr_schema (version) VALUES (1000)", schema.0);
        stranger().await.batch_execute(&newer).await.expect("changed");
        let words = ["schema version 1000", "nothing was changed"];
        refused(schema.postgres().start().await, StorageErrorKind::Incompatible, &words);
        refused(schema.postgres().start_read_only().await, StorageErrorKind::Incompatible, &words);
    });
}

#[test]
fn a_schema_of_another_program_is_refused() {
    block_on(async {
        let schema = Schema::new().await;
        let foreign = format!("CREATE SCHEMA {0}; CREATE TABLE {0}.events (what text)", schema.0);
        stranger().await.batch_execute(&foreign).await.expect("made");
        refused(schema.postgres().start().await, StorageErrorKind::Incompatible, &["another program", "schema=NAME"]);
    });
}

/// Whoever may not create a schema is given an empty one.
#[test]
fn an_empty_schema_is_taken() {
    block_on(async {
        let schema = Schema::new().await;
        stranger().await.batch_execute(&format!("CREATE SCHEMA {}", schema.0)).await.expect("made");
        store(&open(&schema).await, write(&key(1), 0, b"x")).await.expect("stored");
    });
}

#[test]
fn names_that_need_quotes_work() {
    block_on(async {
        let schema = Schema::new().await;
        let odd = format!("{} \"Ä\"; drop", schema.0);
        let storage = Postgres::connect(url()).schema(&odd).start().await.expect("it opens");
        store(&storage, write(&key(1), 0, b"x")).await.expect("stored");
        storage.close().await.expect("it closes");
        let drop = format!("DROP SCHEMA {} CASCADE", super::super::settings::quoted(&odd));
        stranger().await.batch_execute(&drop).await.expect("dropped");
    });
}
