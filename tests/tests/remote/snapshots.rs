//! Snapshots of aggregates elsewhere: rows N, and T2 and U1 with them.

use angzarr_runtime::Builder;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, CommandPageExt as _, EventPageExt as _};
use angzarr_runtime::remote::Remote;
use angzarr_runtime::storage::Sqlite;
use angzarr_runtime::stream::StreamKey;
use tonic::Status;

use crate::domain::*;
use crate::elsewhere::*;

fn total(snapshot: Option<&proto::Snapshot>, pages: &[proto::EventPage]) -> u32 {
    let base = snapshot.map_or(0, |it| it.state.as_ref().unwrap().unpack::<View>().unwrap().total);
    base + pages.iter().filter_map(|it| it.decode::<Stowed>().ok()).map(|it| it.quantity).sum::<u32>()
}

/// Decides on its total: `Stow(n)` stows n pieces, one event each; `Take(n)` is answered by a rejection that says the total.
fn counting() -> Handler {
    let handler = Handler::new(|asked: &proto::ContextualCommand| {
        let history = asked.events.as_ref().unwrap();
        let held = total(history.snapshot.as_ref(), &history.pages);
        let Ok(Stow { quantity }) = asked.command.as_ref().unwrap().pages[0].decode() else {
            return Err(Status::failed_precondition(format!("held: {held}")));
        };
        let pages = (0..quantity).map(|_| event(&Stowed { quantity: 1 })).collect();
        Ok(proto::BusinessResponse { result: Some(proto::business_response::Result::Events(book(pages))) })
    });
    let replays = Component::new(|asked: &proto::ReplayRequest| {
        let view = View { total: total(asked.base_snapshot.as_ref(), &asked.events) };
        Ok(proto::ReplayResponse { state: Some(prost_types::Any::pack(&view)) })
    });
    Handler { replays, ..handler }
}

fn root() -> Uuid {
    Uuid::from_u128(7)
}

async fn stow(runtime: &Runtime, quantity: u32) {
    runtime.handle_command(request(command("stock", root(), &Stow { quantity }))).await.unwrap();
}

/// What the component thinks is there.
async fn held(runtime: &Runtime) -> u32 {
    let refused = runtime.handle_command(request(command("stock", root(), &Take { quantity: 1 }))).await.unwrap_err();
    refused.rejection().expect("a rejection").reason().parse().expect("a total")
}

fn history(asked: &proto::ContextualCommand) -> (Option<u32>, usize) {
    let events = asked.events.as_ref().unwrap();
    (events.snapshot.as_ref().map(|it| it.sequence), events.pages.len())
}

fn builder(there: &Served, how: impl Fn(Remote) -> Remote) -> Builder {
    Runtime::builder().remote_aggregate("stock", how(Remote::at(there.url())))
}

async fn stored(runtime: &Runtime) -> Vec<u32> {
    let snapshots = runtime.storage().snapshots(&StreamKey::main("stock", root())).await.unwrap();
    snapshots.iter().map(|it| it.sequence).collect()
}

#[tokio::test]
async fn n1_n6_commands_come_with_the_newest_snapshot_and_what_follows_it() {
    let stock = counting();
    let there = aggregate_on(anywhere(), &stock).await;
    let runtime = builder(&there, |at| at.snapshot(4)).build().await.unwrap();
    for n in 1..=30 {
        stow(&runtime, 1 + n % 3).await;
    }
    assert_eq!(held(&runtime).await, (1..=30).map(|n| 1 + n % 3).sum::<u32>(), "as a plain replay has it");
    for asked in stock.commands.asked() {
        let ((snapshot, pages), next) = (history(&asked), asked.events.as_ref().unwrap().next_sequence);
        assert!(pages < 4, "{pages} pages at {next}");
        assert_eq!(snapshot.map_or(0, |at| at + 1) as usize + pages, next as usize, "nothing is missing or doubled");
        assert_eq!(snapshot.is_some(), next >= 4);
    }
    let replayed: usize = stock.replays.asked().iter().map(|it| it.events.len()).sum();
    let newest = stored(&runtime).await;
    assert_eq!(newest, [replayed as u32 - 1], "each event is replayed once, and the newest snapshot stays");
    // Whoever asks for the book gets the component's own state.
    let mut late = command("stock", root(), &Stow { quantity: 1 });
    late.pages[0].header = Some(proto::PageHeaderExt::at(1));
    let refused = runtime.handle_command(request(late)).await.unwrap_err();
    let fresh = refused.event_book().expect("the fresh book");
    assert_eq!(total(fresh.snapshot.as_ref(), &fresh.pages), 60);
    assert!(fresh.pages.len() < 4);
    runtime.shutdown().await.unwrap();
}

/// A long stream is sent whole once, in portions, and to `Replay`; whatever was stored before the policy was, and across restarts.
#[tokio::test]
async fn n1_a_stream_of_ten_thousand_events_is_not_sent_with_each_command() {
    let directory = tempfile::tempdir().unwrap();
    let store = || Sqlite::open(directory.path().join("events.db"));
    let stock = counting();
    let there = aggregate_on(anywhere(), &stock).await;
    {
        let runtime = builder(&there, |at| at).storage(store()).build().await.unwrap();
        for _ in 0..10 {
            stow(&runtime, 1_000).await;
        }
        runtime.shutdown().await.unwrap();
    }
    let before = stock.commands.asked().len();
    let run = async || builder(&there, |at| at.snapshot(100)).storage(store()).build().await.unwrap();
    let runtime = run().await;
    // A command that is refused stores nothing, but the snapshot is not lost with it.
    assert_eq!(held(&runtime).await, 10_000);
    let portions: Vec<usize> = stock.replays.asked().iter().map(|it| it.events.len()).collect();
    assert_eq!(portions, [1_000; 10]);
    assert_eq!(stored(&runtime).await, [9_999]);
    stow(&runtime, 60).await;
    runtime.shutdown().await.unwrap();
    let runtime = run().await;
    assert_eq!(held(&runtime).await, 10_060);
    for _ in 0..5 {
        stow(&runtime, 60).await;
    }
    assert_eq!(held(&runtime).await, 10_360);
    let asked = stock.commands.asked().split_off(before);
    let pages: usize = asked.iter().map(|it| history(it).1).sum();
    let bytes: usize = asked.iter().map(prost::Message::encoded_len).sum();
    assert!(pages <= asked.len() * 100 && bytes < 100_000, "{pages} pages, {bytes} bytes in {} calls", asked.len());
    assert_eq!(stock.replays.asked().len(), 13, "every second command from then on");
    runtime.shutdown().await.unwrap();
}

/// Row N4: one of another shape is ignored, and one that its component cannot read.
#[tokio::test]
async fn n4_what_cannot_be_used_is_no_snapshot() {
    let store = Memory::new();
    let stock = counting();
    let there = aggregate_on(anywhere(), &stock).await;
    let run = async |there: &Served, version: u32| {
        let builder = builder(there, |at| at.snapshot(4).state_version(version));
        builder.storage(store.clone()).build().await.unwrap()
    };
    let runtime = run(&there, 1).await;
    for _ in 0..6 {
        stow(&runtime, 1).await;
    }
    runtime.shutdown().await.unwrap();
    // The whole history goes to `Replay` again.
    let runtime = run(&there, 2).await;
    assert_eq!(held(&runtime).await, 6);
    let last = stock.replays.asked().pop().unwrap();
    assert_eq!((last.base_snapshot, last.events.len()), (None, 6));
    runtime.shutdown().await.unwrap();

    // A component that has forgotten how to read its old states: it asks for the history, and makes a new one of it.
    let forgetful = Handler::new({
        let stock = counting();
        move |asked: &proto::ContextualCommand| {
            let snapshot = asked.events.as_ref().unwrap().snapshot.as_ref();
            if snapshot.is_some_and(|it| !it.state.as_ref().unwrap().type_url.ends_with("Counted")) {
                return Err(Status::data_loss("what is a View?"));
            }
            let mut asked = asked.clone();
            if let Some(state) = asked.events.as_mut().unwrap().snapshot.as_mut().and_then(|it| it.state.as_mut()) {
                let Counted { quantity } = state.unpack().unwrap();
                *state = prost_types::Any::pack(&View { total: quantity });
            }
            stock.commands.does(&asked)
        }
    });
    let replays = Component::new(|asked: &proto::ReplayRequest| match &asked.base_snapshot {
        Some(_) => Err(Status::data_loss("what is a View?")),
        None => {
            let state = Counted { quantity: total(None, &asked.events) };
            Ok(proto::ReplayResponse { state: Some(prost_types::Any::pack(&state)) })
        }
    });
    let forgetful = Handler { replays, ..forgetful };
    let there = aggregate_on(anywhere(), &forgetful).await;
    let runtime = run(&there, 2).await;
    assert_eq!(held(&runtime).await, 6);
    let asked: Vec<_> = forgetful.commands.asked().iter().map(history).collect();
    assert_eq!(asked, [(Some(5), 0), (Some(5), 0)], "refused, and then on the new one");
    // The store keeps one snapshot of a place; behind the next event there is room for the new one.
    stow(&runtime, 1).await;
    assert_eq!(held(&runtime).await, 7);
    let before = forgetful.commands.asked().len();
    assert_eq!(held(&runtime).await, 7);
    let asked: Vec<_> = forgetful.commands.asked().iter().map(history).collect();
    assert_eq!(asked[before..], [(Some(6), 0)]);
    runtime.shutdown().await.unwrap();
}

/// Without `Replay`, or with one that fails, everything works as it did: with the whole history.
#[tokio::test]
async fn n4_a_component_without_replay_gets_every_event() {
    for status in [Status::unimplemented("no replay"), Status::internal("KeyError")] {
        let replays = Component::new(move |_: &proto::ReplayRequest| Err(status.clone()));
        let stock = Handler { replays, ..counting() };
        let there = aggregate_on(anywhere(), &stock).await;
        let runtime = builder(&there, |at| at.snapshot(4)).build().await.unwrap();
        for _ in 0..16 {
            stow(&runtime, 1).await;
        }
        assert_eq!(held(&runtime).await, 16);
        assert_eq!(history(&stock.commands.asked().pop().unwrap()), (None, 16));
        assert_eq!(stored(&runtime).await, [0; 0]);
        assert_eq!(stock.replays.asked().len(), 4, "asked for again after as many events, not with each command");
        assert_eq!(runtime.statistics().failed_snapshots, 4);
        runtime.shutdown().await.unwrap();
    }
}

/// Rows U1, T2: a snapshot is made of events as they are today, and a point before it is decided on without it.
#[tokio::test]
async fn u1_t2_a_snapshot_is_made_of_events_as_they_are_today() {
    // What was stowed as 1 is a dozen today.
    let dozens: Upcaster = Component::new(|asked: &proto::UpcastRequest| {
        let today = |page: &proto::EventPage| match page.schema_version_or_one() {
            1 => proto::EventPage { payload: event(&Stowed { quantity: 12 }).payload, ..page.clone() },
            _ => page.clone(),
        };
        Ok(proto::UpcastResponse { events: asked.events.iter().map(today).collect() })
    });
    let stock = counting();
    let there = (aggregate_on(anywhere(), &stock).await, upcaster_on(anywhere(), &dozens).await);
    let runtime = builder(&there.0, |at| at.snapshot(3)).remote_upcaster("stock", there.1.url()).build().await.unwrap();
    for _ in 0..8 {
        stow(&runtime, 1).await;
    }
    assert_eq!(held(&runtime).await, 96);
    assert!(!stored(&runtime).await.is_empty());
    // On a branch that left main before the snapshot was made.
    let mut branched = request(command("stock", root(), &Take { quantity: 1 }));
    let divergences = vec![proto::DomainDivergence { domain: "stock".into(), sequence: 2 }];
    branched.command.as_mut().unwrap().cover.as_mut().unwrap().edition =
        Some(proto::Edition { name: "what-if".into(), divergences });
    let refused = runtime.handle_command(branched).await.unwrap_err();
    assert_eq!(refused.rejection().unwrap().reason(), "24");
    runtime.shutdown().await.unwrap();
}

#[tokio::test]
async fn only_aggregates_have_them() {
    let there = || Remote::at("http://127.0.0.1:1").snapshot(3);
    let builder = Runtime::builder().remote_process_manager("checkout", ["order"], there());
    let told = builder.remote_saga("stower", "order", there()).build().await.unwrap_err().to_string();
    assert!(told.contains("`checkout` cannot have snapshots") && told.contains("`stower` cannot"), "{told}");
}
