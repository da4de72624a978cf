//! D3: a transport with topics also gets dead letters, whatever becomes of the process in between. What brokers make of
//! them is in `tests/transports`.

use angzarr_runtime::RelayStatus;
use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::eventually;
use angzarr_tests::{Faults, Rig, Store, Storm, on_every_store};

fn money(trouble: &str) -> SendMoney {
    let to = Uuid::new_v4().as_bytes().to_vec();
    SendMoney { to, amount: 5, copies: 1, trouble: trouble.into(), thank: Vec::new() }
}

async fn start(store: &Store, storm: &Storm, rig: &Rig) -> Runtime {
    store.describe(storm.over(rig.builder())).build().await.unwrap()
}

fn status(runtime: &Runtime) -> RelayStatus {
    runtime.relay().expect("the transport carries events")
}

/// Leaves a letter of a projector, about the only event of a stream.
async fn park(runtime: &Runtime, rig: &Rig) -> Uuid {
    let id = Uuid::new_v4();
    rig.balances.trouble(id, 0, Trouble::Permanent);
    runtime.send::<Account>(id, Deposit { amount: 3 }).await.unwrap();
    runtime.settled().await;
    id
}

async fn published(storm: &Storm, count: usize) {
    eventually("the letters are published", async || storm.letters().len() >= count).await;
}

fn told(letter: &(String, String, u32)) -> (&str, &str, u32) {
    (&letter.0, &letter.1, letter.2)
}

on_every_store! {
    async fn d3_each_kind_of_letter_comes_to_the_topic_of_its_domain(store) {
        let (storm, rig) = (Storm::new(), Rig::new());
        let runtime = start(&store, &storm, &rig).await;
        park(&runtime, &rig).await;
        published(&storm, 1).await;
        runtime.send::<Account>(Uuid::new_v4(), money("refused")).await.unwrap();
        published(&storm, 2).await;
        let manual = runtime.send::<Account>(Uuid::new_v4(), Freeze {}).expect_sequence(9).await.unwrap_err();
        assert_eq!(manual.code(), "DEAD_LETTERED");
        published(&storm, 3).await;
        let letters = storm.letters();
        assert_eq!(told(&letters[0]), ("account", "trouble for good", 1));
        assert_eq!(letters[1].0, "ledger");
        assert!(letters[1].1.contains("this ledger is closed"), "{letters:?}");
        assert_eq!((letters[2].0.as_str(), letters[2].2), ("account", 1));
        runtime.shutdown().await.unwrap();
        // Nothing is left to do for the next one.
        let runtime = start(&store, &storm, &rig).await;
        park(&runtime, &rig).await;
        published(&storm, 4).await;
        assert_eq!(storm.letters().len(), 4, "each once");
        runtime.shutdown().await.unwrap();
    }

    /// Stored, and not yet published when the process dies: by an outage, or by a death before the first try.
    async fn d3_a_crash_between_store_and_publish_loses_no_letter(store) {
        let (storm, rig) = (Storm::new(), Rig::new());
        // Nobody publishes letters here: the process dies before it comes to that.
        let runtime = rig.start(&store).await;
        park(&runtime, &rig).await;
        runtime.shutdown().await.unwrap();
        storm.down(true);
        let runtime = start(&store, &storm, &rig).await;
        park(&runtime, &rig).await;
        eventually("the status says why", async || status(&runtime).letters_stalled.is_some()).await;
        let reason = status(&runtime).letters_stalled.unwrap();
        assert!(reason.contains("TRANSPORT_UNAVAILABLE") && reason.contains("down on purpose"), "{reason}");
        eventually("both wait", async || status(&runtime).letters == 2).await;
        runtime.shutdown().await.unwrap();
        assert!(storm.letters().is_empty());
        storm.down(false);
        let runtime = start(&store, &storm, &rig).await;
        published(&storm, 2).await;
        eventually("nothing waits", async || status(&runtime).letters == 0).await;
        assert_eq!(status(&runtime).letters_stalled, None);
        runtime.shutdown().await.unwrap();
        assert_eq!(storm.letters().len(), 2);
    }

    /// Published, and the note of it lost.
    async fn d3_a_crash_between_publish_and_its_note_doubles_letters(store) {
        let (storm, rig, faults) = (Storm::new(), Rig::new(), Faults::new());
        faults.forget_checkpoints(true);
        let runtime = faults.describe(&store, storm.over(rig.builder())).build().await.unwrap();
        park(&runtime, &rig).await;
        published(&storm, 1).await;
        runtime.shutdown().await.unwrap();
        let runtime = start(&store, &storm, &rig).await;
        published(&storm, 2).await;
        runtime.shutdown().await.unwrap();
        let letters = storm.letters();
        assert_eq!(letters[0], letters[1]);
    }

    async fn d3_letters_wait_for_a_transport_that_is_down(store) {
        let (storm, rig) = (Storm::new(), Rig::new());
        let runtime = start(&store, &storm, &rig).await;
        storm.down(true);
        for _ in 0..3 {
            park(&runtime, &rig).await;
        }
        eventually("the status says why", async || status(&runtime).letters_stalled.is_some()).await;
        storm.down(false);
        published(&storm, 3).await;
        runtime.shutdown().await.unwrap();
        assert_eq!(storm.letters().len(), 3);
    }

    /// Letters are independent of each other, unlike events.
    async fn d3_a_letter_that_is_refused_holds_up_no_other(store) {
        let (storm, rig) = (Storm::new(), Rig::new());
        storm.refuse_letters("ledger");
        storm.down(true);
        let runtime = start(&store, &storm, &rig).await;
        runtime.send::<Account>(Uuid::new_v4(), money("refused")).await.unwrap();
        runtime.settled().await;
        park(&runtime, &rig).await;
        storm.down(false);
        published(&storm, 1).await;
        assert_eq!(storm.letters()[0].0, "account");
        let refused = async || status(&runtime).letters_stalled.is_some_and(|it| it.contains("TRANSPORT_REFUSED"));
        eventually("the status says why", refused).await;
        eventually("it alone waits", async || status(&runtime).letters == 1).await;
        runtime.shutdown().await.unwrap();
        storm.refuse_letters("");
        let runtime = start(&store, &storm, &rig).await;
        published(&storm, 2).await;
        assert_eq!(storm.letters()[1].0, "ledger", "it was not forgotten");
        runtime.shutdown().await.unwrap();
    }

    /// It is another failure of the same work.
    async fn d3_a_letter_of_work_that_failed_again_comes_again(store) {
        let (storm, rig) = (Storm::new(), Rig::new());
        let runtime = start(&store, &storm, &rig).await;
        park(&runtime, &rig).await;
        published(&storm, 1).await;
        let letter = runtime.dead_letters().list(&DeadLetterFilter::default()).await.unwrap().remove(0);
        runtime.dead_letters().retry(letter.id).await.unwrap_err();
        published(&storm, 2).await;
        runtime.shutdown().await.unwrap();
        let tries: Vec<u32> = storm.letters().iter().map(|it| it.2).collect();
        assert!(tries.len() == 2 && tries[0] < tries[1], "{tries:?}");
    }
}
