//! L: limits. Each has a clear error, stores nothing, and can be configured.

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandPageExt as _, CoverExt as _, PageHeaderExt as _};
use angzarr_runtime::{Code, Limits};
use angzarr_tests::account::{Account, handler_runs};
use angzarr_tests::messages::*;
use angzarr_tests::rig::{account, page, request, start};
use angzarr_tests::{Rig, on_every_store};
use prost::Message as _;

fn fact<'e>(facts: &'e [(&'static str, String)], name: &str) -> &'e str {
    facts.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value.as_str())
}

/// Asserts that the answer is the error of a limit, with what is needed to obey it.
fn over(error: &Error, field: &str, actual: usize, limit: usize) {
    assert_eq!((error.code(), error.status()), ("LIMIT_EXCEEDED", Code::InvalidArgument), "{error}");
    assert!(!error.is_retryable());
    let facts = error.facts();
    assert!(fact(&facts, "field").contains(field), "{facts:?}");
    assert_eq!((fact(&facts, "actual"), fact(&facts, "limit")), (&*actual.to_string(), &*limit.to_string()));
}

fn malformed(error: &Error, field: &str) {
    assert_eq!((error.code(), error.status()), ("INVALID_ARGUMENT", Code::InvalidArgument), "{error}");
    let facts = error.facts();
    assert!(fact(&facts, "field").contains(field), "{facts:?}");
}

on_every_store! {
    async fn l_events_from_one_command(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let error = runtime.send::<Account>(id, DepositMany { count: 1_001 }).await.unwrap_err();
        over(&error, "events", 1_001, 1_000);
        assert_eq!(runtime.storage().head(), 0);
        assert_eq!(runtime.send::<Account>(id, DepositMany { count: 1_000 }).await.unwrap().next_sequence(), 1_000);
        runtime.shutdown().await.unwrap();
    }

    async fn l_pages_in_a_book(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let book = |pages: usize| request(account(id), (0..pages).map(|_| page(&Deposit { amount: 1 })));
        let error = runtime.handle_command(book(1_001)).await.unwrap_err();
        over(&error, "pages", 1_001, 1_000);
        assert_eq!((runtime.storage().head(), handler_runs(id)), (0, 0));
        assert_eq!(runtime.handle_command(book(1_000)).await.unwrap().events.unwrap().next_sequence, 1_000);
        runtime.shutdown().await.unwrap();
    }

    async fn l_payload_of_a_command(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let command = |bytes: usize| Note { text: "x".repeat(bytes) };
        let limit = 4 * 1024 * 1024;
        let size = command(limit).encoded_len();
        over(&runtime.send::<Account>(id, command(limit)).await.unwrap_err(), "command", size, limit);
        over(&runtime.handle_command(request(account(id), [page(&command(limit))])).await.unwrap_err(), "command", size, limit);
        assert_eq!(runtime.storage().head(), 0);
        let fits = command(limit - 5);
        assert_eq!(fits.encoded_len(), limit);
        runtime.send::<Account>(id, fits.clone()).await.unwrap();
        runtime.handle_command(request(account(id), [page(&fits)])).await.unwrap();
        runtime.shutdown().await.unwrap();
    }

    async fn l_payload_of_an_event(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let limit = 4 * 1024 * 1024;
        let error = runtime.send::<Account>(id, NoteOfSize { bytes: limit }).await.unwrap_err();
        over(&error, "test.Noted", limit as usize + 5, limit as usize);
        assert_eq!(runtime.storage().head(), 0);
        runtime.send::<Account>(id, NoteOfSize { bytes: limit - 5 }).await.unwrap();
        runtime.shutdown().await.unwrap();
    }

    async fn l_extension(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        let ext = |bytes: usize| prost_types::Any { type_url: "x/y".into(), value: vec![1; bytes] };
        let size = ext(4_096).encoded_len();
        over(&runtime.send::<Account>(id, Deposit { amount: 1 }).ext(ext(4_096)).await.unwrap_err(), "cover.ext", size, 4_096);
        let cover = proto::Cover { ext: Some(ext(4_096)), ..account(id) };
        over(&runtime.handle_command(request(cover, [page(&Deposit { amount: 1 })])).await.unwrap_err(), "cover.ext", size, 4_096);
        assert_eq!((runtime.storage().head(), handler_runs(id)), (0, 0));
        runtime.send::<Account>(id, Deposit { amount: 1 }).ext(ext(4_088)).await.unwrap();
        runtime.shutdown().await.unwrap();
    }

    async fn l_correlation_id(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for bad in ["x".repeat(256), "é".repeat(128), "a\nb".into(), "\u{0}".into(), "\u{7f}".into()] {
            let error = runtime.send::<Account>(id, Deposit { amount: 1 }).correlation(bad.clone()).await.unwrap_err();
            malformed(&error, "correlation_id");
            let error = runtime
                .handle_command(request(account(id).with_correlation(bad), [page(&Deposit { amount: 1 })]))
                .await
                .unwrap_err();
            malformed(&error, "correlation_id");
        }
        assert_eq!((runtime.storage().head(), handler_runs(id)), (0, 0));
        for good in ["x".repeat(255), "é".repeat(127), "Überweisung 7 🦀".into(), "a b".into()] {
            runtime.send::<Account>(id, Deposit { amount: 1 }).correlation(good.clone()).await.unwrap();
            assert_eq!(runtime.books_by_correlation(&good).await.unwrap().len(), 1);
        }
        runtime.shutdown().await.unwrap();
    }

    async fn l_external_id(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for bad in ["".into(), "x".repeat(256), "a\tb".into()] {
            let error = runtime.send::<Account>(id, Deposit { amount: 1 }).external_id(bad.clone()).await.unwrap_err();
            malformed(&error, "external_id");
            let page = page(&Deposit { amount: 1 }).with_header(proto::PageHeader::external(bad, ""));
            malformed(&runtime.handle_command(request(account(id), [page])).await.unwrap_err(), "external_id");
        }
        assert_eq!((runtime.storage().head(), handler_runs(id)), (0, 0));
        runtime.send::<Account>(id, Deposit { amount: 1 }).external_id("x".repeat(255)).await.unwrap();
        runtime.shutdown().await.unwrap();
    }

    async fn l_domain_name(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for bad in ["", "9lives", "-a", "_a", "Account", "ac.count", "ac count", "acc/ount", "é", &"a".repeat(65)] {
            let cover = proto::Cover { domain: bad.into(), ..account(id) };
            malformed(&runtime.handle_command(request(cover, [page(&Deposit { amount: 1 })])).await.unwrap_err(), "domain");
        }
        // A good name that nobody has is another answer.
        for good in ["a", "a-b_c9", &"a".repeat(64)] {
            let cover = proto::Cover { domain: good.into(), ..account(id) };
            let error = runtime.handle_command(request(cover, [page(&Deposit { amount: 1 })])).await.unwrap_err();
            assert_eq!(error.code(), "UNKNOWN_DOMAIN");
        }
        assert_eq!(runtime.storage().head(), 0);
        runtime.shutdown().await.unwrap();
    }

    async fn l_edition_name(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for bad in [".a", "9a", "A", "a b", "a/b", "é", &"a".repeat(65)] {
            let error = runtime.send::<Account>(id, Deposit { amount: 1 }).edition(bad).await.unwrap_err();
            malformed(&error, "edition");
            malformed(&runtime.state::<Account>(id).edition(bad).await.unwrap_err(), "edition");
            let cover = account(id).with_edition(bad);
            malformed(&runtime.handle_command(request(cover, [page(&Deposit { amount: 1 })])).await.unwrap_err(), "edition");
        }
        assert_eq!((runtime.storage().head(), handler_runs(id)), (0, 0));
        for good in ["a", "v2.1", "what-if_9", &"a".repeat(64)] {
            runtime.send::<Account>(id, Deposit { amount: 1 }).edition(good).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
    }

    async fn l_every_limit_is_configurable(store) {
        let limits = Limits {
            payload_bytes: 20,
            ext_bytes: 10,
            events_per_command: 2,
            pages_per_book: 2,
            domain_name_chars: 7,
            edition_name_chars: 3,
            id_bytes: 4,
        };
        let runtime = store.describe(Rig::new().builder().limits(limits)).build().await.unwrap();
        let id = Uuid::new_v4();
        let send = |amount| runtime.send::<Account>(id, Deposit { amount });
        over(&runtime.send::<Account>(id, Note { text: "x".repeat(19) }).await.unwrap_err(), "command", 21, 20);
        over(&runtime.send::<Account>(id, NoteOfSize { bytes: 19 }).await.unwrap_err(), "test.Noted", 21, 20);
        let ext = prost_types::Any { type_url: "x/y".into(), value: vec![1; 9] };
        over(&send(1).ext(ext).await.unwrap_err(), "cover.ext", 16, 10);
        over(&runtime.send::<Account>(id, DepositMany { count: 3 }).await.unwrap_err(), "events", 3, 2);
        let book = request(account(id), [1, 2, 3].map(|amount| page(&Deposit { amount })));
        over(&runtime.handle_command(book).await.unwrap_err(), "pages", 3, 2);
        let cover = proto::Cover { domain: "accounts".into(), ..account(id) };
        malformed(&runtime.handle_command(request(cover, [page(&Deposit { amount: 1 })])).await.unwrap_err(), "domain");
        malformed(&send(1).edition("four").await.unwrap_err(), "edition");
        malformed(&send(1).correlation("five5").await.unwrap_err(), "correlation_id");
        malformed(&send(1).external_id("five5").await.unwrap_err(), "external_id");
        assert_eq!(runtime.storage().head(), 0);
        send(1).correlation("four").external_id("four").edition("thr").await.unwrap();
        runtime.send::<Account>(id, DepositMany { count: 2 }).await.unwrap();
        runtime.shutdown().await.unwrap();
    }
}
