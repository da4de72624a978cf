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
        assert_eq!(steps, i64::from(super::super::schema::VERSION), "each step ran once");
    });
}

/// What an earlier program has stored stays, and gets what is new.
#[test]
fn u1_r5_a_store_of_version_1_is_brought_up_to_date() {
    use crate::stream::{TraceContext, WaitMark};
    block_on(async {
        let schema = Schema::new().await;
        let traced = Headers::default().with_trace(TraceContext::new([1; 16], [2; 8], 1));
        let trace: String =
            traced.trace().expect("given").to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        // As that program made it and wrote to it.
        let before = format!(
            "CREATE SCHEMA {0}; SET search_path TO {0}, public; {1}
             CREATE TABLE angzarr_schema (version integer PRIMARY KEY, since timestamptz NOT NULL DEFAULT now());
             INSERT INTO angzarr_schema (version) VALUES (1);
             INSERT INTO types (name, version) VALUES ('bank.Deposited', 1);
             INSERT INTO streams (id, root, domain, edition) VALUES (1, '{2}', 'account', '');
             SELECT append_events(0, (SELECT last_value FROM version), 0, ARRAY[1], ARRAY[0], ARRAY[0], ARRAY[1], ARRAY[false],
                 ARRAY[NULL], ARRAY[NULL]::bytea[], ARRAY[NULL]::bytea[], ARRAY['\\x{trace}']::bytea[], ARRAY['x']::bytea[])",
            schema.0,
            include_str!("../schema_1.sql"),
            key(1).root,
        );
        let server = stranger().await;
        server.batch_execute(&before).await.expect("as it was");
        let id: String =
            server.query_one("SELECT value FROM about WHERE fact = 'id'", &[]).await.expect("an id").get(0);
        let id: Uuid = id.parse().expect("a UUID");
        refused(schema.postgres().start_read_only().await, StorageErrorKind::Incompatible, &["schema version 1"]);
        let storage = open(&schema).await;
        assert_eq!((storage.id(), storage.head()), (id, 1));
        let mark = WaitMark::new(id, None, Duration::from_secs(5));
        let marked = traced.clone().with_wait(Some(mark));
        let append = Append { headers: marked.clone(), ..append(&key(1), 1, b"x") };
        store(&storage, Write::append(append)).await.expect("stored");
        let events = storage.read_stream(&key(1), StreamRead::all()).await.expect("read").events;
        assert_eq!(events.iter().map(|it| it.headers.clone()).collect::<Vec<_>>(), [traced, marked]);
        assert_eq!(storage.read_wait(mark.wait(), 0).await.expect("found").len(), 1);
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
