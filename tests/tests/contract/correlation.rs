//! I: correlation and extension.

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CoverExt as _};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::rig::{account, page, request};
use angzarr_tests::store::events_of;
use angzarr_tests::{Rig, on_every_store};

/// Account → courier → ledger → thanks → account: a workflow over two sagas and two domains.
fn send_money(to: Uuid, thank: Uuid) -> SendMoney {
    SendMoney {
        to: to.as_bytes().to_vec(),
        amount: 5,
        copies: 1,
        trouble: String::new(),
        thank: thank.as_bytes().to_vec(),
    }
}

on_every_store! {
    async fn i1_the_correlation_id_goes_with_everything(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (from, to, thanked) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(from, send_money(to, thanked)).correlation("wf-7").await.unwrap();
        runtime.settled().await;
        for key in [
            StreamKey::main("account", from),
            StreamKey::main("ledger", to),
            StreamKey::main("account", thanked),
        ] {
            let events = events_of(runtime.storage(), &key).await;
            assert_eq!(events.len(), 1, "{key}");
            assert_eq!(events[0].headers.correlation_id(), "wf-7", "{key}");
        }
        assert!(rig.journal.seen().iter().all(|seen| seen.correlation.as_deref() == Some("wf-7")));
        assert_eq!(rig.journal.seen().len(), 3);
        // A dead letter that follows carries it as well.
        let refused = SendMoney { trouble: "refused".into(), ..send_money(to, thanked) };
        runtime.send::<Account>(from, refused).correlation("wf-8").await.unwrap();
        runtime.settled().await;
        let filter = DeadLetterFilter { correlation_id: Some("wf-8".into()), ..Default::default() };
        let letters = runtime.dead_letters().list(&filter).await.unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].letter.cover.as_ref().unwrap().correlation_id, "wf-8");
        runtime.shutdown().await.unwrap();
    }

    async fn i2_none_is_made_up(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (from, to, thanked) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(from, send_money(to, thanked)).await.unwrap();
        let by_wire = runtime.handle_command(request(account(from), [page(&Deposit { amount: 1 })])).await.unwrap();
        assert_eq!(by_wire.events.unwrap().cover.unwrap().correlation_id, "");
        runtime.settled().await;
        for (domain, root) in [("account", from), ("ledger", to), ("account", thanked)] {
            for event in events_of(runtime.storage(), &StreamKey::main(domain, root)).await {
                assert_eq!(event.headers.correlation_id(), "");
            }
        }
        assert_eq!(rig.journal.seen().len(), 4);
        assert!(rig.journal.seen().iter().all(|seen| seen.correlation.is_none()));
        runtime.shutdown().await.unwrap();
    }

    async fn i3_the_extension_is_carried_along(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (from, to, thanked) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        // A parent cover, packed and unpacked by the typed helper.
        let parent = proto::Cover::of("batch", [3; 16]).with_correlation("batch-1");
        let ext = account(from).with_parent(&parent).ext.unwrap();
        runtime.send::<Account>(from, send_money(to, thanked)).ext(ext.clone()).await.unwrap();
        runtime.settled().await;
        for (domain, root) in [("account", from), ("ledger", to), ("account", thanked)] {
            let events = events_of(runtime.storage(), &StreamKey::main(domain, root)).await;
            assert_eq!(events[0].headers.ext(), Some(&ext), "{domain}");
            let cover = proto::Cover { ext: events[0].headers.ext().cloned(), ..Default::default() };
            assert_eq!(cover.unpack_parent_cover().unwrap(), Some(parent.clone()));
        }
        assert!(rig.journal.seen().iter().all(|seen| seen.ext.as_ref() == Some(&ext)));
        // Opaque: bytes that are no message travel just as well.
        let opaque = prost_types::Any { type_url: "??".into(), value: vec![0xff; 64] };
        let cover = proto::Cover { ext: Some(opaque.clone()), ..account(from) };
        let response = runtime.handle_command(request(cover, [page(&Deposit { amount: 1 })])).await.unwrap();
        assert_eq!(response.events.unwrap().cover.unwrap().ext, Some(opaque));
        runtime.shutdown().await.unwrap();
    }

    async fn i4_a_workflow_is_found_across_domains(store) {
        let runtime = Rig::new().start(&store).await;
        let (from, to, thanked) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(from, Deposit { amount: 50 }).correlation("other").await.unwrap();
        runtime.send::<Account>(from, send_money(to, thanked)).correlation("wf-9").await.unwrap();
        runtime.send::<Account>(from, Deposit { amount: 50 }).await.unwrap();
        runtime.send::<Account>(from, Deposit { amount: 1 }).correlation("wf-9").await.unwrap();
        runtime.send::<Account>(from, Deposit { amount: 2 }).correlation("other").await.unwrap();
        runtime.settled().await;
        let books = runtime.books_by_correlation("wf-9").await.unwrap();
        let mut found: Vec<(String, [u8; 16], Vec<u32>)> = books
            .iter()
            .map(|book| {
                let cover = book.cover.as_ref().unwrap();
                assert_eq!(cover.correlation_id, "wf-9");
                // The stream's, whatever workflow its last event belongs to.
                let next = if cover.root_bytes() == Some(from.into_bytes()) { 5 } else { 1 };
                assert_eq!(book.next_sequence, next);
                let sequences = book
                    .pages
                    .iter()
                    .map(|page| proto::PageHeaderExt::explicit_sequence(page.header.as_ref().unwrap()).unwrap())
                    .collect();
                (cover.domain.clone(), cover.root_bytes().unwrap(), sequences)
            })
            .collect();
        found.sort();
        let mut expected = vec![
            ("account".to_owned(), from.into_bytes(), vec![1, 3]),
            ("account".to_owned(), thanked.into_bytes(), vec![0]),
            ("ledger".to_owned(), to.into_bytes(), vec![0]),
        ];
        expected.sort();
        assert_eq!(found, expected);
        assert!(runtime.books_by_correlation("nobody").await.unwrap().is_empty());
        assert_eq!(runtime.books_by_correlation("").await.unwrap_err().code(), "INVALID_ARGUMENT");
        runtime.shutdown().await.unwrap();
    }
}
