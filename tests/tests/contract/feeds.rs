//! R7 in code of one's own: a feed hands out each event once, in the order of its stream, whatever the transport does.

use std::collections::BTreeMap;
use std::time::Duration;

use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::{LogEvent, StreamKey};
use angzarr_runtime::{Code, Feed};
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::rig::eventually;
use angzarr_tests::store::{plant, stored};
use angzarr_tests::{Faults, Rig, Store, Storm, Weather, on_every_store};
use tokio::time::timeout;

async fn deposits(runtime: &Runtime, id: Uuid, count: usize) {
    for _ in 0..count {
        runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    }
}

fn money(to: Uuid) -> SendMoney {
    SendMoney { to: to.as_bytes().to_vec(), amount: 5, copies: 1, ..Default::default() }
}

async fn start(store: &Store, storm: &Storm) -> Runtime {
    store.describe(storm.over(Rig::new().builder())).build().await.unwrap()
}

async fn next(feed: &mut Feed) -> LogEvent {
    timeout(Duration::from_secs(20), feed.next()).await.expect("an event comes").expect("it can be read")
}

/// What a feed hands out until there is nothing more. It is asked with little patience, so that it is often interrupted.
async fn rest(feed: &mut Feed) -> Vec<LogEvent> {
    let mut seen = Vec::new();
    eventually("the feed is at the head", async || {
        while let Ok(event) = timeout(Duration::from_millis(1), feed.next()).await {
            seen.push(event.expect("it can be read"));
        }
        feed.lag() == 0
    })
    .await;
    seen
}

/// Everything that is still under way has come, and none of it is handed out.
async fn nothing_more(feed: &mut Feed, storm: &Storm) {
    eventually("every message has come", async || {
        assert!(timeout(Duration::from_millis(1), feed.next()).await.is_err(), "an event comes again");
        storm.is_over()
    })
    .await;
}

/// The sequences of each stream, in the order in which they came.
fn by_stream(events: &[LogEvent]) -> BTreeMap<StreamKey, Vec<u32>> {
    let mut streams: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for LogEvent { stream, event } in events {
        streams.entry(stream.clone()).or_default().push(event.sequence);
    }
    streams
}

/// The sequences of the only stream.
fn sequences(events: &[LogEvent]) -> Vec<u32> {
    let streams = by_stream(events);
    assert!(streams.len() <= 1, "{streams:?}");
    streams.into_values().next().unwrap_or_default()
}

/// What the log has, as a feed should hand it out.
async fn log_by_stream(runtime: &Runtime, wanted: impl Fn(&LogEvent) -> bool) -> BTreeMap<StreamKey, Vec<u32>> {
    let log = runtime.storage().read_log(0, usize::MAX, usize::MAX).await.unwrap();
    by_stream(&log.into_iter().filter(|event| !event.event.isolated && wanted(event)).collect::<Vec<_>>())
}

on_every_store! {
    /// Writers, sagas, isolated events and editions, under a transport that does everything wrong at once.
    async fn r7_a_storm_loses_and_doubles_nothing_and_keeps_every_stream_in_order(store) {
        for seed in 1..=6 {
            let storm = Storm::with(seed, Weather::storm());
            let store = store.another();
            let runtime = start(&store, &storm).await;
            let mut everything = runtime.feed("everything").every_edition().await.unwrap();
            let mut ledgers = runtime.feed("ledgers").domains(["ledger"]).await.unwrap();
            let writers: Vec<_> = (0..4).map(|writer| {
                let runtime = runtime.clone();
                tokio::spawn(async move {
                    let ids = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
                    for n in 0..20usize {
                        let id = ids[n % 3];
                        let edition = Edition::named(if n % 5 == 4 { "what-if" } else { "" });
                        let mode = if n % 7 == 3 { SyncMode::Isolated } else { SyncMode::Async };
                        runtime.send::<Account>(id, Deposit { amount: 9 }).sync(mode).edition(edition).await.unwrap();
                        if n % 4 == writer {
                            runtime.send::<Account>(id, money(root("ledger", writer.to_string()))).await.unwrap();
                        }
                    }
                })
            }).collect();
            let mut seen = Vec::new();
            for _ in 0..30 {
                seen.push(next(&mut everything).await);
            }
            for writer in writers {
                writer.await.unwrap();
            }
            runtime.settled().await;
            seen.extend(rest(&mut everything).await);
            assert_eq!(by_stream(&seen), log_by_stream(&runtime, |_| true).await, "seed {seed}");
            let ledgers = rest(&mut ledgers).await;
            let wanted = |event: &LogEvent| event.stream.domain.as_str() == "ledger";
            assert_eq!(by_stream(&ledgers), log_by_stream(&runtime, wanted).await, "seed {seed}");
            assert_eq!(ledgers.len(), 20);
            runtime.shutdown().await.unwrap();
        }
    }

    /// Late doubles do not come again, whenever they come.
    async fn r7_what_was_seen_is_dropped(store) {
        let storm = Storm::with(3, Weather { doubles: 100, delays: 30, ..Weather::default() });
        let runtime = start(&store, &storm).await;
        let mut feed = runtime.feed("it").await.unwrap();
        let id = Uuid::new_v4();
        deposits(&runtime, id, 40).await;
        assert_eq!(sequences(&rest(&mut feed).await), (0..40).collect::<Vec<_>>());
        nothing_more(&mut feed, &storm).await;
        assert!(storm.acknowledged() >= 80, "they have come twice, and every message was acknowledged");
        runtime.shutdown().await.unwrap();
    }

    /// The hole is filled from its stream at once; nobody waits for what is lost.
    async fn r7_a_hole_in_a_stream_is_filled_from_storage(store) {
        let (storm, faults, id) = (Storm::new(), Faults::new(), Uuid::new_v4());
        let runtime = faults.describe(&store, storm.over(Rig::new().builder())).build().await.unwrap();
        let mut feed = runtime.feed("it").await.unwrap();
        storm.lose([1, 2]);
        deposits(&runtime, id, 1).await;
        assert_eq!(next(&mut feed).await.event.sequence, 0);
        let before = faults.events_read();
        // All at once, so that nothing is late before the last one is there.
        runtime.send::<Account>(id, DepositMany { count: 3 }).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(next(&mut feed).await);
        }
        assert_eq!(sequences(&seen), [1, 2, 3]);
        assert_eq!(faults.events_read() - before, 3, "the stream was read where it was missing");
        runtime.shutdown().await.unwrap();
    }

    /// Not even the last message of a stream, behind which no hole shows.
    async fn r7_a_feed_learns_of_everything_even_if_no_message_comes(store) {
        let storm = Storm::with(1, Weather { loses: 100, ..Weather::default() });
        let runtime = start(&store, &storm).await;
        let mut feed = runtime.feed("it").await.unwrap();
        let id = Uuid::new_v4();
        for n in 0..3 {
            deposits(&runtime, id, 5).await;
            assert_eq!(sequences(&rest(&mut feed).await), (n * 5..n * 5 + 5).collect::<Vec<_>>());
        }
        assert_eq!(storm.acknowledged(), 0);
        assert!(feed.trouble().is_none());
        runtime.shutdown().await.unwrap();
    }

    /// A message far ahead of what was seen: more is missing than is read from one stream.
    async fn r7_a_hole_of_any_size_is_filled(store) {
        let (storm, id, other) = (Storm::new(), Uuid::new_v4(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        storm.lose(0..1_200);
        let mut known = runtime.feed("it").await.unwrap();
        for _ in 0..13 {
            runtime.send::<Account>(id, DepositMany { count: 100 }).await.unwrap();
        }
        deposits(&runtime, other, 1).await;
        let seen = by_stream(&rest(&mut known).await);
        assert_eq!(seen[&StreamKey::main("account", id)], (0..1_300).collect::<Vec<_>>());
        assert_eq!(seen[&StreamKey::main("account", other)], [0]);
        runtime.shutdown().await.unwrap();
    }

    async fn r7_a_slow_consumer_misses_messages_and_no_event(store) {
        let runtime = store.describe(Rig::new().builder().transport(Local::carrying_events())).build().await.unwrap();
        let mut feed = runtime.feed("slow").await.unwrap();
        let id = Uuid::new_v4();
        for _ in 0..30 {
            runtime.send::<Account>(id, DepositMany { count: 100 }).await.unwrap();
        }
        eventually("all of it is published", async || runtime.relay().unwrap().lag == 0).await;
        assert_eq!(sequences(&rest(&mut feed).await), (0..3_000).collect::<Vec<_>>());
        deposits(&runtime, id, 1).await;
        assert_eq!(next(&mut feed).await.event.sequence, 3_000);
        runtime.shutdown().await.unwrap();
    }

    async fn r7_a_stream_that_was_forgotten_is_looked_up_again(store) {
        let storm = Storm::with(5, Weather { delays: 60, doubles: 30, reorders: 100, ..Weather::default() });
        let runtime = start(&store, &storm).await;
        let mut feeds = Vec::new();
        for streams in [0, 1, 3] {
            feeds.push(runtime.feed(format!("{streams}")).remember_streams(streams).await.unwrap());
        }
        let ids: Vec<_> = (0..20).map(|_| Uuid::new_v4()).collect();
        for _ in 0..10 {
            for id in &ids {
                deposits(&runtime, *id, 1).await;
            }
        }
        for feed in &mut feeds {
            assert_eq!(by_stream(&rest(feed).await), log_by_stream(&runtime, |_| true).await);
        }
        runtime.shutdown().await.unwrap();
    }

    /// The relay publishes again what a feed has seen, behind a start in the middle.
    async fn r2_r7_a_kill_between_publishing_and_the_cursor_shows_no_event_twice(store) {
        let (storm, faults, id) = (Storm::new(), Faults::new(), Uuid::new_v4());
        faults.forget_checkpoints(true);
        let runtime = faults.describe(&store, storm.over(Rig::new().builder())).build().await.unwrap();
        let mut feed = runtime.feed("it").await.unwrap();
        deposits(&runtime, id, 8).await;
        for n in 0..5 {
            assert_eq!(next(&mut feed).await.event.sequence, n);
        }
        let position = feed.position();
        assert_eq!(position, 5);
        eventually("all of it is published", async || runtime.relay().unwrap().lag == 0).await;
        drop(feed);
        runtime.shutdown().await.unwrap();
        let runtime = start(&store, &storm).await;
        // Whether the old messages come before it listens is left to chance; the new process publishes all of them.
        let mut feed = runtime.feed("it").after(position).await.unwrap();
        deposits(&runtime, id, 3).await;
        assert_eq!(sequences(&rest(&mut feed).await), [5, 6, 7, 8, 9, 10]);
        eventually("all of it is published", async || runtime.relay().unwrap().lag == 0).await;
        assert_eq!(storm.positions(), (1..=8).chain(1..=11).collect::<Vec<_>>());
        runtime.shutdown().await.unwrap();
    }

    /// The relay waits for the transport; the feed does not.
    async fn r7_a_feed_goes_on_from_the_store_while_the_transport_is_down(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        let mut feed = runtime.feed("it").await.unwrap();
        deposits(&runtime, id, 2).await;
        assert_eq!(sequences(&rest(&mut feed).await), [0, 1]);
        storm.down(true);
        deposits(&runtime, id, 2).await;
        assert_eq!(sequences(&rest(&mut feed).await), [2, 3]);
        let trouble = feed.trouble().expect("it says why no messages come");
        assert!(trouble.is_retryable() && trouble.code() == "TRANSPORT_UNAVAILABLE", "{trouble}");
        let mut late = runtime.feed("late").after(0).await.unwrap();
        assert_eq!(sequences(&rest(&mut late).await), [0, 1, 2, 3], "one can begin, too");
        storm.down(false);
        eventually("it listens again", async || {
            assert!(timeout(Duration::from_millis(1), feed.next()).await.is_err(), "what is published late comes again");
            feed.trouble().is_none()
        })
        .await;
        let before = storm.acknowledged();
        deposits(&runtime, id, 2).await;
        assert_eq!(sequences(&rest(&mut feed).await), [4, 5]);
        eventually("by messages", async || {
            assert!(timeout(Duration::from_millis(1), feed.next()).await.is_err(), "an event comes again");
            storm.acknowledged() > before
        })
        .await;
        runtime.shutdown().await.unwrap();
    }

    /// A transport that only wakes: the feed reads the log.
    async fn r7_a_feed_needs_no_transport_that_carries_events(store) {
        let runtime = Rig::new().start(&store).await;
        let id = Uuid::new_v4();
        deposits(&runtime, id, 3).await;
        let (mut all, mut new) = (runtime.feed("all").after(0).await.unwrap(), runtime.feed("new").await.unwrap());
        for n in 0..3 {
            assert_eq!(next(&mut all).await.event.sequence, n);
            assert_eq!(all.position(), u64::from(n) + 1);
        }
        deposits(&runtime, id, 1).await;
        assert_eq!(next(&mut all).await.event.sequence, 3);
        assert_eq!(next(&mut new).await.event.sequence, 3, "from now on");
        // Behind the back of this process.
        plant(runtime.storage(), &StreamKey::main("account", id), vec![stored(&Deposited { amount: 2, ..Default::default() }, 1)], i64::MAX / 4).await;
        assert_eq!(next(&mut new).await.event.sequence, 4);
        runtime.shutdown().await.unwrap();
    }

    /// Whoever stores `position` with what was done misses nothing, wherever it stops.
    async fn r7_a_feed_that_begins_behind_a_position_misses_nothing(store) {
        let storm = Storm::with(9, Weather { delays: 50, reorders: 100, loses: 10, ..Weather::default() });
        let runtime = start(&store, &storm).await;
        let ids: Vec<_> = (0..5).map(|_| Uuid::new_v4()).collect();
        let mut feed = runtime.feed("it").await.unwrap();
        for _ in 0..12 {
            for id in &ids {
                deposits(&runtime, *id, 1).await;
            }
        }
        let (mut seen, mut position) = (BTreeMap::<StreamKey, u32>::new(), 0);
        for stop in (5..=60).step_by(11) {
            // What is handed out ahead of the position comes again: at least once, and never with a hole.
            for _ in 0..stop.min(60 - position) {
                let LogEvent { stream, event } = next(&mut feed).await;
                let next = seen.entry(stream).or_default();
                assert!(event.sequence <= *next, "a hole before #{}", event.sequence);
                *next = (*next).max(event.sequence + 1);
                assert!(feed.position() >= position);
                position = feed.position();
            }
            feed = runtime.feed("it").after(position).await.unwrap();
        }
        for LogEvent { stream, event } in rest(&mut feed).await {
            let next = seen.entry(stream).or_default();
            assert!(event.sequence <= *next);
            *next = (*next).max(event.sequence + 1);
        }
        assert_eq!(seen.into_values().collect::<Vec<_>>(), [12; 5]);
        assert_eq!(feed.position(), 60);
        runtime.shutdown().await.unwrap();
    }

    async fn r7_b1_s5_a_feed_has_what_it_asked_for(store) {
        let (storm, id, to) = (Storm::new(), Uuid::new_v4(), Uuid::new_v4());
        let runtime = start(&store, &storm).await;
        let mut main = runtime.feed("main").await.unwrap();
        let mut every = runtime.feed("every").every_edition().await.unwrap();
        let mut ledger = runtime.feed("ledger").domains(["ledger"]).every_edition().await.unwrap();
        deposits(&runtime, id, 2).await;
        runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Isolated).await.unwrap();
        runtime.send::<Account>(id, Deposit { amount: 1 }).edition("what-if").await.unwrap();
        runtime.send::<Account>(id, money(to)).await.unwrap();
        runtime.settled().await;
        let account = StreamKey::main("account", id);
        let branch = StreamKey { edition: "what-if".into(), ..account.clone() };
        let booked = (StreamKey::main("ledger", to), vec![0]);
        assert_eq!(by_stream(&rest(&mut main).await), BTreeMap::from([(account.clone(), vec![0, 1, 3]), booked.clone()]));
        let all = BTreeMap::from([(account, vec![0, 1, 3]), (branch, vec![3]), booked.clone()]);
        assert_eq!(by_stream(&rest(&mut every).await), all);
        assert_eq!(by_stream(&rest(&mut ledger).await), BTreeMap::from([booked]));
        assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 5);
        runtime.shutdown().await.unwrap();
    }

    /// Old versions become current wherever they are read (row U1); a split event keeps its one sequence (row U4).
    async fn u1_u4_a_feed_hands_out_events_in_the_form_of_today(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let old = vec![
            stored(&PersonNamedV1 { name: "Ada Lovelace".into() }, 1),
            stored(&RumourHeard { text: "the earth is flat".into(), true_after_all: false }, 1),
            stored(&AddressChanged { address: "1 Main St, London".into() }, 1),
        ];
        store.plant(&StreamKey::main("person", id), old).await;
        let runtime = start(&store, &storm).await;
        let mut feed = runtime.feed("it").after(0).await.unwrap();
        let named = next(&mut feed).await.decode::<PersonNamed>().unwrap().expect("the name of today");
        assert_eq!((&*named.first, &*named.last, &*named.initials), ("Ada", "Lovelace", "AL"));
        let street = next(&mut feed).await;
        assert_eq!(street.decode::<StreetChanged>().unwrap().unwrap().street, "1 Main St");
        assert_eq!((street.event.sequence, feed.position()), (2, 2), "half of it is still to come");
        let city = next(&mut feed).await;
        assert_eq!(city.decode::<CityChanged>().unwrap().unwrap().city, "London");
        assert_eq!(city.decode::<StreetChanged>().unwrap(), None);
        assert_eq!((city.event.sequence, feed.position()), (2, 3));
        eventually("all of it is published", async || runtime.relay().unwrap().lag == 0).await;
        assert_eq!(storm.taken()[0].event.event.schema_version, 1, "as it is stored");
        runtime.shutdown().await.unwrap();
    }

    async fn u5_a_feed_waits_at_an_event_of_tomorrow(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let event = |version| stored(&Deposited { amount: 5, ..Default::default() }, version);
        store.plant(&StreamKey::main("account", id), vec![event(1), event(2), event(1)]).await;
        let runtime = start(&store, &storm).await;
        let mut feed = runtime.feed("it").after(0).await.unwrap();
        assert!(feed.skip().is_none());
        assert_eq!(next(&mut feed).await.event.sequence, 0);
        assert!(feed.skip().is_none(), "nobody has met the next one yet");
        for _ in 0..3 {
            assert_eq!(feed.next().await.unwrap_err().code(), "SCHEMA_TOO_NEW");
            assert_eq!(feed.position(), 1);
        }
        let skipped = feed.skip().expect("it cannot be read");
        assert_eq!((skipped.event.sequence, skipped.event.schema_version), (1, 2));
        assert_eq!(next(&mut feed).await.event.sequence, 2);
        runtime.shutdown().await.unwrap();
    }

    async fn i1_r7_the_correlation_id_comes_with_every_event_however_it_comes(store) {
        let storm = Storm::with(7, Weather { loses: 40, delays: 40, ..Weather::default() });
        let runtime = start(&store, &storm).await;
        let mut feed = runtime.feed("it").await.unwrap();
        let (id, to) = (Uuid::new_v4(), Uuid::new_v4());
        for n in 0..10 {
            runtime.send::<Account>(id, money(to)).correlation(format!("wf-{}", n % 5)).await.unwrap();
        }
        runtime.settled().await;
        let mut ids: BTreeMap<String, u32> = BTreeMap::new();
        for event in rest(&mut feed).await {
            *ids.entry(event.event.headers.correlation_id().to_owned()).or_default() += 1;
        }
        let expected: BTreeMap<String, u32> = (0..5).map(|n| (format!("wf-{n}"), 4)).collect();
        assert_eq!(ids, expected, "the saga's as well");
        runtime.shutdown().await.unwrap();
    }

    /// Nobody waits as long as the store takes for one answer, and some do not wait at all: events come all the same, each once
    /// and in order.
    async fn r7_a_feed_gets_on_however_short_the_patience(store) {
        let (storm, faults) = (Storm::with(11, Weather::storm()), Faults::new());
        let runtime = faults.describe(&store, storm.over(Rig::new().builder())).build().await.unwrap();
        let mut feed = runtime.feed("impatient").domains(["account"]).after(0).await.unwrap();
        let ids: Vec<Uuid> = (0..3).map(|_| Uuid::new_v4()).collect();
        for &id in &ids {
            deposits(&runtime, id, 20).await;
        }
        faults.slow_reads(Duration::from_millis(40));
        let writing = {
            let (runtime, ids) = (runtime.clone(), ids.clone());
            tokio::spawn(async move {
                for id in ids {
                    deposits(&runtime, id, 20).await;
                }
            })
        };
        let (mut seen, mut given_up, mut position) = (Vec::new(), 0, 0);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        while seen.len() < 120 {
            assert!(tokio::time::Instant::now() < deadline, "it starves after {} events", seen.len());
            // By turns: given up after a moment, given up after one poll, and beside something else that is ready first.
            let event = match given_up % 3 {
                0 => timeout(Duration::from_millis(1), feed.next()).await.ok(),
                1 => futures_util::FutureExt::now_or_never(feed.next()),
                _ => tokio::select! {
                    event = feed.next() => Some(event),
                    () = tokio::time::sleep(Duration::from_millis(2)) => None,
                },
            };
            assert!(feed.position() >= position, "a place never moves back");
            position = feed.position();
            match event {
                Some(event) => seen.push(event.expect("it can be read")),
                None => {
                    given_up += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        assert!(given_up > 20, "it was hard enough");
        writing.await.unwrap();
        faults.slow_reads(Duration::ZERO);
        nothing_more(&mut feed, &storm).await;
        assert_eq!(by_stream(&seen), log_by_stream(&runtime, |event| event.stream.domain.as_str() == "account").await);
        runtime.shutdown().await.unwrap();
    }

    async fn r6_a_feed_ends_with_its_runtime(store) {
        for carries in [true, false] {
            let transport = if carries { Local::carrying_events() } else { Local::new() };
            let runtime = store.describe(Rig::new().builder().transport(transport)).build().await.unwrap();
            let mut feed = runtime.feed("it").await.unwrap();
            let waiting = tokio::spawn(async move { feed.next().await });
            tokio::task::yield_now().await;
            runtime.shutdown().await.unwrap();
            let error = timeout(Duration::from_secs(20), waiting).await.expect("it ends").unwrap().unwrap_err();
            assert_eq!(error.code(), "SHUTTING_DOWN");
        }
    }

    async fn r7_c7_a_feed_that_makes_no_sense_is_refused(store) {
        let runtime = Rig::new().start(&store).await;
        deposits(&runtime, Uuid::new_v4(), 1).await;
        let error = runtime.feed("").await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("INVALID_ARGUMENT", Code::InvalidArgument));
        let error = runtime.feed("it").domains(["acount"]).await.unwrap_err();
        assert_eq!(error.code(), "UNKNOWN_DOMAIN");
        assert!(error.to_string().contains("did you mean `account`"), "{error}");
        let error = runtime.feed("it").after(2).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_ARGUMENT");
        assert!(error.to_string().contains("the store ends at position 1"), "{error}");
        runtime.shutdown().await.unwrap();
    }

    /// A broker may be shared: the messages of others are none of ours, whatever positions they have.
    async fn r7_messages_of_another_store_are_dropped(store) {
        let (storm, id) = (Storm::new(), Uuid::new_v4());
        let other = start(&Store::memory(), &storm).await;
        let runtime = start(&store, &storm).await;
        let mut feed = runtime.feed("it").await.unwrap();
        deposits(&other, Uuid::new_v4(), 5).await;
        deposits(&runtime, id, 3).await;
        assert_eq!(by_stream(&rest(&mut feed).await), BTreeMap::from([(StreamKey::main("account", id), vec![0, 1, 2])]));
        nothing_more(&mut feed, &storm).await;
        other.shutdown().await.unwrap();
        runtime.shutdown().await.unwrap();
    }
}
