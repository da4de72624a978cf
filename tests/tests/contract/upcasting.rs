//! U: upcasting. Mistakes in chains that only the whole program shows are in `tests/wiring.rs`.

use angzarr_runtime::Code;
use angzarr_runtime::prelude::*;
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::brittle::{Brittle, Strike, StruckV1};
use angzarr_tests::messages::*;
use angzarr_tests::person::Person;
use angzarr_tests::rig::start;
use angzarr_tests::store::{decode, events_of, plant, stored, stored_as};
use angzarr_tests::{Rig, on_every_store};

fn key(id: Uuid) -> StreamKey {
    StreamKey::main("person", id)
}

fn v1(name: &str) -> PersonNamedV1 {
    PersonNamedV1 { name: name.into() }
}

fn v2(first: &str, last: &str) -> PersonNamedV2 {
    PersonNamedV2 { first: first.into(), last: last.into() }
}

on_every_store! {
    /// Old events become the current ones wherever they are read, and stay as they are where they are stored.
    async fn u1_old_events_are_read_as_current_and_never_changed(store) {
        let id = Uuid::new_v4();
        let planted = vec![stored(&v1("Ada Lovelace"), 1), stored(&AddressChanged { address: "1 Main St, London".into() }, 1)];
        store.plant(&key(id), planted.clone()).await;
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        // State.
        let person = runtime.state::<Person>(id).await.unwrap();
        assert_eq!((&*person.first, &*person.last, &*person.initials), ("Ada", "Lovelace", "AL"));
        assert_eq!((&*person.street, &*person.city), ("1 Main St", "London"));
        assert_eq!(person.next_sequence(), 2);
        // Projectors.
        runtime.settled().await;
        let seen: Vec<_> = rig.journal.seen().into_iter().map(|seen| (seen.sequence, seen.event)).collect();
        let expected = [(0, "test.PersonNamed"), (1, "test.StreetChanged"), (1, "test.CityChanged")];
        assert_eq!(seen, expected.map(|(sequence, event)| (sequence, event.to_owned())));
        // Previews and commands decide on the upcast state.
        runtime.send::<Person>(id, MovePerson { street: "2 Side St".into(), city: "Paris".into() }).await.unwrap();
        assert_eq!(runtime.state::<Person>(id).as_of_sequence(1).await.unwrap().city, "London");
        assert_eq!(runtime.state::<Person>(id).await.unwrap().city, "Paris");
        // What is stored is what was stored.
        let raw = events_of(runtime.storage(), &key(id)).await;
        for (event, planted) in raw.iter().zip(&planted) {
            assert_eq!((&event.type_name, event.schema_version, &event.payload), (&planted.type_name, 1, &planted.payload));
        }
        assert_eq!(raw.len(), 4);
        runtime.shutdown().await.unwrap();
    }

    async fn u2_a_chain_runs_in_order_and_new_events_carry_its_end(store) {
        let (a, b, c, d) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
        // The same past under the names that each version had of its own, and under one name that never changed.
        store.plant(&key(a), vec![stored(&v1("Ada Lovelace"), 1)]).await;
        store.plant(&key(b), vec![stored_as("test.PersonNamed", &v1("Ada Lovelace"), 1)]).await;
        store.plant(&key(c), vec![stored(&v2("Ada", "Lovelace"), 2)]).await;
        store.plant(&key(d), vec![stored_as("test.PersonNamed", &v2("Ada", "Lovelace"), 2)]).await;
        let runtime = start(&store).await;
        for id in [a, b, c, d] {
            let person = runtime.state::<Person>(id).await.unwrap();
            assert_eq!((&*person.first, &*person.last, &*person.initials), ("Ada", "Lovelace", "AL"));
        }
        // Current version = upcasters in the chain + 1, stamped on new events.
        let receipt = runtime.send::<Person>(a, NamePerson { first: "Grace".into(), last: "Hopper".into() }).await.unwrap();
        assert_eq!(receipt.events()[0].schema_version, 3);
        assert_eq!(events_of(runtime.storage(), &key(a)).await[1].schema_version, 3);
        // A type without a chain is at 1.
        let account = Uuid::new_v4();
        let receipt = runtime.send::<Account>(account, Deposit { amount: 1 }).await.unwrap();
        assert_eq!(receipt.events()[0].schema_version, 1);
        assert_eq!(runtime.state::<Person>(a).await.unwrap().initials, "GH", "current events are left as they are");
        runtime.shutdown().await.unwrap();
    }

    async fn u4_rename_reshape_split_drop_keep_the_sequence(store) {
        let id = Uuid::new_v4();
        let rumour = |text: &str, true_after_all| RumourHeard { text: text.into(), true_after_all };
        store.plant(&key(id), vec![
            stored(&v1("Ada Lovelace"), 1),
            stored(&rumour("the earth is flat", false), 1),
            stored(&AddressChanged { address: "1 Main St, London".into() }, 1),
            stored(&rumour("engines compute", true), 1),
        ]).await;
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let person = runtime.state::<Person>(id).await.unwrap();
        assert_eq!(person.facts, ["engines compute"], "the dropped one left no trace in the state");
        assert_eq!(person.next_sequence(), 4, "and kept its sequence");
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(id), [0, 2, 2], "a split event keeps its one sequence");
        // Time travel stops at sequences, not at parts of them.
        let then = runtime.state::<Person>(id).as_of_sequence(1).await.unwrap();
        assert_eq!((&*then.city, then.next_sequence()), ("", 2));
        let then = runtime.state::<Person>(id).as_of_sequence(2).await.unwrap();
        assert_eq!((&*then.street, &*then.city), ("1 Main St", "London"));
        // The next event follows on the stored ones.
        let receipt = runtime.send::<Person>(id, MovePerson { street: "s".into(), city: "c".into() }).await.unwrap();
        assert_eq!(receipt.events().iter().map(|event| event.sequence).collect::<Vec<_>>(), [4, 5]);
        // A split shape is a current type of its own now: its new events are not split again.
        runtime.shutdown().await.unwrap();
        let runtime = start(&store).await;
        let person = runtime.state::<Person>(id).await.unwrap();
        assert_eq!((&*person.street, &*person.city, person.next_sequence()), ("s", "c", 6));
        let raw = events_of(runtime.storage(), &key(id)).await;
        assert_eq!(decode::<StreetChanged>(&raw[4]).street, "s");
        runtime.shutdown().await.unwrap();
    }

    async fn u5_a_newer_version_is_an_error_that_says_so(store) {
        let (person, account) = (Uuid::new_v4(), Uuid::new_v4());
        let account_key = StreamKey::main("account", account);
        let future = PersonNamed { first: "x".into(), last: "y".into(), initials: "?".into() };
        store.plant(&key(person), vec![stored(&v1("Ada Lovelace"), 1), stored(&future, 4)]).await;
        store.plant(&account_key, vec![stored(&Deposited { amount: 5, ..Default::default() }, 2)]).await;
        let rig = Rig::new();
        let runtime = rig.start(&store).await;
        let error = runtime.state::<Person>(person).await.unwrap_err();
        assert_eq!((error.code(), error.status()), ("SCHEMA_TOO_NEW", Code::DataLoss));
        let facts = error.facts();
        for fact in [("stored_version", "4"), ("known_version", "3"), ("sequence", "1"), ("event_type", "test.PersonNamed")] {
            assert!(facts.iter().any(|(name, value)| (*name, &**value) == fact), "{fact:?} in {facts:?}");
        }
        assert!(error.to_string().contains("newer version of the program"), "{error}");
        let error = runtime.send::<Person>(person, NamePerson::default()).await.unwrap_err();
        assert_eq!(error.code(), "SCHEMA_TOO_NEW");
        // A type without any chain is no exception.
        assert_eq!(runtime.state::<Account>(account).await.unwrap_err().code(), "SCHEMA_TOO_NEW");
        // What is before it can be read.
        assert_eq!(runtime.state::<Person>(person).as_of_sequence(0).await.unwrap().first, "Ada");
        // Nothing was guessed for the read models either: the event is parked, whole.
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(person), [0]);
        assert!(rig.journal.sequences(account).is_empty());
        let letters = runtime.dead_letters().list(&Default::default()).await.unwrap();
        assert!(letters.iter().any(|letter| letter.letter.source_component == "journal" && letter.domain() == "person"));
        // Other streams go on.
        let other = Uuid::new_v4();
        runtime.send::<Person>(other, NamePerson { first: "A".into(), last: "B".into() }).await.unwrap();
        runtime.settled().await;
        assert_eq!(rig.journal.sequences(other), [0]);
        runtime.shutdown().await.unwrap();
    }

    /// An event that is no longer readable, or that the aggregate forgot, is an error as well: never a wrong state.
    async fn u5_an_unreadable_event_is_an_error(store) {
        let (broken, forgotten) = (Uuid::new_v4(), Uuid::new_v4());
        let mut garbage = stored(&Deposited::default(), 1);
        garbage.payload = vec![0xff; 4].into();
        store.plant(&StreamKey::main("account", broken), vec![garbage]).await;
        store.plant(&StreamKey::main("account", forgotten), vec![stored(&Stranger {}, 1)]).await;
        let runtime = start(&store).await;
        for id in [broken, forgotten] {
            let error = runtime.state::<Account>(id).await.unwrap_err();
            assert_eq!((error.code(), error.status()), ("UNREADABLE_EVENT", Code::DataLoss), "{error}");
            assert_eq!(runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap_err().code(), "UNREADABLE_EVENT");
        }
        // Both get over it when they are met while the runtime runs, too.
        let id = Uuid::new_v4();
        plant(runtime.storage(), &key(id), vec![stored(&v1("A B"), 1)], 5).await;
        assert_eq!(runtime.state::<Person>(id).await.unwrap().initials, "AB");
        runtime.shutdown().await.unwrap();
    }

    /// A step that panics is an event that cannot be read: whoever asks for that stream is told, nobody else notices.
    async fn c5_u1_a_panicking_upcaster_harms_nobody(store) {
        let (broken, fine) = (Uuid::new_v4(), Uuid::new_v4());
        let old = |how: &str| stored(&StruckV1 { how: how.into() }, 1);
        store.plant(&StreamKey::main("brittle", broken), vec![old("well"), old("upcaster")]).await;
        store.plant(&StreamKey::main("brittle", fine), vec![old("well")]).await;
        let runtime = start(&store).await;
        for _ in 0..2 {
            let strike = Strike { how: "again".into() };
            for error in [
                runtime.state::<Brittle>(broken).await.unwrap_err(),
                runtime.send::<Brittle>(broken, strike.clone()).await.unwrap_err(),
                runtime.preview::<Brittle>(broken, strike.clone()).await.unwrap_err(),
            ] {
                assert_eq!((error.code(), error.status()), ("UNREADABLE_EVENT", Code::DataLoss), "{error}");
                assert!(error.to_string().contains("upcast_struck"), "{error}");
                assert!(error.to_string().contains("brittle.rs:"), "it says where: {error}");
            }
        }
        assert_eq!(runtime.state::<Brittle>(broken).as_of_sequence(0).await.unwrap().last, "well");
        runtime.send::<Brittle>(fine, Strike { how: "on".into() }).await.unwrap();
        assert_eq!(runtime.state::<Brittle>(fine).await.unwrap().strikes, 2);
        runtime.shutdown().await.unwrap();
    }
}
