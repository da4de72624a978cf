//! T: views of the past, and what would be.

use angzarr_runtime::prelude::*;
use angzarr_runtime::storage::StreamRead;
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::{Code, Limits};
use angzarr_tests::account::Account;
use angzarr_tests::brittle::{Brittle, Strike};
use angzarr_tests::messages::*;
use angzarr_tests::rig::start;
use angzarr_tests::store::events_of;
use angzarr_tests::time::{ManualClock, at_second, time};
use angzarr_tests::{Faults, Rig, on_every_store};

on_every_store! {
    async fn t1_as_of_sequence_is_exactly_the_events_up_to_it(store) {
        let runtime = start(&store).await;
        let id = Uuid::new_v4();
        for amount in 1..=40 {
            runtime.send::<Account>(id, Deposit { amount }).await.unwrap();
        }
        for n in 0..40u32 {
            let state = runtime.state::<Account>(id).as_of_sequence(n).await.unwrap();
            assert_eq!(state.balance, i64::from((n + 1) * (n + 2) / 2));
            assert_eq!((state.next_sequence(), state.events), (n + 1, n + 1));
        }
        // Beyond the head there is nothing more.
        let state = runtime.state::<Account>(id).as_of_sequence(999).await.unwrap();
        assert_eq!((state.balance, state.next_sequence()), (820, 40));
        let nobody = runtime.state::<Account>(Uuid::new_v4()).as_of_sequence(3).await.unwrap();
        assert!(nobody.is_new());
        runtime.shutdown().await.unwrap();
    }

    /// With a clock that jumps about, "then" is still a prefix of the stream.
    async fn t1_as_of_time_is_always_a_prefix(store) {
        let clock = ManualClock::at(100);
        let runtime = store.describe(Rig::new().builder().clock(clock.clone())).build().await.unwrap();
        let id = Uuid::new_v4();
        for second in [100, 300, 200, 400, 50, 400, 401, 10, 500] {
            clock.set(second);
            runtime.send::<Account>(id, DepositMany { count: 3 }).await.unwrap();
        }
        let stored = events_of(runtime.storage(), &StreamKey::main("account", id)).await;
        let mut moments: Vec<i64> = (0..60).map(|n| n * 10_000_000_000).collect();
        moments.extend(stored.iter().flat_map(|event| [event.created_at - 1, event.created_at, event.created_at + 1]));
        for moment in moments {
            let up_to = stored.iter().take_while(|event| event.created_at <= moment).count();
            let all = stored.iter().filter(|event| event.created_at <= moment).count();
            assert_eq!(up_to, all, "not a prefix at {moment}");
            let state = runtime.state::<Account>(id).as_of_time(time(moment)).await.unwrap();
            assert_eq!((state.balance, state.next_sequence() as usize), (up_to as i64, up_to), "at {moment}");
            assert_eq!(state.last_event_at().is_some(), up_to > 0);
        }
        assert!(runtime.state::<Account>(id).as_of_time(at_second(1)).await.unwrap().is_new());
        runtime.shutdown().await.unwrap();
    }

    /// A store that loses an event, at the end or before it: a state without it would be wrong, so there is none.
    async fn t1_c9_a_hole_is_an_error_and_no_state(store) {
        let faults = Faults::new();
        let runtime = faults.describe(&store, Rig::new().builder().state_cache_bytes(0)).build().await.unwrap();
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, DepositMany { count: 5 }).await.unwrap();
        for lost in [0, 2, 4] {
            faults.lose(Some(lost));
            let deposit = runtime.preview::<Account>(id, Deposit { amount: 1 });
            for error in [runtime.state::<Account>(id).await.unwrap_err(), deposit.await.unwrap_err()] {
                assert_eq!((error.code(), error.status()), ("UNREADABLE_EVENT", Code::DataLoss), "{error}");
                assert!(error.facts().contains(&("sequence", lost.to_string())), "{error}");
            }
        }
        faults.lose(None);
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 5);
        runtime.shutdown().await.unwrap();
    }

    /// A snapshot from after the point must not serve the point.
    async fn t2_snapshots_never_show_the_future(store) {
        let clock = ManualClock::at(0);
        let runtime = store.describe(Rig::new().builder().clock(clock.clone())).build().await.unwrap();
        let id = Uuid::new_v4();
        // Snapshots behind events 15 and 31; all events of one moment before each of them.
        for n in 0..40 {
            clock.set(n / 10);
            runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
        }
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        let key = StreamKey::main("account", id);
        let snapshots = runtime.storage().snapshots(&key).await.unwrap();
        assert_eq!(snapshots.last().unwrap().sequence, 31);
        let stored = events_of(runtime.storage(), &key).await;
        for event in &stored {
            let (n, at) = (event.sequence, event.created_at);
            assert_eq!(runtime.state::<Account>(id).as_of_sequence(n).await.unwrap().balance, i64::from(n) + 1);
            let then = stored.iter().filter(|event| event.created_at <= at).count() as i64;
            assert_eq!(runtime.state::<Account>(id).as_of_time(time(at)).await.unwrap().balance, then);
        }
        // The store hands out the snapshot for the head, and only what follows it: it is really used.
        let snapshot = Some((snapshots[0].type_name.clone(), snapshots[0].state_version));
        let read = StreamRead { snapshot: snapshot.clone(), ..StreamRead::all() };
        let slice = runtime.storage().read_stream(&key, read).await.unwrap();
        assert_eq!((slice.snapshot.unwrap().sequence, slice.events.len()), (31, 8));
        let read = StreamRead { snapshot, to: Some(30), ..StreamRead::all() };
        let slice = runtime.storage().read_stream(&key, read).await.unwrap();
        assert!(slice.snapshot.is_none_or(|snapshot| snapshot.sequence <= 30));
        runtime.shutdown().await.unwrap();
    }

    async fn t3_a_preview_stores_nothing(store) {
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let id = Uuid::new_v4();
        runtime.send::<Account>(id, Deposit { amount: 10 }).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 20 }).await.unwrap();
        let head = runtime.storage().head();
        let would = runtime.preview::<Account>(id, Withdraw { amount: 25 }).await.unwrap();
        assert_eq!(would.events_of::<Withdrawn>().next().unwrap().balance_before, 30);
        assert_eq!(would.events()[0].sequence, 2);
        assert_eq!(would.events()[0].type_name.as_str(), "test.Withdrawn");
        // On a state of the past; the handler's refusal is told as ever.
        let refused = runtime.preview::<Account>(id, Withdraw { amount: 25 }).as_of_sequence(0).await.unwrap_err();
        assert_eq!(refused.rejection().unwrap().code(), "insufficient_funds");
        assert_eq!(runtime.preview::<Account>(id, Explode {}).await.unwrap_err().code(), "HANDLER_PANICKED");
        // On a stream that does not exist, and on a branch.
        let fresh = Uuid::new_v4();
        let would = runtime.preview::<Account>(fresh, DepositMany { count: 3 }).await.unwrap();
        assert_eq!(would.events().iter().map(|event| event.sequence).collect::<Vec<_>>(), [0, 1, 2]);
        let would = runtime.preview::<Account>(id, Withdraw { amount: 5 }).edition("what-if").await.unwrap();
        assert_eq!(would.events()[0].sequence, 2);
        // Nothing stored, nothing published, no snapshot, nothing left in the cached state.
        runtime.settled().await;
        assert_eq!(runtime.storage().head(), head);
        assert_eq!(rig.journal.sequences(id), [0, 1]);
        assert!(rig.journal.sequences(fresh).is_empty());
        assert_eq!(runtime.state::<Account>(id).await.unwrap().balance, 30);
        let real = runtime.send::<Account>(id, Withdraw { amount: 25 }).await.unwrap();
        assert_eq!(real.events_of::<Withdrawn>().next().unwrap().balance_before, 30);
        // What it promised is what came.
        assert_eq!(real.events()[0].sequence, 2);
        runtime.shutdown().await.unwrap();
    }

    /// What the pipeline would refuse, a preview refuses.
    async fn t3_l_a_preview_knows_the_limits(store) {
        let limits = Limits { payload_bytes: 20, events_per_command: 2, ..Limits::default() };
        let runtime = store.describe(Rig::new().builder().limits(limits)).build().await.unwrap();
        let id = Uuid::new_v4();
        macro_rules! same {
            ($command:expr) => {{
                let would = runtime.preview::<Account>(id, $command).await.unwrap_err();
                let real = runtime.send::<Account>(id, $command).await.unwrap_err();
                assert_eq!((would.code(), would.facts()), (real.code(), real.facts()));
                assert_eq!(would.code(), "LIMIT_EXCEEDED");
            }};
        }
        same!(Note { text: "x".repeat(40) });
        same!(NoteOfSize { bytes: 40 });
        same!(DepositMany { count: 3 });
        assert_eq!(runtime.preview::<Account>(id, DepositMany { count: 2 }).await.unwrap().events().len(), 2);
        // Nor does it take a snapshot, or leave a trace of a codec that breaks.
        for how in ["well", "well", "well"] {
            runtime.send::<Brittle>(id, Strike { how: how.into() }).await.unwrap();
        }
        runtime.preview::<Brittle>(id, Strike { how: "encode".into() }).await.unwrap();
        assert_eq!(runtime.statistics().failed_snapshots, 0);
        runtime.shutdown().await.unwrap();
    }
}
