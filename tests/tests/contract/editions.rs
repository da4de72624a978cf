//! B: editions, as far as this version has them: writing and reading branches.

use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CoverExt as _};
use angzarr_runtime::storage::{EditionDiscard, Extras, Write};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::rig::{account, page, request, start};
use angzarr_tests::store::{assert_gapless, events_of, stored};
use angzarr_tests::{Faults, Rig, on_every_store};

fn branch(name: &str, root: Uuid) -> StreamKey {
    StreamKey { edition: name.into(), ..StreamKey::main("account", root) }
}

async fn balance(runtime: &Runtime, id: Uuid, edition: &str) -> (i64, u32) {
    let state = runtime.state::<Account>(id).edition(edition).await.unwrap();
    (state.balance, state.next_sequence())
}

on_every_store! {
    async fn b1_a_branch_leaves_where_its_first_event_is_written(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for amount in [10, 20, 30] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        // Before its first event, a branch is main.
        assert_eq!(balance(&runtime, id, "what-if").await, (60, 3));
        let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).edition("what-if").await.unwrap();
        assert_eq!(receipt.events()[0].sequence, 3, "it goes on where main was");
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 60);
        assert_eq!(receipt.stream(), &branch("what-if", id));
        // Main goes on; the branch does not see it.
        runtime.send::<Account>(id, Deposit { amount: 500 }).await.unwrap();
        assert_eq!(balance(&runtime, id, "what-if").await, (61, 4));
        assert_eq!(balance(&runtime, id, "").await, (560, 4));
        // The same without anything cached.
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        assert_eq!(balance(&runtime, id, "what-if").await, (61, 4));
        let receipt = runtime.send::<Account>(id, Deposit { amount: 2 }).edition("what-if").await.unwrap();
        assert_eq!(receipt.events()[0].sequence, 4);
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 61);
        // A branch of a root that main does not know begins at 0.
        let fresh = Uuid::new_v4();
        assert_eq!(runtime.send::<Account>(fresh, Deposit { amount: 5 }).edition("what-if").await.unwrap().next_sequence(), 1);
        assert_eq!(balance(&runtime, fresh, "").await, (0, 0));
        runtime.shutdown().await.unwrap();
    }

    /// Only an event that is stored makes a branch leave; a refused command does not.
    async fn b1_a_refused_first_command_fixes_nothing(store) {
        let runtime = start(&store).await;
        let (implicit, explicit) = (Uuid::new_v4(), Uuid::new_v4());
        for id in [implicit, explicit] {
            runtime.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
            runtime.send::<Account>(id, Deposit { amount: 20 }).await.unwrap();
        }
        // Refused, and then main goes on: the branch leaves where its first event is written.
        runtime.send::<Account>(implicit, Withdraw { amount: 99 }).edition("what-if").await.unwrap_err();
        runtime.send::<Account>(implicit, DoNothing {}).edition("what-if").await.unwrap();
        runtime.send::<Account>(implicit, Deposit { amount: 30 }).await.unwrap();
        let receipt = runtime.send::<Account>(implicit, Deposit { amount: 1 }).edition("what-if").await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 60);
        assert_eq!(receipt.events()[0].sequence, 3);
        // A place that a refused command named is not the place of the next one, that names none.
        let at_1 = Edition::named("what-if").diverge("account", 1);
        runtime.send::<Account>(explicit, Withdraw { amount: 99 }).edition(at_1).await.unwrap_err();
        let receipt = runtime.send::<Account>(explicit, Deposit { amount: 1 }).edition("what-if").await.unwrap();
        assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 30);
        assert_eq!(receipt.events()[0].sequence, 2);
        runtime.shutdown().await.unwrap();
    }

    /// A command that stores no event is remembered by its id, and fixes no place.
    async fn b1_c10_an_id_without_events_fixes_nothing(store) {
        let runtime = start(&store).await;
        let (implicit, explicit) = (Uuid::new_v4(), Uuid::new_v4());
        for id in [implicit, explicit] {
            runtime.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
            runtime.send::<Account>(id, Deposit { amount: 20 }).await.unwrap();
        }
        let at_1 = || Edition::named("what-if").diverge("account", 1);
        let nothing = async |id, edition: Edition| {
            runtime.send::<Account>(id, DoNothing {}).edition(edition).external_id("idle").await.unwrap().already_processed()
        };
        assert!(!nothing(implicit, Edition::named("what-if")).await);
        assert!(!nothing(explicit, at_1()).await);
        assert!(nothing(implicit, Edition::named("what-if")).await, "remembered");
        for id in [implicit, explicit] {
            runtime.send::<Account>(id, Deposit { amount: 30 }).await.unwrap();
            assert_eq!(balance(&runtime, id, "what-if").await, (60, 3));
            // Another id without events does not change that, whatever place it names.
            runtime.send::<Account>(id, DoNothing {}).edition(at_1()).external_id("idle-2").await.unwrap();
            let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).edition("what-if").await.unwrap();
            assert_eq!(receipt.events()[0].sequence, 3);
            assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, 60);
        }
        assert!(nothing(implicit, Edition::named("what-if")).await, "still remembered");
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        assert_eq!(balance(&runtime, explicit, "what-if").await, (61, 4));
        runtime.shutdown().await.unwrap();
    }

    async fn b2_an_explicit_divergence_sees_what_was_before_it(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for amount in [10, 20, 30] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        for (n, before) in [(0, 0), (1, 10), (2, 30), (3, 60)] {
            let name = format!("at-{n}");
            let edition = Edition::named(&name).diverge("account", n).diverge("ledger", 77);
            let past = runtime.state::<Account>(id).edition(edition.clone()).await.unwrap();
            assert_eq!((past.balance, past.next_sequence()), (before, n));
            let receipt = runtime.send::<Account>(id, Deposit { amount: 1 }).edition(edition.clone()).expect_sequence(n).await.unwrap();
            assert_eq!(receipt.events()[0].sequence, n);
            assert_eq!(receipt.events_of::<Deposited>().next().unwrap().balance_before, before);
            // From then on, naming the edition is enough; naming the same place again does no harm.
            assert_eq!(balance(&runtime, id, &name).await, (before + 1, n + 1));
            runtime.send::<Account>(id, Deposit { amount: 1 }).edition(edition).await.unwrap();
            assert_eq!(balance(&runtime, id, &name).await, (before + 2, n + 2));
        }
        // Beyond main's head there is nothing to leave.
        let edition = Edition::named("beyond").diverge("account", 4);
        let error = runtime.send::<Account>(id, Deposit { amount: 1 }).edition(edition.clone()).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        assert!(error.to_string().contains("3 events"), "{error}");
        runtime.state::<Account>(id).edition(edition).await.unwrap_err();
        assert!(events_of(runtime.storage(), &branch("beyond", id)).await.is_empty());
        // By the wire.
        let edition = proto::Edition::named("wired").diverge("account", 1);
        let cover = account(id).with_edition(edition);
        let response = runtime.handle_command(request(cover, [page(&Withdraw { amount: 10 })])).await.unwrap();
        let book = response.events.unwrap();
        assert_eq!(book.next_sequence, 2);
        assert_eq!(book.cover.unwrap().edition_name(), Some("wired"));
        let cover = account(id).with_edition(proto::Edition::named("wired-2").diverge("account", 1));
        let error = runtime.handle_command(request(cover, [page(&Withdraw { amount: 11 })])).await.unwrap_err();
        assert_eq!(error.rejection().unwrap().code(), "insufficient_funds");
        runtime.shutdown().await.unwrap();
    }

    /// Branches may look back: as-of reads cross the place where they left main.
    async fn b2_t1_the_past_of_a_branch(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for _ in 0..20 {
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
        let edition = Edition::named("late").diverge("account", 18);
        for _ in 0..20 {
            runtime.send::<Account>(id, Deposit { amount: 100 }).edition(edition.clone()).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        for n in 0..38u32 {
            let state = runtime.state::<Account>(id).edition("late").as_of_sequence(n).await.unwrap();
            let own = i64::from((n + 1).saturating_sub(18));
            assert_eq!(state.balance, i64::from(n + 1) - own + own * 100, "as of {n}");
            assert_eq!(state.next_sequence(), n + 1);
        }
        let stored = events_of(runtime.storage(), &branch("late", id)).await;
        let middle = &stored[9];
        let then = runtime.state::<Account>(id).edition("late").as_of_time(angzarr_tests::time::time(middle.created_at)).await.unwrap();
        let own = stored.iter().filter(|event| event.created_at <= middle.created_at).count() as i64;
        assert_eq!(then.balance, 18 + own * 100);
        runtime.shutdown().await.unwrap();
    }

    async fn b3_branch_and_main_never_show_each_other(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let (id, to) = (Uuid::new_v4(), Uuid::new_v4());
        runtime.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 7 }).edition("what-if").await.unwrap();
        let money = SendMoney { to: to.as_bytes().to_vec(), amount: 2, copies: 1, ..Default::default() };
        runtime.send::<Account>(id, money).edition("what-if").await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 100 }).await.unwrap();
        runtime.settled().await;
        assert_eq!(balance(&runtime, id, "").await, (110, 2));
        assert_eq!(balance(&runtime, id, "angzarr").await, (110, 2), "another spelling of main");
        assert_eq!(balance(&runtime, id, "what-if").await, (15, 3));
        assert_gapless(&events_of(runtime.storage(), &StreamKey::main("account", id)).await);
        // What the saga did for the branch stayed in the branch.
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 0);
        assert_eq!(runtime.state::<Ledger>(to).edition("what-if").await.unwrap().total, 2);
        // Two branches of one stream.
        runtime.send::<Account>(id, Deposit { amount: 1 }).edition("other").await.unwrap();
        assert_eq!(balance(&runtime, id, "other").await, (111, 3));
        assert_eq!(balance(&runtime, id, "what-if").await, (15, 3));
        runtime.shutdown().await.unwrap();
    }

    /// A domain that is named twice leaves at two places: nobody chooses between them.
    async fn b2_b7_an_edition_names_a_domain_once(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for amount in [10, 20, 30] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        let double = Edition::named("twice").diverge("account", 1).diverge("ledger", 2).diverge("account", 2);
        let at = proto::DomainDivergence { domain: "account".into(), sequence: 1 };
        let wired = proto::Edition { name: "twice".into(), divergences: vec![at.clone(), at] };
        for error in [
            runtime.send::<Account>(id, Deposit { amount: 1 }).edition(double.clone()).await.unwrap_err(),
            runtime.state::<Account>(id).edition(double).await.unwrap_err(),
            runtime
                .handle_command(request(account(id).with_edition(wired), [page(&Deposit { amount: 1 })]))
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.code(), "INVALID_ARGUMENT");
            assert_eq!(error.facts()[0], ("field", "cover.edition.divergences".to_owned()));
            assert!(error.to_string().contains("`account` is there twice"), "{error}");
        }
        assert!(events_of(runtime.storage(), &branch("twice", id)).await.is_empty());
        runtime.shutdown().await.unwrap();
    }

    async fn b7_a_stream_leaves_main_once(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for amount in [10, 20, 30] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        let at = |n| Edition::named("bonus").diverge("account", n);
        runtime.send::<Account>(id, Deposit { amount: 1 }).edition(at(2)).await.unwrap();
        let mut runtime = runtime;
        for restarted in [false, true] {
            if restarted {
                runtime.shutdown().await.unwrap();
                runtime = start(&store).await;
            }
            for n in [0, 1, 3, 9] {
                let error = runtime.send::<Account>(id, Deposit { amount: 1 }).edition(at(n)).await.unwrap_err();
                assert_eq!(error.code(), "INVALID_ARGUMENT", "at {n}, restarted: {restarted}");
                assert!(error.to_string().contains("left the main timeline at 2"), "{error}");
            }
            runtime.send::<Account>(id, Deposit { amount: 1 }).edition(at(2)).await.unwrap();
        }
        // One that left without saying where has its place as well.
        runtime.send::<Account>(id, Deposit { amount: 1 }).edition("silent").await.unwrap();
        let error = runtime
            .send::<Account>(id, Deposit { amount: 1 })
            .edition(Edition::named("silent").diverge("account", 1))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        runtime.send::<Account>(id, Deposit { amount: 1 }).edition(Edition::named("silent").diverge("account", 3)).await.unwrap();
        runtime.shutdown().await.unwrap();
    }

    /// Many first commands of one branch, with different ideas of where it leaves: one idea wins, the others are refused.
    async fn b7_c9_a_race_for_the_place_of_the_divergence(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for amount in [10, 20, 30] {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        let callers = (0..12u32).map(|n| {
            let runtime = runtime.clone();
            let edition = Edition::named("race").diverge("account", n % 4);
            tokio::spawn(async move { (n % 4, runtime.send::<Account>(id, Deposit { amount: 1 }).edition(edition).await) })
        });
        let mut winners = std::collections::BTreeSet::new();
        for caller in futures_util::future::join_all(callers).await {
            match caller.unwrap() {
                (at, Ok(_)) => drop(winners.insert(at)),
                (_, Err(error)) => assert_eq!(error.code(), "INVALID_ARGUMENT"),
            }
        }
        assert_eq!(winners.len(), 1);
        let at = *winners.first().unwrap();
        let own = events_of(runtime.storage(), &branch("race", id)).await;
        assert_eq!(own.len(), 3);
        assert_eq!(own[0].sequence, at);
        let before = [0, 10, 30, 60][at as usize];
        assert_eq!(balance(&runtime, id, "race").await, (before + 3, at + 3));
        runtime.shutdown().await.unwrap();
    }

    /// The newest events are gone: nobody waits for what will never come.
    async fn b5_r4_subscribers_get_over_what_was_discarded(store) {
        let id = Uuid::new_v4();
        let event = || vec![stored(&Deposited::default(), 1)];
        store.plant(&StreamKey::main("account", id), event()).await;
        store.plant(&branch("gone", id), event()).await;
        let storage = store.open().await;
        let discards = vec![EditionDiscard { edition: "gone".into(), domain: None, at: 1 }];
        for outcome in storage.commit(vec![Write::extras(Extras { discards, ..Extras::default() })]).await {
            outcome.unwrap();
        }
        storage.close().await.unwrap();
        drop(storage);
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        tokio::time::timeout(Duration::from_secs(20), runtime.settled()).await.expect("everybody gets to the head");
        for status in runtime.subscriptions() {
            assert_eq!((status.position, status.lag), (2, 0), "{}", status.name);
        }
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.settled().await;
        runtime.shutdown().await.unwrap();
    }

    /// A branch that leaves main where main's state is at hand begins with a copy of it; one that leaves it earlier does not.
    async fn b1_b2_b3_a_branch_begins_with_the_state_that_main_has_at_hand(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder()).build().await.unwrap();
        let id = Uuid::new_v4();
        for _ in 0..5 {
            runtime.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
        }
        runtime.settled().await;
        let before = faults.events_read();
        runtime.send::<Account>(id, Withdraw { amount: 50 }).edition("here").await.unwrap();
        let explicit = Edition::named("explicit").diverge("account", 5);
        runtime.send::<Account>(id, Withdraw { amount: 49 }).edition(explicit).await.unwrap();
        assert_eq!(faults.events_read(), before, "nothing was read for them");
        let earlier = Edition::named("earlier").diverge("account", 2);
        let refused = runtime.send::<Account>(id, Withdraw { amount: 21 }).edition(earlier.clone()).await.unwrap_err();
        assert_eq!(refused.rejection().unwrap().code(), "insufficient_funds");
        runtime.send::<Account>(id, Withdraw { amount: 20 }).edition(earlier).await.unwrap();
        assert!(faults.events_read() > before, "that past is not at hand");
        // Each has a state of its own.
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 2 }).edition("here").await.unwrap();
        for (edition, known) in [("", (51, 6)), ("here", (2, 7)), ("explicit", (1, 6)), ("earlier", (0, 3))] {
            assert_eq!(balance(&runtime, id, edition).await, known, "{edition}");
        }
        let beyond = Edition::named("beyond").diverge("account", 7);
        let error = runtime.send::<Account>(id, Deposit { amount: 1 }).edition(beyond).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        runtime.shutdown().await.unwrap();
    }
}
