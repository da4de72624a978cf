//! D: dead letters.

use std::time::{Duration, SystemTime};

use angzarr_runtime::Limits;
use angzarr_runtime::dead_letter::{DeadLetterFilter, Resolution};
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::angzarr_dead_letter::{Payload, RejectionDetails};
use angzarr_runtime::proto::{self, CommandPageExt as _, CoverExt as _, EventPageExt as _, PageHeaderExt as _};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::{Trouble, balance_row};
use angzarr_tests::rig::{account, page, request, start};
use angzarr_tests::store::events_of;
use angzarr_tests::time::ManualClock;
use angzarr_tests::{Faults, Rig, on_every_store};
use prost::Message as _;

fn money(to: Uuid, trouble: &str) -> SendMoney {
    SendMoney { to: to.as_bytes().to_vec(), amount: 5, copies: 1, trouble: trouble.into(), thank: Vec::new() }
}

fn all() -> DeadLetterFilter {
    DeadLetterFilter::default()
}

on_every_store! {
    /// Durable, and with all that is needed to do it again.
    async fn d1_a_letter_holds_all_that_is_needed(store) {
        let clock = ManualClock::at(5_000);
        let rig = Rig::new();
        let (id, to) = (Uuid::new_v4(), Uuid::new_v4());
        rig.balances.trouble(id, 0, Trouble::Permanent);
        let runtime = store.describe(rig.builder().clock(clock)).build().await.unwrap();
        let ext = prost_types::Any { type_url: "x/y".into(), value: vec![7] };
        let deposit = runtime.send::<Account>(id, Deposit { amount: 3 }).correlation("wf-1").ext(ext.clone()).await.unwrap();
        runtime.send::<Account>(Uuid::new_v4(), money(to, "refused")).correlation("wf-2").await.unwrap();
        let refused = runtime.send::<Account>(id, Freeze {}).expect_sequence(9).correlation("wf-3").await.unwrap_err();
        assert_eq!(refused.code(), "DEAD_LETTERED");
        runtime.settled().await;
        runtime.shutdown().await.unwrap();
        // Read by another runtime: it was on disk.
        let runtime = start(&store).await;
        let by = async |correlation: &str| {
            let filter = DeadLetterFilter { correlation_id: Some(correlation.into()), ..all() };
            let mut found = runtime.dead_letters().list(&filter).await.unwrap();
            assert_eq!(found.len(), 1, "{correlation}");
            found.remove(0)
        };
        let events = by("wf-1").await;
        assert_eq!((events.letter.source_component.as_str(), events.letter.source_component_type.as_str()), ("balances", "projector"));
        assert_eq!(events.letter.cover.as_ref().unwrap().root_bytes(), Some(id.into_bytes()));
        assert_eq!(events.letter.cover.as_ref().unwrap().ext, Some(ext));
        let Some(Payload::RejectedEvents(book)) = &events.letter.payload else { panic!("no events") };
        let event = Deposited::decode(book.pages[0].event().unwrap().value.as_slice()).unwrap();
        assert_eq!((event.amount, book.pages[0].sequence()), (3, Some(0)));
        assert_eq!(events.letter.rejection_reason, "trouble for good");
        assert_eq!(events.occurred_at / 1_000_000_000, 5_000);
        assert!(events.occurred_at >= deposit.events()[0].created_at);
        assert_eq!((events.attempts, &events.resolution), (1, &None));
        let command = by("wf-2").await;
        let Some(Payload::RejectedCommand(book)) = &command.letter.payload else { panic!("no command") };
        assert_eq!(book.pages[0].decode::<Book>().unwrap().amount, 5);
        assert_eq!(command.domain(), "ledger");
        let mismatch = by("wf-3").await;
        assert_eq!((mismatch.letter.source_component.as_str(), mismatch.letter.source_component_type.as_str()), ("account", "aggregate"));
        assert!(matches!(mismatch.letter.rejection_details, Some(RejectionDetails::SequenceMismatch(_))));
        runtime.shutdown().await.unwrap();
    }

    /// Sync mode, external id, time and each page's merge strategy of a command that waits for an operator.
    async fn d1_m4_a_command_is_retried_as_it_was_sent(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        let at = SystemTime::now() + Duration::from_secs(3_600);
        let send = || {
            runtime
                .send::<Account>(id, Deposit { amount: 3 })
                .merge(MergeStrategy::Manual)
                .expect_sequence(9)
                .sync(SyncMode::Isolated)
                .external_id("deposit-7")
                .at(at)
        };
        send().await.unwrap_err();
        let letter = runtime.dead_letters().list(&all()).await.unwrap().remove(0);
        let Some(Payload::RejectedCommand(book)) = &letter.letter.payload else { panic!("no command") };
        let header = book.pages[0].header.as_ref().unwrap();
        assert_eq!((header.external_id(), header.sync_mode), (Some("deposit-7"), Some(proto::SyncMode::Isolated as i32)));
        assert_eq!(book.pages[0].merge_strategy, proto::MergeStrategy::MergeManual as i32);
        runtime.dead_letters().retry(letter.id).await.unwrap();
        let events = events_of(runtime.storage(), &StreamKey::main("account", id)).await;
        assert_eq!(events.len(), 1);
        assert!(events[0].isolated, "still not published");
        let nanos = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
        assert_eq!(i128::from(events[0].created_at), nanos as i128);
        runtime.settled().await;
        assert!(rig.journal.seen().is_empty());
        // Whoever sends it again gets the answer of the retry.
        let again = send().await.unwrap();
        assert!(again.already_processed());
        assert_eq!(again.events(), events);
        // By the wire: each page keeps its own strategy.
        let mut pages = [page(&Note { text: "a".into() }), page(&Note { text: "b".into() })];
        let strategies = [proto::MergeStrategy::MergeManual as i32, proto::MergeStrategy::MergeStrict as i32];
        for (page, strategy) in pages.iter_mut().zip(strategies) {
            page.merge_strategy = strategy;
        }
        pages[0].header = Some(proto::PageHeader {
            sequence_type: Some(proto::page_header::SequenceType::Sequence(9)),
            ..Default::default()
        });
        runtime.handle_command(request(account(id), pages)).await.unwrap_err();
        let letter = runtime.dead_letters().list(&all()).await.unwrap().remove(0);
        let Some(Payload::RejectedCommand(book)) = &letter.letter.payload else { panic!("no command") };
        assert_eq!(book.pages.iter().map(|it| it.merge_strategy).collect::<Vec<_>>(), strategies);
        runtime.dead_letters().retry(letter.id).await.unwrap();
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("account", id)).await.len(), 3);
        runtime.shutdown().await.unwrap();
    }

    /// The id that a retry gives to a command without one of its own passes the limit of ids.
    async fn d2_l_a_retry_needs_no_longer_ids_than_a_uuid(store) {
        let limits = Limits { id_bytes: 36, ..Limits::default() };
        let runtime = store.describe(Rig::new().builder().limits(limits)).build().await.unwrap();
        let id = Uuid::new_v4();
        let note = Note { text: "once".into() };
        runtime.send::<Account>(id, note).merge(MergeStrategy::Manual).expect_sequence(9).await.unwrap_err();
        let letter = runtime.dead_letters().list(&all()).await.unwrap().remove(0);
        runtime.dead_letters().retry(letter.id).await.unwrap();
        assert_eq!(events_of(runtime.storage(), &StreamKey::main("account", id)).await.len(), 1);
        runtime.shutdown().await.unwrap();
    }

    async fn d2_an_operator_lists_filters_shows_retries_and_discards(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (from, to, id) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        for n in 0..3 {
            runtime.send::<Account>(from, money(to, "refused")).correlation(format!("wf-{n}")).await.unwrap();
            runtime.send::<Account>(id, Freeze {}).expect_sequence(7 + n).correlation(format!("wf-{n}")).await.unwrap_err();
        }
        runtime.settled().await;
        let desk = runtime.dead_letters();
        let count = async |filter: &DeadLetterFilter| desk.list(filter).await.unwrap().len();
        assert_eq!(count(&all()).await, 6);
        assert_eq!(count(&DeadLetterFilter { domain: Some("ledger".into()), ..all() }).await, 3);
        assert_eq!(count(&DeadLetterFilter { domain: Some("account".into()), ..all() }).await, 3);
        assert_eq!(count(&DeadLetterFilter { component: Some("courier".into()), ..all() }).await, 3);
        assert_eq!(count(&DeadLetterFilter { correlation_id: Some("wf-1".into()), ..all() }).await, 2);
        let both = DeadLetterFilter { domain: Some("ledger".into()), correlation_id: Some("wf-1".into()), ..all() };
        assert_eq!(count(&both).await, 1);
        assert_eq!(count(&DeadLetterFilter { limit: Some(4), ..all() }).await, 4);
        let letters = desk.list(&all()).await.unwrap();
        assert!(letters.is_sorted_by_key(|letter| letter.occurred_at), "oldest first");
        assert_eq!(desk.show(letters[2].id).await.unwrap().as_ref(), Some(&letters[2]));
        assert_eq!(desk.show(Uuid::new_v4()).await.unwrap(), None);
        // A retry that fails again leaves the letter open.
        let closed = desk.list(&both).await.unwrap().remove(0);
        let error = desk.retry(closed.id).await.unwrap_err();
        assert_eq!(error.rejection().unwrap().code(), "refused");
        assert_eq!(count(&all()).await, 6);
        // A retry that works: the sequence that was expected counts no more, an operator decided so.
        let frozen = desk.list(&DeadLetterFilter { domain: Some("account".into()), ..all() }).await.unwrap().remove(0);
        desk.retry(frozen.id).await.unwrap();
        assert!(runtime.state::<Account>(id).await.unwrap().frozen);
        assert_eq!(count(&all()).await, 5);
        let resolved = desk.show(frozen.id).await.unwrap().unwrap();
        assert!(matches!(resolved.resolution, Some(Resolution::Retried { .. })), "{:?}", resolved.resolution);
        // A discard keeps its reason, and needs one.
        assert_eq!(desk.discard(closed.id, "  ").await.unwrap_err().code(), "INVALID_ARGUMENT");
        desk.discard(closed.id, "the customer paid otherwise").await.unwrap();
        let resolved = desk.show(closed.id).await.unwrap().unwrap();
        assert!(
            matches!(&resolved.resolution, Some(Resolution::Discarded { reason, .. }) if reason == "the customer paid otherwise"),
            "{:?}",
            resolved.resolution
        );
        // What is resolved is resolved.
        for id in [closed.id, frozen.id, Uuid::new_v4()] {
            assert_eq!(desk.retry(id).await.unwrap_err().code(), "INVALID_ARGUMENT");
            assert_eq!(desk.discard(id, "again").await.unwrap_err().code(), "INVALID_ARGUMENT");
        }
        assert_eq!(count(&all()).await, 4);
        assert_eq!(count(&DeadLetterFilter { include_resolved: true, ..all() }).await, 6);
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 0);
        runtime.shutdown().await.unwrap();
    }

    /// Letters of a projector that are discarded let the stream go on behind them.
    async fn d2_discarding_lets_a_parked_stream_go_on(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 0, Trouble::Permanent);
        let runtime = rig.start(&store).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
        runtime.settled().await;
        let desk = runtime.dead_letters();
        let letters = desk.list(&all()).await.unwrap();
        assert_eq!(letters.len(), 2);
        desk.discard(letters[0].id, "not worth it").await.unwrap();
        assert!(desk.list(&all()).await.unwrap().is_empty(), "the next one followed by itself");
        assert_eq!(balance_row(&rig.model, id).await, Some((10, 1, 1)));
        runtime.send::<Account>(id, Deposit { amount: 100 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((110, 2, 2)));
        runtime.shutdown().await.unwrap();
    }

    /// A younger letter that is discarded does not make the older ones run.
    async fn d2_discarding_a_younger_letter_runs_nothing(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 0, Trouble::Permanent);
        let runtime = rig.start(&store).await;
        for amount in [1, 10, 100] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        runtime.settled().await;
        rig.balances.no_more_trouble(id, 0);
        let desk = runtime.dead_letters();
        let letters = desk.list(&all()).await.unwrap();
        desk.discard(letters[1].id, "not worth it").await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, None);
        desk.retry(letters[0].id).await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((101, 2, 2)));
        runtime.shutdown().await.unwrap();
    }

    /// Two operators retry at once, and a retry whose resolution was lost comes again: the work is done once.
    async fn d2_j1_a_letter_takes_effect_once(store) {
        let (rig, faults) = (Rig::new(), Faults::new());
        let (id, other) = (Uuid::new_v4(), Uuid::new_v4());
        rig.balances.trouble(id, 0, Trouble::Permanent);
        rig.balances.trouble(other, 0, Trouble::Permanent);
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.send::<Account>(other, Deposit { amount: 1 }).await.unwrap();
        let note = Note { text: "once".into() };
        runtime.send::<Account>(id, note).merge(MergeStrategy::Manual).expect_sequence(9).await.unwrap_err();
        runtime.settled().await;
        rig.balances.no_more_trouble(id, 0);
        rig.balances.no_more_trouble(other, 0);
        let desk = runtime.dead_letters();
        let letters = desk.list(&DeadLetterFilter { component: Some("balances".into()), ..all() }).await.unwrap();
        let [of_id, of_other] = [id, other].map(|root| {
            letters.iter().find(|it| it.letter.cover.as_ref().unwrap().root_bytes() == Some(root.into_bytes())).unwrap().id
        });
        // Two at once.
        let (one, two) = tokio::join!(desk.retry(of_id), desk.retry(of_id));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        assert_eq!(balance_row(&rig.model, id).await, Some((1, 1, 0)));
        // The rows are committed, the resolution is not.
        faults.fail_resolution(1);
        assert_eq!(desk.retry(of_other).await.unwrap_err().code(), "STORAGE");
        assert_eq!(balance_row(&rig.model, other).await, Some((1, 1, 0)));
        desk.retry(of_other).await.unwrap();
        assert_eq!(balance_row(&rig.model, other).await, Some((1, 1, 0)), "once");
        // The same with a command.
        let noted = desk.list(&all()).await.unwrap().remove(0);
        faults.fail_resolution(1);
        assert_eq!(desk.retry(noted.id).await.unwrap_err().code(), "STORAGE");
        desk.retry(noted.id).await.unwrap();
        let key = StreamKey::main("account", id);
        assert_eq!(events_of(runtime.storage(), &key).await.len(), 2, "deposited and noted, once each");
        assert!(desk.list(&all()).await.unwrap().is_empty());
        runtime.shutdown().await.unwrap();
    }

    /// The letter is resolved, and then the store does not say whether more wait: the stream goes on all the same.
    async fn j2_d2_a_stream_does_not_stay_parked_without_letters(store) {
        let (rig, faults) = (Rig::new(), Faults::new());
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 0, Trouble::Permanent);
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.settled().await;
        rig.balances.no_more_trouble(id, 0);
        let letter = runtime.dead_letters().list(&all()).await.unwrap().remove(0);
        faults.fail_oldest_parked(2);
        assert_eq!(runtime.dead_letters().retry(letter.id).await.unwrap_err().code(), "STORAGE");
        assert!(runtime.dead_letters().list(&all()).await.unwrap().is_empty(), "it is resolved");
        let receipt = runtime.send::<Account>(id, Deposit { amount: 10 }).sync(SyncMode::Simple).await.unwrap();
        assert!(receipt.missing().is_empty(), "{:?}", receipt.missing());
        assert_eq!(balance_row(&rig.model, id).await, Some((11, 2, 1)));
        runtime.shutdown().await.unwrap();
    }

    /// The read model is built anew, and an event fails again whose letter was resolved long ago.
    async fn d1_j2_work_that_fails_again_is_not_lost(store) {
        let rig = Rig::new();
        let (retried, discarded) = (Uuid::new_v4(), Uuid::new_v4());
        for id in [retried, discarded] {
            rig.balances.trouble(id, 0, Trouble::Permanent);
        }
        let runtime = rig.start(&store).await;
        for id in [retried, discarded] {
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
        runtime.settled().await;
        rig.balances.no_more_trouble(retried, 0);
        for letter in runtime.dead_letters().list(&all()).await.unwrap() {
            if letter.letter.cover.as_ref().unwrap().root_bytes() == Some(retried.into_bytes()) {
                runtime.dead_letters().retry(letter.id).await.unwrap();
            } else {
                runtime.dead_letters().discard(letter.id, "it was a test").await.unwrap();
            }
        }
        runtime.shutdown().await.unwrap();
        let rig = Rig { model: Rig::new().model, ..rig };
        rig.balances.trouble(retried, 0, Trouble::Permanent);
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        let open = runtime.dead_letters().list(&all()).await.unwrap();
        assert_eq!(open.len(), 1, "the decision to discard the other is kept");
        assert_eq!(open[0].letter.cover.as_ref().unwrap().root_bytes(), Some(retried.into_bytes()));
        let balances = runtime.subscriptions().into_iter().find(|status| status.name == "balances").unwrap();
        assert_eq!(balances.parked_streams, 1);
        // The discarded one is skipped, and its stream goes on.
        runtime.send::<Account>(discarded, Deposit { amount: 10 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, discarded).await, Some((10, 1, 1)));
        rig.balances.no_more_trouble(retried, 0);
        runtime.dead_letters().retry(open[0].id).await.unwrap();
        assert_eq!(balance_row(&rig.model, retried).await, Some((1, 1, 0)));
        runtime.shutdown().await.unwrap();
    }

    /// The read model is built anew while letters are open: what came before them is no part of the trouble.
    async fn j1_j2_events_before_a_parked_one_are_projected_again(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 3, Trouble::Permanent);
        let runtime = rig.start(&store).await;
        for amount in [1, 10, 100, 1_000, 10_000] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        runtime.settled().await;
        let of_balances = DeadLetterFilter { component: Some("balances".into()), ..all() };
        let letters = runtime.dead_letters().list(&of_balances).await.unwrap();
        assert_eq!(letters.len(), 2, "the third and the one behind it");
        runtime.shutdown().await.unwrap();
        let rig = Rig { model: Rig::new().model, ..rig };
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, id).await, Some((111, 3, 2)), "as before");
        assert_eq!(runtime.dead_letters().list(&of_balances).await.unwrap(), letters, "no letter more, each as it was");
        rig.balances.no_more_trouble(id, 3);
        runtime.dead_letters().retry(letters[0].id).await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((11_111, 5, 4)), "in order, each once");
        assert!(runtime.dead_letters().list(&all()).await.unwrap().is_empty());
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((11_112, 6, 5)));
        runtime.shutdown().await.unwrap();
    }

    /// An older event fails while a younger one is parked: the stream waits from there on, and goes on from there.
    async fn j2_an_older_event_that_fails_is_parked_before_the_younger(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 2, Trouble::Permanent);
        let runtime = rig.start(&store).await;
        for amount in [1, 10, 100] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        runtime.settled().await;
        runtime.shutdown().await.unwrap();
        let rig = Rig { model: Rig::new().model, ..rig };
        rig.balances.trouble(id, 1, Trouble::Permanent);
        let runtime = rig.start(&store).await;
        runtime.settled().await;
        assert_eq!(balance_row(&rig.model, id).await, Some((1, 1, 0)));
        let letters = runtime.dead_letters().list(&all()).await.unwrap();
        let of = |sequence: u32| {
            let mut found = letters.iter().filter(|letter| {
                let Some(Payload::RejectedEvents(book)) = &letter.letter.payload else { panic!("no events") };
                book.pages[0].sequence() == Some(sequence)
            });
            found.next().unwrap()
        };
        assert_eq!((letters.len(), of(1).attempts), (2, 1));
        assert!(runtime.dead_letters().retry(of(2).id).await.unwrap_err().to_string().contains("older"));
        rig.balances.no_more_trouble(id, 1);
        rig.balances.no_more_trouble(id, 2);
        runtime.dead_letters().retry(of(1).id).await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((111, 3, 2)));
        runtime.shutdown().await.unwrap();
    }

    /// A letter is retried while the read model is still being built: not before the older events of its stream.
    async fn j2_d2_a_retry_waits_until_the_projector_has_come_to_its_event(store) {
        let rig = Rig::new();
        let id = Uuid::new_v4();
        rig.balances.trouble(id, 1, Trouble::Permanent);
        let runtime = rig.start(&store).await;
        for amount in [1, 10] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        runtime.settled().await;
        runtime.shutdown().await.unwrap();
        let rig = Rig { model: Rig::new().model, ..rig };
        rig.balances.no_more_trouble(id, 1);
        let faults = Faults::new();
        faults.log_is_down(true);
        let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
        let letter = runtime.dead_letters().list(&all()).await.unwrap().remove(0);
        assert_eq!(runtime.dead_letters().retry(letter.id).await.unwrap_err().code(), "COMPONENT");
        assert_eq!(balance_row(&rig.model, id).await, None);
        faults.log_is_down(false);
        runtime.settled().await;
        runtime.dead_letters().retry(letter.id).await.unwrap();
        assert_eq!(balance_row(&rig.model, id).await, Some((11, 2, 1)));
        runtime.shutdown().await.unwrap();
    }

    /// An event that a saga could not handle.
    async fn d2_g2_an_event_of_a_saga_is_retried(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (from, never, to) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(from, SendMoney { copies: 2, ..money(to, "five") }).correlation("wf").await.unwrap();
        runtime.send::<Account>(never, money(to, "always")).await.unwrap();
        runtime.settled().await;
        let desk = runtime.dead_letters();
        let of = async |root: Uuid| {
            let letters = desk.list(&DeadLetterFilter { component: Some("courier".into()), ..all() }).await.unwrap();
            letters.into_iter().find(|it| it.letter.cover.as_ref().unwrap().root_bytes() == Some(root.into_bytes()))
        };
        let letter = of(from).await.unwrap();
        desk.retry(letter.id).await.unwrap();
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 10, "both commands");
        assert_eq!(of(from).await, None);
        assert_eq!(desk.retry(letter.id).await.unwrap_err().code(), "INVALID_ARGUMENT");
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 10);
        // One that fails again stays, and says how often it was tried.
        let letter = of(never).await.unwrap();
        assert_eq!(letter.attempts, 5);
        assert_eq!(desk.retry(letter.id).await.unwrap_err().code(), "COMPONENT");
        assert_eq!(of(never).await.unwrap().attempts, 10);
        runtime.shutdown().await.unwrap();
    }

    async fn d4_transient_errors_are_retried_permanent_ones_are_not(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let to = Uuid::new_v4();
        let details = async |from: Uuid, component: &str| {
            let filter = DeadLetterFilter { component: Some(component.into()), ..all() };
            let letters = runtime.dead_letters().list(&filter).await.unwrap();
            letters.into_iter().find(|it| it.letter.cover.as_ref().unwrap().root_bytes() == Some(from.into_bytes())).map(|it| {
                match it.letter.rejection_details {
                    Some(RejectionDetails::EventProcessingFailed(details)) => (details.retry_count, details.is_transient),
                    other => panic!("{other:?}"),
                }
            })
        };
        // Sagas.
        let (permanent, always, twice, panics) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        for (from, trouble) in [(permanent, "permanent"), (always, "always"), (twice, "twice"), (panics, "panic")] {
            runtime.send::<Account>(from, money(to, trouble)).await.unwrap();
        }
        runtime.settled().await;
        assert_eq!((rig.courier.tries(permanent, 0), details(permanent, "courier").await), (1, Some((0, false))));
        assert_eq!((rig.courier.tries(always, 0), details(always, "courier").await), (5, Some((4, true))));
        assert_eq!((rig.courier.tries(twice, 0), details(twice, "courier").await), (3, None));
        assert_eq!((rig.courier.tries(panics, 0), details(panics, "courier").await), (5, Some((4, true))));
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 5, "the one that worked in the end");
        // Projectors.
        let (permanent, always, twice) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        rig.journal.trouble(permanent, 0, Trouble::Permanent);
        rig.journal.trouble(always, 0, Trouble::Always);
        rig.journal.trouble(twice, 0, Trouble::Times(2));
        for id in [permanent, always, twice] {
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
        runtime.settled().await;
        assert_eq!((rig.journal.tries(permanent, 0), details(permanent, "journal").await), (1, Some((0, false))));
        assert_eq!((rig.journal.tries(always, 0), details(always, "journal").await), (5, Some((4, true))));
        assert_eq!((rig.journal.tries(twice, 0), details(twice, "journal").await), (3, None));
        assert_eq!(rig.journal.sequences(twice), [0]);
        runtime.shutdown().await.unwrap();
    }
}
