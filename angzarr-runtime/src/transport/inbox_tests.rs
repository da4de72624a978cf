//! The inbox against everything that can come, in any order: what is promised holds after every step, not only at the end.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::Memory;
use crate::storage::{Append, EditionDiscard, Extras, NewEvent, Write};
use crate::stream::Headers;

/// A log, and what a relay makes of it.
struct World {
    store: Memory,
    log: Vec<LogEvent>,
    published: Vec<Publication>,
    inbox: Inbox,
    start: u64,
    /// Positions that were handed out.
    seen: Vec<u64>,
    /// Positions that were discarded with their edition.
    gone: HashSet<u64>,
}

fn stream(n: u8) -> StreamKey {
    let domain = if n.is_multiple_of(3) { "b" } else { "a" };
    let edition = if n == 4 { "what-if" } else { "" };
    StreamKey { domain: domain.into(), edition: edition.into(), root: Uuid::from_u128(n.into()) }
}

impl World {
    fn new(wanted: Wanted, streams: usize) -> Self {
        Self {
            store: Memory::new(),
            log: Vec::new(),
            published: Vec::new(),
            inbox: Inbox::new(wanted, 0, streams),
            start: 0,
            seen: Vec::new(),
            gone: HashSet::new(),
        }
    }

    fn append(&mut self, n: u8, count: usize, isolated: bool) {
        let key = stream(n);
        let is_there = |event: &&LogEvent| event.stream == key && !self.gone.contains(&event.event.position);
        let known = self.log.iter().filter(is_there).count();
        // The stream of an edition begins where it left main: the first time here, then there.
        let first = match key.is_main() {
            true => 0,
            false if self.gone.is_empty() => 7,
            false => 5,
        };
        let event = NewEvent { type_name: "test.It".into(), schema_version: 1, payload: Vec::new().into(), isolated };
        let append = Append {
            expected: first + known as u32,
            events: vec![event; count].into(),
            created_at: 1,
            headers: Headers::default(),
            dedup: None,
            diverged_at: (first > 0 && known == 0).then_some(first),
            key,
        };
        let outcome = self.store.commit(vec![Write::append(append)]).now_or_never().expect("memory does not wait");
        assert!(outcome.into_iter().all(|outcome| outcome.is_ok()));
        let after = self.log.len() as u64;
        let new = self.store.read_log(after, usize::MAX, usize::MAX).now_or_never().unwrap().unwrap();
        for event in new {
            if !event.event.isolated {
                let follows = self.published.last().map_or(0, |last| last.event.event.position);
                self.published.push(Publication { store: self.store.id(), follows, event: event.clone() });
            }
            self.log.push(event);
        }
    }

    fn discard(&mut self) {
        let discard = EditionDiscard { edition: "what-if".into(), domain: None, at: 1 };
        let write = Write::extras(Extras { discards: vec![discard], ..Extras::default() });
        let outcome = self.store.commit(vec![write]).now_or_never().expect("memory does not wait");
        assert!(outcome.into_iter().all(|outcome| outcome.is_ok()));
        let of_it = self.log.iter().filter(|event| !event.stream.is_main());
        self.gone.extend(of_it.map(|event| event.event.position));
    }

    fn begin_here(&mut self, wanted: Wanted, streams: usize) {
        self.start = self.log.len() as u64;
        self.inbox = Inbox::new(wanted, self.start, streams);
        self.seen.clear();
    }

    fn take(&mut self, publication: &Publication) -> Taken {
        self.hand_out();
        let taken = self.inbox.take(&self.store, publication).now_or_never().expect("memory does not wait").unwrap();
        self.check();
        taken
    }

    fn read_log(&mut self) {
        self.hand_out();
        self.inbox.read_log(&self.store).now_or_never().expect("memory does not wait").unwrap();
        self.check();
    }

    /// Hands out what is ready, one by one.
    fn hand_out(&mut self) {
        while let Some(event) = self.inbox.pop() {
            self.seen.push(event.event.position);
            self.check();
        }
    }

    /// What has to be handed out. What was discarded may be, if it comes in time.
    fn wanted(&self) -> impl Iterator<Item = &LogEvent> {
        self.log.iter().filter(|event| {
            let position = event.event.position;
            let is_left = !self.gone.contains(&position) || self.seen.contains(&position);
            position > self.start && is_left && self.inbox.wanted.includes(event)
        })
    }

    fn check(&self) {
        let mut expected: BTreeMap<&StreamKey, Vec<u64>> = BTreeMap::new();
        for event in self.wanted() {
            expected.entry(&event.stream).or_default().push(event.event.position);
        }
        let mut seen: BTreeMap<&StreamKey, Vec<u64>> = BTreeMap::new();
        for position in &self.seen {
            seen.entry(&self.log[*position as usize - 1].stream).or_default().push(*position);
        }
        for (stream, seen) in seen {
            let expected = expected.get(stream).expect("it was asked for");
            assert!(expected.starts_with(&seen), "{stream}: {seen:?} is no beginning of {expected:?}");
        }
        let position = self.inbox.position();
        let missed =
            self.wanted().map(|event| event.event.position).find(|at| *at <= position && !self.seen.contains(at));
        assert_eq!(missed, None, "not handed out, and the feed says that it has everything up to {position}");
        assert!(self.inbox.ahead.len() <= self.log.len());
        assert!(self.inbox.ahead.keys().all(|ahead| *ahead > self.inbox.cursor), "what is behind is forgotten");
    }

    /// Nothing comes any more: time tells, and the log has everything.
    fn end(mut self) {
        self.inbox.look(self.store.head());
        while self.inbox.is_behind() {
            self.read_log();
        }
        self.hand_out();
        let mut seen = self.seen.clone();
        seen.sort_unstable();
        assert_eq!(seen, self.wanted().map(|event| event.event.position).collect::<Vec<_>>(), "each once");
        assert_eq!(self.inbox.position(), self.store.head());
        assert!(self.inbox.ahead.is_empty());
        for publication in self.published.clone() {
            let taken = self.take(&publication);
            assert_eq!(taken, Taken::Double, "{publication:?}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        stream: u8,
        count: usize,
        isolated: bool,
    },
    /// Any message that was published, so often one that came before.
    Message(prop::sample::Index),
    /// The next ones that did not come yet, as a good transport brings them.
    Good(usize),
    Look,
    ReadLog,
    /// The edition is discarded, and may begin anew.
    Discard,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..6, 1usize..4, prop::bool::weighted(0.2))
            .prop_map(|(stream, count, isolated)| Step::Append { stream, count, isolated }),
        6 => any::<prop::sample::Index>().prop_map(Step::Message),
        2 => (1usize..6).prop_map(Step::Good),
        1 => Just(Step::Look),
        1 => Just(Step::ReadLog),
        1 => Just(Step::Discard),
    ];
    prop::collection::vec(step, 1..120)
}

fn some_wanted() -> impl Strategy<Value = Wanted> {
    (any::<bool>(), any::<bool>()).prop_map(|(some, every_edition)| Wanted {
        domains: some.then(|| HashSet::from([Name::from_static("a")])),
        every_edition,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn r7_whatever_comes_each_event_is_handed_out_once_and_in_order(
        before in prop::collection::vec((0u8..6, 1usize..4, prop::bool::weighted(0.2)), 0..8),
        steps in steps(),
        wanted in some_wanted(),
        streams in 0usize..4,
    ) {
        let mut world = World::new(wanted.clone(), streams);
        for (stream, count, isolated) in before {
            world.append(stream, count, isolated);
        }
        world.begin_here(wanted, streams);
        let mut next = 0;
        for step in steps {
            match step {
                Step::Append { stream, count, isolated } => world.append(stream, count, isolated),
                Step::Message(index) if !world.published.is_empty() => {
                    let publication = world.published[index.index(world.published.len())].clone();
                    world.take(&publication);
                }
                Step::Message(_) => {}
                Step::Good(count) => {
                    for publication in world.published.clone().into_iter().skip(next).take(count) {
                        world.take(&publication);
                        next += 1;
                    }
                }
                Step::Look => world.inbox.look(world.store.head()),
                Step::ReadLog => world.read_log(),
                Step::Discard => world.discard(),
            }
            // As a feed does.
            while world.inbox.is_behind() {
                world.read_log();
            }
        }
        world.end();
    }
}

/// The newest events of the log are discarded: the feed has everything all the same.
#[test]
fn r7_b5_a_discarded_end_of_the_log_is_not_waited_for() {
    let mut world = World::new(Wanted { domains: None, every_edition: true }, 2);
    world.append(1, 2, false);
    world.append(4, 3, false);
    let late = world.published[3].clone();
    world.discard();
    assert_eq!(world.take(&late), Taken::ByLog, "it came too late");
    world.end();
}

/// A stream begins with an event that is never published: it is not seen, and those behind it are.
#[test]
fn r7_s5_what_is_isolated_says_nothing_of_what_was_handed_out() {
    let mut world = World::new(Wanted { domains: None, every_edition: false }, 0);
    world.append(0, 1, true);
    world.append(2, 1, true);
    world.append(0, 1, false);
    world.append(2, 1, false);
    world.append(0, 1, false);
    for (message, taken) in [(1, Taken::InOrder), (0, Taken::InOrder), (2, Taken::InOrder)] {
        let publication = world.published[message].clone();
        assert_eq!(world.take(&publication), taken, "message {message}");
    }
    world.end();
}

/// An edition was discarded and has begun anew: a late message of the old one does not come behind the new one's.
#[test]
fn r7_b5_a_discarded_event_does_not_come_behind_its_successor() {
    let mut world = World::new(Wanted { domains: None, every_edition: true }, 2);
    world.append(1, 1, false);
    world.append(4, 1, false);
    world.discard();
    world.append(4, 1, false);
    let [main, old, new] = [0, 1, 2].map(|n| world.published[n].clone());
    assert_eq!(world.take(&new), Taken::InOrder);
    assert_eq!(world.take(&main), Taken::InOrder);
    assert_eq!(world.take(&old), Taken::ByLog);
    world.end();
}

/// A good transport costs no read: isolated events between the messages are no gap.
#[test]
fn r7_s5_what_comes_in_order_needs_no_store() {
    let mut world = World::new(Wanted { domains: None, every_edition: true }, 0);
    for n in 0..60u8 {
        world.append(n % 5, 2, n % 4 == 1);
        for publication in world.published.clone() {
            let position = publication.event.event.position;
            if position > world.inbox.cursor {
                assert_eq!(world.take(&publication), Taken::InOrder);
                assert_eq!(world.inbox.cursor, position);
            }
        }
        assert!(world.inbox.ahead.is_empty());
    }
    world.end();
}

/// One message is lost, and everything behind it comes: what is noted about that has an end.
#[test]
fn r7_a_lost_message_does_not_grow_the_memory() {
    let mut world = World::new(Wanted::default(), 2);
    for _ in 0..=AHEAD / 100 + 1 {
        world.append(1, 1, false);
        world.append(2, 99, false);
    }
    let store = world.store.clone();
    let mut taken = 0;
    for publication in world.published[1..].iter().filter(|it| it.event.stream == stream(2)) {
        while world.inbox.pop().is_some() {}
        world.inbox.take(&store, publication).now_or_never().unwrap().unwrap();
        taken += 1;
        assert!(world.inbox.ahead.len() <= AHEAD + 1);
        if world.inbox.is_behind() {
            break;
        }
    }
    assert_eq!(taken, AHEAD + 1, "the log is read when there is too much");
    while world.inbox.is_behind() {
        while world.inbox.pop().is_some() {}
        world.inbox.read_log(&store).now_or_never().unwrap().unwrap();
    }
    assert!(world.inbox.ahead.is_empty());
}

/// The log is read in portions: what was handed out behind a portion is still known after it.
#[test]
fn r7_a_portion_of_the_log_forgets_nothing_behind_it() {
    let mut world = World::new(Wanted::default(), 2);
    for _ in 0..=PORTION / 100 {
        world.append(1, 100, false);
    }
    world.append(2, 1, false);
    let last = world.published.last().cloned().expect("it is published");
    let store = world.store.clone();
    let take = |world: &mut World| world.inbox.take(&store, &last).now_or_never().unwrap().unwrap();
    assert_eq!(take(&mut world), Taken::InOrder);
    assert_eq!(world.inbox.pop(), Some(last.event.clone()));
    world.inbox.look(store.head());
    world.inbox.read_log(&store).now_or_never().unwrap().unwrap();
    assert!(world.inbox.is_behind(), "one portion is not all of it");
    assert_eq!(take(&mut world), Taken::Double);
    let mut ready = PORTION;
    while world.inbox.is_behind() {
        while world.inbox.pop().is_some() {}
        ready += world.inbox.read_log(&store).now_or_never().unwrap().unwrap();
    }
    assert_eq!(ready, world.log.len() - 1, "the last one is not handed out again");
}

/// A message of an event that the store does not have (yet) is not believed.
#[test]
fn r7_what_the_store_does_not_have_is_not_handed_out() {
    let mut world = World::new(Wanted::default(), 2);
    world.append(1, 3, false);
    let mut ahead = world.published[2].clone();
    ahead.event.event.sequence += 5;
    ahead.event.event.position += 5;
    ahead.follows += 5;
    assert_eq!(world.take(&ahead), Taken::ByLog);
    world.read_log();
    world.read_log();
    assert!(!world.inbox.is_behind(), "nobody waits for it");
    world.hand_out();
    assert_eq!(world.seen, [1, 2, 3]);
}
