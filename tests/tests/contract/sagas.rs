//! G: sagas.

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::angzarr_dead_letter::{Payload, RejectionDetails};
use angzarr_runtime::proto::{self, CommandPageExt as _, CoverExt as _, PageHeaderExt as _};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::{page, request};
use angzarr_tests::store::{assert_gapless, decode, events_of, stored};
use angzarr_tests::{Fault, Faults, Rig, on_every_store};

fn money(to: Uuid, amount: i64, copies: u32) -> SendMoney {
    SendMoney { to: to.as_bytes().to_vec(), amount, copies, ..Default::default() }
}

fn ledger(id: Uuid) -> StreamKey {
    StreamKey::main("ledger", id)
}

on_every_store! {
    async fn g1_commands_go_to_their_targets(store) {
        let runtime = Rig::new().start(&store).await;
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(from, money(to, 5, 1)).correlation("wf-1").await.unwrap();
        runtime.send::<Account>(from, money(to, 7, 3)).edition("what-if").correlation("wf-2").await.unwrap();
        runtime.settled().await;
        let main = events_of(runtime.storage(), &ledger(to)).await;
        assert_eq!(main.len(), 1);
        assert_eq!(decode::<Booked>(&main[0]).amount, 5);
        assert_eq!(main[0].headers.correlation_id(), "wf-1");
        let branch = events_of(runtime.storage(), &StreamKey { edition: "what-if".into(), ..ledger(to) }).await;
        assert_eq!(branch.len(), 3, "one for each command");
        assert!(branch.iter().all(|event| event.headers.correlation_id() == "wf-2"));
        runtime.shutdown().await.unwrap();
    }

    /// The header of a saga's command, as a dead letter keeps it.
    async fn g1_d5_commands_carry_where_they_come_from(store) {
        let runtime = Rig::new().start(&store).await;
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(from, Deposit { amount: 100 }).await.unwrap();
        let refused = SendMoney { trouble: "refused".into(), ..money(to, 5, 2) };
        runtime.send::<Account>(from, refused).correlation("wf-1").await.unwrap();
        runtime.settled().await;
        let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!(letters.len(), 2, "commands that differ in their index alone are two");
        let mut indexes = Vec::new();
        for found in &letters {
            let letter = &found.letter;
            assert_eq!((letter.source_component.as_str(), letter.source_component_type.as_str()), ("courier", "saga"));
            assert_eq!(found.domain(), "ledger", "it goes to its target's domain");
            let cover = letter.cover.as_ref().unwrap();
            assert_eq!((cover.correlation_id.as_str(), cover.root_bytes()), ("wf-1", Some(to.into_bytes())));
            let Some(Payload::RejectedCommand(book)) = &letter.payload else { panic!("no command") };
            assert_eq!(book.pages[0].type_name(), Some("test.Book"));
            let provenance = book.pages[0].header.as_ref().unwrap().provenance().unwrap();
            let source = provenance.source.as_ref().unwrap();
            assert_eq!((source.domain.as_str(), source.root_bytes()), ("account", Some(from.into_bytes())));
            assert_eq!((provenance.source_seq, provenance.source_component.as_str()), (1, "courier"));
            indexes.push(provenance.command_index);
            assert!(letter.rejection_reason.contains("this ledger is closed"));
        }
        indexes.sort_unstable();
        assert_eq!(indexes, [0, 1]);
        runtime.shutdown().await.unwrap();
    }

    /// Checkpoints get lost, every event comes again, three times over: each command runs once.
    async fn g2_a_repeated_event_runs_each_command_once(store) {
        let faults = Faults::new();
        faults.forget_checkpoints(true);
        let rig = Rig::new();
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        for round in 0..3u32 {
            let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
            if round == 0 {
                for amount in 1..=20 {
                    runtime.send::<Account>(from, money(to, amount, 2)).await.unwrap();
                }
            }
            runtime.settled().await;
            assert_eq!(rig.courier.tries(from, 0), round + 1, "the event was really delivered again");
            let booked = events_of(runtime.storage(), &ledger(to)).await;
            assert_eq!(booked.len(), 40);
            assert_gapless(&booked);
            let amounts: Vec<i64> = booked.iter().map(|event| decode::<Booked>(event).amount).collect();
            let expected: Vec<i64> = (1..=20).flat_map(|amount| [amount, amount]).collect();
            assert_eq!(amounts, expected, "in the order of the stream that they come from");
            runtime.shutdown().await.unwrap();
        }
    }

    /// The same by the wire: the key is (source stream, source_seq, component, command_index), and nothing else.
    async fn g2_the_key_by_the_wire(store) {
        let runtime = Rig::new().start(&store).await;
        let to = Uuid::new_v4();
        let source = proto::Cover::of("account", [1; 16]);
        let send = async |source: proto::Cover, seq: u32, component: &str, index: u32, amount: i64| {
            let header = proto::PageHeader::derived(source, seq, component, index);
            let page = page(&Book { amount, ..Default::default() }).with_header(header);
            runtime.handle_command(request(proto::Cover::of("ledger", to.into_bytes()), [page])).await.unwrap()
        };
        let first = send(source.clone(), 4, "courier", 0, 10).await;
        assert_eq!(send(source.clone(), 4, "courier", 0, 999).await, first, "the repeat gets the first answer");
        send(source.clone(), 5, "courier", 0, 20).await;
        send(source.clone(), 4, "another", 0, 30).await;
        send(source.clone(), 4, "courier", 1, 40).await;
        send(proto::Cover::of("account", [2; 16]), 4, "courier", 0, 50).await;
        send(proto::Cover::of("person", [1; 16]), 4, "courier", 0, 60).await;
        send(source.clone().with_edition("what-if"), 4, "courier", 0, 70).await;
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 280);
        // Correlation and extension of the source are no part of the key.
        let again = send(source.with_correlation("wf"), 4, "courier", 0, 999).await;
        assert_eq!(again, first);
        runtime.shutdown().await.unwrap();
    }

    async fn g3_conflicts_are_retried(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder().command_attempts(3)).build().await.unwrap();
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        // More than one command's own tries: the saga's retries are needed.
        faults.next("ledger", [Fault::Conflict; 7]);
        runtime.send::<Account>(from, money(to, 5, 1)).await.unwrap();
        runtime.settled().await;
        assert_eq!(faults.struck(), 7);
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 5);
        assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn g3_then_dead_lettered(store) {
        let faults = Faults::new();
        let builder = Rig::new().builder().command_attempts(2).reaction_attempts(3);
        let runtime = faults.describe(&store, builder).build().await.unwrap();
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        faults.next("ledger", [Fault::Conflict; 1_000]);
        runtime.send::<Account>(from, money(to, 5, 1)).correlation("wf").await.unwrap();
        runtime.settled().await;
        let struck = faults.struck();
        assert!((2..=20).contains(&struck), "bounded: {struck} tries");
        faults.clear();
        let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!(letters.len(), 1);
        let letter = &letters[0].letter;
        assert_eq!((letters[0].domain(), letter.source_component.as_str()), ("ledger", "courier"));
        let Some(RejectionDetails::EventProcessingFailed(details)) = &letter.rejection_details else { panic!() };
        assert!(details.is_transient);
        assert_eq!(details.retry_count, 3);
        // Later commands of the same saga are not held up, and the letter can be tried again.
        runtime.send::<Account>(from, money(to, 7, 1)).await.unwrap();
        runtime.settled().await;
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 7);
        runtime.dead_letters().retry(letters[0].id).await.unwrap();
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 12);
        let booked = events_of(runtime.storage(), &ledger(to)).await;
        assert_eq!(booked[1].headers.correlation_id(), "wf");
        // Even if the letter comes once more, the provenance knows it.
        runtime.dead_letters().retry(letters[0].id).await.unwrap_err();
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 12);
        runtime.shutdown().await.unwrap();
    }

    /// One part of a split event fails: the commands of the others keep their place, also in the repeat.
    async fn g2_u4_a_failing_part_of_a_split_event_shifts_no_command(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        let moved = AddressChanged { address: "paid street, paid city".into() };
        store.plant(&StreamKey::main("person", id), vec![stored(&moved, 1)]).await;
        rig.movers.trouble(id, 0, Trouble::Always);
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        let letters = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap();
        assert_eq!(letters.len(), 1);
        rig.movers.no_more_trouble(id, 0);
        runtime.dead_letters().retry(letters[0].id).await.unwrap();
        assert_eq!(runtime.state::<Ledger>(id).await.unwrap().total, 101, "both parts, once each");
        runtime.shutdown().await.unwrap();
    }

    async fn g5_undeclared_events_are_skipped_silently(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(from, DepositMany { count: 50 }).await.unwrap();
        runtime.send::<Account>(from, Note { text: "hello".into() }).await.unwrap();
        runtime.send::<Account>(from, money(to, 5, 1)).await.unwrap();
        runtime.settled().await;
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 5);
        assert_eq!(rig.courier.tries(from, 51), 1);
        assert!(runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().is_empty());
        let courier = runtime.subscriptions().into_iter().find(|status| status.name == "courier").unwrap();
        assert_eq!((courier.lag, courier.stalled), (0, None));
        runtime.shutdown().await.unwrap();
    }

    /// Two sagas make a workflow; many of them at once keep their order per stream.
    async fn g1_many_workflows_at_once(store) {
        let runtime = Rig::new().start(&store).await;
        let to: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
        let senders = (0..16usize).map(|n| {
            let (runtime, to) = (runtime.clone(), to[n % 4]);
            tokio::spawn(async move {
                let from = Uuid::new_v4();
                for amount in 1..=10 {
                    runtime.send::<Account>(from, SendMoney { thank: from.as_bytes().to_vec(), ..money(to, amount, 1) }).await.unwrap();
                }
                from
            })
        });
        let from: Vec<Uuid> = futures_util::future::join_all(senders).await.into_iter().map(Result::unwrap).collect();
        runtime.settled().await;
        for id in from {
            assert_eq!(runtime.state::<Account>(id).await.unwrap().points, 55);
        }
        for id in to {
            let booked = events_of(runtime.storage(), &ledger(id)).await;
            assert_gapless(&booked);
            assert_eq!(booked.len(), 40);
            // From each sender, in the order in which it sent.
            let mut last = std::collections::HashMap::new();
            for event in &booked {
                let event: Booked = decode(event);
                let before = last.insert(event.thank.clone(), event.amount).unwrap_or(0);
                assert_eq!(event.amount, before + 1);
            }
        }
        runtime.shutdown().await.unwrap();
    }
}
