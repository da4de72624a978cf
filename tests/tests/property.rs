//! B, M1, N, T, U: whatever happens to a stream and its branches, what the runtime reads equals a plain fold of what is
//! stored, at every point; bad snapshots included.

#![allow(missing_docs)]

use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, AnyExt as _, PageHeaderExt};
use angzarr_runtime::storage::{self, Extras, NewEvent, SnapshotWrite, Storage, StreamRead};
use angzarr_runtime::stream::{Headers, StoredEvent, StoredSnapshot, StreamKey};
use angzarr_runtime::{Builder, Retention};
use angzarr_tests::account::Account;
use angzarr_tests::messages::*;
use angzarr_tests::notes::Diary;
use angzarr_tests::person::{Person, initials};
use angzarr_tests::rig::{account, page, request};
use angzarr_tests::store::{assert_gapless, decode, events_of, plant, stored, stored_as};
use angzarr_tests::time::{ManualClock, time};
use angzarr_tests::{Rig, Store};
use proptest::prelude::*;
use prost::Message as _;

/// One step of a random program.
#[derive(Clone, Debug)]
enum Step {
    Deposit(u8, i64),
    Withdraw(u8, i64),
    Many(u8, u32),
    Book(u8, Vec<i64>),
    Milestone(u8),
    Snapshot(u8, u8),
    /// Something that is no snapshot of this stream, somewhere in it.
    PlantSnapshot(u8, u8, u32),
    /// On a branch; where it leaves main, if this is what begins it.
    Branch(u8, i64, Option<u32>),
    /// On a branch, remembered by its id, without an event.
    BranchIdle(u8, u8),
    Name(String, String),
    Move(String),
    /// What an older program, or another process, stored.
    PlantName(u8, String),
    PlantAddress(String),
    PlantRumour(bool),
    PlantDeposit(u8, i64),
    Diary(String),
    Clock(i64),
    Restart(bool),
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..2u8;
    let word = "[a-z]{0,4}";
    prop_oneof![
        6 => (who.clone(), 1..100i64).prop_map(|(who, amount)| Step::Deposit(who, amount)),
        3 => (who.clone(), 1..200i64).prop_map(|(who, amount)| Step::Withdraw(who, amount)),
        2 => (who.clone(), 0..20u32).prop_map(|(who, count)| Step::Many(who, count)),
        2 => (who.clone(), prop::collection::vec(-50..50i64, 1..5)).prop_map(|(who, amounts)| Step::Book(who, amounts)),
        1 => who.clone().prop_map(Step::Milestone),
        2 => (who.clone(), 0..3u8).prop_map(|(who, retention)| Step::Snapshot(who, retention)),
        2 => (who.clone(), 0..4u8, any::<u32>()).prop_map(|(who, kind, at)| Step::PlantSnapshot(who, kind, at)),
        3 => (who.clone(), 1..100i64, prop::option::of(any::<u32>()))
            .prop_map(|(who, amount, at)| Step::Branch(who, amount, at)),
        1 => (who.clone(), any::<u8>()).prop_map(|(who, id)| Step::BranchIdle(who, id)),
        2 => (word, word).prop_map(|(first, last)| Step::Name(first, last)),
        2 => word.prop_map(Step::Move),
        3 => (0..4u8, word).prop_map(|(shape, word)| Step::PlantName(shape, word)),
        2 => word.prop_map(Step::PlantAddress),
        2 => any::<bool>().prop_map(Step::PlantRumour),
        1 => (who, 1..100i64).prop_map(|(who, amount)| Step::PlantDeposit(who, amount)),
        2 => word.prop_map(Step::Diary),
        2 => (0..10i64).prop_map(Step::Clock),
        2 => any::<bool>().prop_map(Step::Restart),
        1 => Just(Step::Check),
    ]
}

const PERSON: Uuid = Uuid::from_u128(3);
const DIARY: Uuid = Uuid::from_u128(4);
const BRANCH: &str = "what-if";

fn who(n: u8) -> Uuid {
    Uuid::from_u128(u128::from(n) + 1)
}

/// The plain folds, written again by hand.
fn fold_account(state: &mut Account, event: &StoredEvent) {
    state.events += 1;
    match event.type_name.as_str() {
        "test.Deposited" => state.balance += decode::<Deposited>(event).amount,
        "test.Withdrawn" => state.balance -= decode::<Withdrawn>(event).amount,
        "test.MilestoneReached" => {}
        other => panic!("{other}"),
    }
}

fn fold_person(state: &mut Person, event: &StoredEvent) {
    let payload = event.payload.as_ref();
    let mut name = |first: &str, last: &str| {
        (state.first, state.last, state.initials) = (first.into(), last.into(), initials(first, last));
    };
    match (event.type_name.as_str(), event.schema_version) {
        ("test.PersonNamed" | "test.PersonNamedV1", 1) => {
            let old = PersonNamedV1::decode(payload).expect("v1").name;
            let (first, last) = old.split_once(' ').unwrap_or((&old, ""));
            name(first, last);
        }
        ("test.PersonNamed" | "test.PersonNamedV2", 2) => {
            let old = PersonNamedV2::decode(payload).expect("v2");
            name(&old.first, &old.last);
        }
        ("test.PersonNamed", 3) => {
            let new = PersonNamed::decode(payload).expect("v3");
            (state.first, state.last, state.initials) = (new.first, new.last, new.initials);
        }
        ("test.AddressChanged", 1) => {
            let old = AddressChanged::decode(payload).expect("an address").address;
            let (street, city) = old.split_once(", ").unwrap_or((&old, ""));
            (state.street, state.city) = (street.into(), city.into());
        }
        ("test.StreetChanged", _) => state.street = StreetChanged::decode(payload).expect("a street").street,
        ("test.CityChanged", _) => state.city = CityChanged::decode(payload).expect("a city").city,
        ("test.RumourHeard", 1) => {
            let rumour = RumourHeard::decode(payload).expect("a rumour");
            if rumour.true_after_all {
                state.facts.push(rumour.text);
            }
        }
        other => panic!("{other:?}"),
    }
}

fn branch(root: Uuid) -> StreamKey {
    StreamKey { edition: BRANCH.into(), ..StreamKey::main("account", root) }
}

/// What a branch is made of: main before the place where it left, then its own. Before its first event it is main.
async fn branch_events(runtime: &Runtime, root: Uuid) -> Vec<StoredEvent> {
    let own = runtime.storage().read_stream(&branch(root), StreamRead::all()).await.expect("the branch");
    let mut events = events_of(runtime.storage(), &StreamKey::main("account", root)).await;
    if let Some(at) = own.diverged_at {
        events.truncate(at as usize);
    }
    events.extend(own.events);
    events
}

/// Compares every point of one stream on main.
macro_rules! compare {
    ($runtime:expr, $aggregate:ty, $domain:literal, $root:expr, $fold:expr) => {{
        let stored = events_of($runtime.storage(), &StreamKey::main($domain, $root)).await;
        assert_gapless(&stored);
        compare!($runtime, $aggregate, $root, "", stored, $fold)
    }};
    ($runtime:expr, $aggregate:ty, $root:expr, $edition:expr, $stored:expr, $fold:expr) => {{
        let (runtime, root, stored, edition) = (&$runtime, $root, $stored, $edition);
        let mut folded = <$aggregate>::default();
        let mut prefix = vec![folded.clone()];
        for event in &stored {
            let fold: fn(&mut $aggregate, &StoredEvent) = $fold;
            fold(&mut folded, event);
            prefix.push(folded.clone());
        }
        let now = runtime.state::<$aggregate>(root).edition(edition).await.expect("the state");
        assert_eq!((&*now, now.next_sequence() as usize), (&folded, stored.len()), "now");
        for (n, event) in stored.iter().enumerate() {
            let then = runtime
                .state::<$aggregate>(root)
                .edition(edition)
                .as_of_sequence(event.sequence)
                .await
                .expect("the state");
            assert_eq!((&*then, then.next_sequence() as usize), (&prefix[n + 1], n + 1), "as of #{n}");
            for at in [event.created_at - 1, event.created_at] {
                let count = stored.iter().take_while(|event| event.created_at <= at).count();
                let then =
                    runtime.state::<$aggregate>(root).edition(edition).as_of_time(time(at)).await.expect("the state");
                assert_eq!((&*then, then.next_sequence() as usize), (&prefix[count], count), "as of {at}");
            }
        }
        folded
    }};
}

struct World {
    store: Store,
    rig: Rig,
    clock: ManualClock,
    cache: u64,
}

impl World {
    async fn start(&self) -> Runtime {
        let builder: Builder = self.rig.builder().clock(self.clock.clone()).state_cache_bytes(self.cache);
        self.store.describe(builder).build().await.expect("it starts")
    }

    async fn check(&self, runtime: &Runtime) {
        for n in 0..2 {
            let folded = compare!(*runtime, Account, "account", who(n), fold_account);
            // What a handler would see, cached or not.
            let would = runtime.preview::<Account>(who(n), Deposit { amount: 1 }).await.expect("a preview");
            assert_eq!(would.events_of::<Deposited>().next().expect("an event").balance_before, folded.balance);
            self.check_book(runtime, n, "", &folded).await;
            let stored = branch_events(runtime, who(n)).await;
            let folded = compare!(*runtime, Account, who(n), BRANCH, stored, fold_account);
            self.check_book(runtime, n, BRANCH, &folded).await;
        }
        compare!(*runtime, Person, "person", PERSON, fold_person);
        compare!(*runtime, Diary, "diary", DIARY, |state: &mut Diary, event| state
            .pages
            .push(decode::<Written>(event).text));
    }

    /// The book of a sequence mismatch is enough to rebuild the state (row M1).
    async fn check_book(&self, runtime: &Runtime, n: u8, edition: &str, folded: &Account) {
        let send = runtime.send::<Account>(who(n), Deposit { amount: 1 }).edition(edition).expect_sequence(9_999_999);
        let error = send.await.expect_err("nobody is there");
        let book = error.event_book().unwrap_or_else(|| panic!("{error}"));
        let mut state = Account::default();
        let mut next = 0;
        if let Some(snapshot) = &book.snapshot {
            state = snapshot.state.as_ref().expect("a state").unpack().expect("a readable snapshot");
            next = snapshot.sequence + 1;
        }
        for page in &book.pages {
            let Some(proto::event_page::Payload::Event(event)) = &page.payload else { panic!("{page:?}") };
            let sequence = page.header.as_ref().and_then(PageHeaderExt::explicit_sequence);
            assert_eq!(sequence, Some(next));
            next += 1;
            let event = StoredEvent {
                position: 0,
                sequence: next,
                created_at: 0,
                type_name: proto::type_name_of(&event.type_url).into(),
                schema_version: page.schema_version,
                payload: event.value.clone().into(),
                headers: Headers::default(),
                isolated: false,
            };
            fold_account(&mut state, &event);
        }
        assert_eq!((&state, next), (folded, book.next_sequence), "the book of {n} in `{edition}`");
    }

    async fn run(&mut self, steps: &[Step]) {
        let mut runtime = self.start().await;
        for step in steps {
            self.step(&mut runtime, step).await;
        }
        self.check(&runtime).await;
        runtime.shutdown().await.expect("a clean end");
        // Once more with nothing in memory.
        self.cache = 256 << 20;
        let runtime = self.start().await;
        self.check(&runtime).await;
        runtime.shutdown().await.expect("a clean end");
    }

    async fn step(&mut self, runtime: &mut Runtime, step: &Step) {
        /// Accepted, with a handler that saw what the fold says; or rejected by the handler.
        fn seen(result: Result<Receipt, Error>) -> Option<Receipt> {
            match result {
                Ok(receipt) => Some(receipt),
                Err(Error::Rejected(_)) => None,
                Err(error) => panic!("{error}"),
            }
        }
        match step.clone() {
            Step::Deposit(n, amount) => {
                let before = self.balance(runtime, n).await;
                let receipt = seen(runtime.send::<Account>(who(n), Deposit { amount }).await).expect("accepted");
                assert_eq!(receipt.events_of::<Deposited>().next().expect("an event").balance_before, before);
            }
            Step::Withdraw(n, amount) => {
                let before = self.balance(runtime, n).await;
                let receipt = seen(runtime.send::<Account>(who(n), Withdraw { amount }).await);
                assert_eq!(receipt.is_some(), amount <= before);
            }
            Step::Many(n, count) => drop(seen(runtime.send::<Account>(who(n), DepositMany { count }).await)),
            Step::Book(n, amounts) => {
                let before = self.balance(runtime, n).await;
                let pages = amounts.iter().map(|&amount| {
                    if amount >= 0 {
                        page(&Deposit { amount: amount + 1 })
                    } else {
                        page(&Withdraw { amount: -amount })
                    }
                });
                let result = runtime.submit(&request(account(who(n)), pages)).await;
                let mut balance = before;
                let fits = amounts.iter().all(|&amount| {
                    balance += if amount >= 0 { amount + 1 } else { amount };
                    balance >= 0
                });
                assert_eq!(seen(result).is_some(), fits, "all or nothing");
            }
            Step::Milestone(n) => drop(seen(runtime.send::<Account>(who(n), ReachMilestone {}).await)),
            Step::Snapshot(n, retention) => {
                let retention = [Retention::Default, Retention::Persist, Retention::Transient][usize::from(retention)];
                runtime.snapshot::<Account>(who(n), retention).await.expect("a snapshot");
                runtime.snapshot::<Person>(PERSON, retention).await.expect("a snapshot");
            }
            Step::PlantSnapshot(n, kind, at) => self.plant_snapshot(runtime, n, kind, at).await,
            Step::Branch(n, amount, at) => {
                let mut before = branch_events(runtime, who(n)).await;
                let own = events_of(runtime.storage(), &branch(who(n))).await;
                let mut edition = Edition::named(BRANCH);
                if let Some(at) = at.filter(|_| own.is_empty()) {
                    let at = at % (before.len() as u32 + 1);
                    edition = edition.diverge("account", at);
                    before.truncate(at as usize);
                }
                let mut state = Account::default();
                before.iter().for_each(|event| fold_account(&mut state, event));
                let sent = runtime.send::<Account>(who(n), Deposit { amount }).edition(edition);
                let receipt = seen(sent.await).expect("accepted");
                assert_eq!(receipt.events_of::<Deposited>().next().expect("an event").balance_before, state.balance);
            }
            Step::BranchIdle(n, id) => {
                let sent = runtime.send::<Account>(who(n), DoNothing {}).edition(BRANCH).external_id(id.to_string());
                assert!(seen(sent.await).expect("accepted").events().is_empty());
            }
            Step::Name(first, last) => drop(seen(runtime.send::<Person>(PERSON, NamePerson { first, last }).await)),
            Step::Move(street) => {
                drop(seen(runtime.send::<Person>(PERSON, MovePerson { street, city: "here".into() }).await));
            }
            Step::PlantName(shape, word) => {
                let v1 = PersonNamedV1 { name: format!("{word} old") };
                let v2 = PersonNamedV2 { first: word, last: "older".into() };
                self.plant(
                    runtime,
                    "person",
                    PERSON,
                    match shape {
                        0 => stored(&v1, 1),
                        1 => stored_as("test.PersonNamed", &v1, 1),
                        2 => stored(&v2, 2),
                        _ => stored_as("test.PersonNamed", &v2, 2),
                    },
                )
                .await;
            }
            Step::PlantAddress(street) => {
                let old = AddressChanged { address: format!("{street}, there") };
                self.plant(runtime, "person", PERSON, stored(&old, 1)).await;
            }
            Step::PlantRumour(true_after_all) => {
                let old = RumourHeard { text: "they say".into(), true_after_all };
                self.plant(runtime, "person", PERSON, stored(&old, 1)).await;
            }
            Step::PlantDeposit(n, amount) => {
                let event = Deposited { amount, ..Default::default() };
                // An SQLite file has one owner: nobody else writes while it runs. Memory may be shared.
                if matches!(self.store, Store::Memory(_)) {
                    self.plant(runtime, "account", who(n), stored(&event, 1)).await;
                } else {
                    runtime.clone().shutdown().await.expect("a clean end");
                    let storage = self.store.open().await;
                    self.plant_into(storage.as_ref(), "account", who(n), stored(&event, 1)).await;
                    storage.close().await.expect("a clean end");
                    drop(storage);
                    *runtime = self.start().await;
                }
            }
            Step::Diary(text) => drop(seen(runtime.send::<Diary>(DIARY, Write { text }).await)),
            Step::Clock(second) => self.clock.set(second),
            Step::Restart(small_cache) => {
                runtime.clone().shutdown().await.expect("a clean end");
                self.cache = if small_cache { 0 } else { 256 << 20 };
                *runtime = self.start().await;
            }
            Step::Check => self.check(runtime).await,
        }
    }

    /// Unreadable, of another version, of another kind of state, or of a stream that is longer.
    async fn plant_snapshot(&self, runtime: &Runtime, n: u8, kind: u8, at: u32) {
        let key = StreamKey::main("account", who(n));
        let events = events_of(runtime.storage(), &key).await;
        let Some(event) = events.get(at as usize % events.len().max(1)) else { return };
        let wrong = Account { balance: -1_000_000, events: 7, ..Default::default() }.encode_to_vec();
        let good = StoredSnapshot {
            sequence: event.sequence,
            created_at: event.created_at,
            type_name: "account.Account".into(),
            state_version: 1,
            state: wrong.into(),
            retention: if at.is_multiple_of(2) { Retention::Default } else { Retention::Persist },
        };
        let snapshot = match kind {
            0 => StoredSnapshot { state: vec![0xff; 5].into(), ..good },
            1 => StoredSnapshot { state_version: 2, ..good },
            2 => StoredSnapshot { type_name: "account.Elsewhere".into(), ..good },
            // The place of a snapshot that was stored already is taken: this one must have none.
            _ => StoredSnapshot { sequence: 1_000_000 + at % 1_000, ..good },
        };
        let write = SnapshotWrite { key, snapshot };
        let write = storage::Write::extras(Extras { snapshots: vec![write], ..Extras::default() });
        for outcome in runtime.storage().commit(vec![write]).await {
            outcome.expect("planted");
        }
    }

    /// By a plain sum over what is stored.
    async fn balance(&self, runtime: &Runtime, n: u8) -> i64 {
        let mut state = Account::default();
        for event in events_of(runtime.storage(), &StreamKey::main("account", who(n))).await {
            fold_account(&mut state, &event);
        }
        state.balance
    }

    async fn plant(&self, runtime: &Runtime, domain: &'static str, root: Uuid, event: NewEvent) {
        self.plant_into(runtime.storage(), domain, root, event).await;
    }

    async fn plant_into(&self, storage: &dyn Storage, domain: &'static str, root: Uuid, event: NewEvent) {
        let key = StreamKey::main(domain, root);
        let last = events_of(storage, &key).await.last().map_or(0, |event| event.created_at);
        plant(storage, &key, vec![event], last).await;
    }
}

fn run(store: Store, steps: &[Step]) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut world = World { store, rig: Rig::new(), clock: ManualClock::at(5), cache: 256 << 20 };
    tokio.block_on(world.run(steps));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b1_b2_m1_n4_n6_t1_t2_u1_every_read_equals_a_plain_fold_in_memory(steps in prop::collection::vec(step(), 1..50)) {
        run(Store::memory(), &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b1_b2_m1_n4_n6_t1_t2_u1_every_read_equals_a_plain_fold_in_sqlite(steps in prop::collection::vec(step(), 1..50)) {
        run(Store::sqlite(), &steps);
    }
}

#[cfg(feature = "postgres")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn b1_b2_m1_n4_n6_t1_t2_u1_every_read_equals_a_plain_fold_in_postgres(steps in prop::collection::vec(step(), 1..50)) {
        run(Store::postgres(), &steps);
    }
}
