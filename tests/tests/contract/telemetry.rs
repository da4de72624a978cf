//! I1 in what the runtime tells: spans and events by their stable names, each stage once, with the correlation id.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};

use angzarr_runtime::dead_letter::DeadLetterFilter;
use angzarr_runtime::prelude::*;
use angzarr_runtime::proto::{self, CommandPageExt as _, CoverExt as _};
use angzarr_runtime::stream::StreamKey;
use angzarr_tests::account::Account;
use angzarr_tests::ledger::Ledger;
use angzarr_tests::messages::*;
use angzarr_tests::reactions::Trouble;
use angzarr_tests::rig::{account, eventually, page, request};
use angzarr_tests::store::{plant, stored};
use angzarr_tests::{Fault, Faults, Rig, Store, Storm, Weather};
use tracing::field::{Field, Visit};
use tracing::{Level, span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

type Fields = BTreeMap<&'static str, String>;

#[derive(Clone, Debug)]
struct Span {
    name: &'static str,
    target: &'static str,
    parent: Option<usize>,
    fields: Fields,
}

#[derive(Clone, Debug)]
struct Event {
    level: Level,
    target: &'static str,
    text: String,
    fields: Fields,
    span: Option<usize>,
}

/// Everything that is told on the test's own thread, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Vec<Span>, Vec<Event>)>>);

/// The place of a span in [`Told`].
struct Place(usize);

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Told {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let span = context.span(id).expect("it is new");
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        let parent = span.parent().and_then(|parent| parent.extensions().get::<Place>().map(|place| place.0));
        let spans = &mut self.0.lock().unwrap().0;
        span.extensions_mut().insert(Place(spans.len()));
        spans.push(Span { name: span.name(), target: span.metadata().target(), parent, fields });
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let place = context.span(id).and_then(|span| span.extensions().get::<Place>().map(|place| place.0));
        values.record(&mut Reader(&mut self.0.lock().unwrap().0[place.expect("it was new once")].fields));
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        let text = fields.remove("message").unwrap_or_default();
        let span = context.event_span(event);
        let span = span.and_then(|span| span.extensions().get::<Place>().map(|place| place.0));
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        self.0.lock().unwrap().1.push(Event { level, target, text, fields, span });
    }
}

impl Told {
    /// Whatever is told on this thread until the guard is dropped.
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        // As long as there is one subscriber only, `tracing` asks the thread that comes to a span first whether anybody
        // listens: that of a test that does not would say no for all. With a second one it asks them all.
        static ANOTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| tracing::Dispatch::new(Registry::default()));
        let told = Self::default();
        let listening = tracing::subscriber::set_default(Registry::default().with(told.clone()));
        (told, listening)
    }

    fn forget_events(&self) {
        self.0.lock().unwrap().1.clear();
    }

    /// The spans of a name with these fields.
    fn spans(&self, name: &str, with: &[(&str, &str)]) -> Vec<(usize, Span)> {
        let spans = self.0.lock().unwrap().0.clone();
        let wanted =
            |span: &Span| span.name == name && with.iter().all(|(name, value)| field(&span.fields, name) == *value);
        spans.into_iter().enumerate().filter(|(_, span)| wanted(span)).collect()
    }

    /// The only one.
    fn span(&self, name: &str, with: &[(&str, &str)]) -> (usize, Span) {
        let mut found = self.spans(name, with);
        assert_eq!(found.len(), 1, "{name} {with:?}: {found:#?}");
        found.remove(0)
    }

    /// The newest span of a command for an account; the number of them is that of the commands so far.
    fn command(&self, root: Uuid, number: usize) -> (Span, Vec<Event>) {
        let mut found = self.spans("command", &[("domain", "account"), ("root", &root.to_string())]);
        assert_eq!(found.len(), number, "one span for each command");
        let (place, span) = found.pop().unwrap();
        (span, self.events_in(place))
    }

    fn events_in(&self, place: usize) -> Vec<Event> {
        self.events(|event| event.span == Some(place))
    }

    fn events(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.0.lock().unwrap().1.iter().filter(|event| wanted(event)).cloned().collect()
    }

    /// The only event of a text, with one of these fields.
    fn event(&self, text: &str, component: &str) -> Event {
        let mut found =
            self.events(|event| event.text == text && [component, ""].contains(&field(&event.fields, "component")));
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        found.remove(0)
    }
}

fn field<'f>(fields: &'f Fields, name: &str) -> &'f str {
    fields.get(name).map_or("", String::as_str)
}

fn texts(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.text.as_str()).collect()
}

fn fields<const N: usize>(expected: [(&'static str, &str); N]) -> Fields {
    expected.map(|(name, value)| (name, value.to_owned())).into()
}

fn money(to: Uuid, trouble: &str) -> SendMoney {
    SendMoney { to: to.as_bytes().to_vec(), amount: 5, copies: 1, trouble: trouble.into(), ..Default::default() }
}

/// Everything on one thread: a subscriber of its own for each test.
macro_rules! on_one_thread {
    ($($name:ident)+) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Store::memory()).await; })+
        }
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Store::sqlite()).await; })+
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Store::postgres()).await; })+
        }
    };
}

on_one_thread! {
    i1_c1_each_stage_of_a_command_is_told_once
    i1_c6_m7_what_is_tried_again_is_told_in_one_span
    i1_c7_l_a_refusal_without_a_stream_says_what_is_known
    i1_g1_j1_reactions_and_what_they_cause_stand_in_their_spans
    i1_g3_j2_warnings_say_by_themselves_what_they_are_about
    i1_r6_a_shutdown_in_the_middle_of_a_saga_is_no_error
    i1_r2_r7_what_goes_to_a_transport_and_comes_from_it_is_told
}

const ACCEPTED: [&str; 4] = ["state loaded", "decided", "stored", "command accepted"];

async fn i1_c1_each_stage_of_a_command_is_told_once(store: Store) {
    let (told, _listening) = Told::listen();
    let runtime = Rig::new().start(&store).await;
    let id = Uuid::new_v4();
    let root = id.to_string();

    // Nothing is at hand: the stream is read.
    runtime.send::<Account>(id, DepositMany { count: 3 }).correlation("wf-1").await.unwrap();
    let (span, events) = told.command(id, 1);
    let expected = [
        ("component", "Account"),
        ("command", "test.DepositMany"),
        ("domain", "account"),
        ("root", &root),
        ("correlation_id", "wf-1"),
        ("sequence", "0"),
    ];
    assert_eq!((span.target, &span.fields), ("angzarr_runtime::command", &fields(expected)));
    assert_eq!(texts(&events), ACCEPTED);
    let stream = format!("account/{id}");
    let loaded = [("stream", stream.as_str()), ("source", "store"), ("events", "0"), ("next_sequence", "0")];
    assert_eq!(events[0].fields, fields(loaded));
    assert_eq!(events[1].fields, fields([("events", "3")]));
    assert_eq!(events[2].fields, fields([("sequence", "0"), ("events", "3"), ("position", "3")]));
    assert_eq!(events[3].fields, fields([("events", "3"), ("next_sequence", "3"), ("repeat", "false")]));
    assert!(events.iter().all(|event| event.level == Level::DEBUG && event.target == "angzarr_runtime::command"));

    // The state is at hand; a store that commits at once answers without a wait.
    runtime.send::<Account>(id, Deposit { amount: 5 }).await.unwrap();
    let (span, events) = told.command(id, 2);
    let expected = [
        ("component", "Account"),
        ("command", "test.Deposit"),
        ("domain", "account"),
        ("root", &root),
        ("sequence", "3"),
    ];
    assert_eq!(span.fields, fields(expected));
    assert_eq!(texts(&events), ACCEPTED);
    assert_eq!((field(&events[0].fields, "source"), field(&events[0].fields, "next_sequence")), ("cache", "3"));

    // Refused: by the handler, and for the sequence.
    runtime.send::<Account>(id, Deposit { amount: 0 }).await.unwrap_err();
    let (span, events) = told.command(id, 3);
    assert_eq!(field(&span.fields, "sequence"), "", "nothing was stored");
    assert_eq!(texts(&events), ["state loaded", "command refused"]);
    assert_eq!(field(&events[1].fields, "code"), "REJECTED");
    assert_eq!(field(&events[1].fields, "rejection"), "not_positive");
    runtime.send::<Account>(id, Withdraw { amount: 1 }).expect_sequence(9).await.unwrap_err();
    let (_, events) = told.command(id, 4);
    assert_eq!(texts(&events), ["state loaded", "command refused"]);
    assert_eq!(field(&events[1].fields, "code"), "SEQUENCE_MISMATCH");

    // The other door, and a book of two.
    let pages = [page(&Deposit { amount: 1 }), page(&Deposit { amount: 2 })];
    runtime.handle_command(request(account(id), pages)).await.unwrap();
    let (span, events) = told.command(id, 5);
    assert_eq!((field(&span.fields, "command"), field(&span.fields, "commands")), ("test.Deposit", "2"));
    assert_eq!(field(&span.fields, "sequence"), "4");
    assert_eq!(texts(&events), ACCEPTED);
    // The second page cannot be at the sequence that it expects: no handler ran, no stage is told twice.
    let pages = [page(&Deposit { amount: 1 }), page(&Withdraw { amount: 2 }).expecting(3)];
    runtime.handle_command(request(account(id), pages)).await.unwrap_err();
    let (_, events) = told.command(id, 6);
    assert_eq!(texts(&events), ["state loaded", "command refused"]);

    // Nothing to store; a wait; a repeat; a branch.
    runtime.send::<Account>(id, DoNothing {}).await.unwrap();
    assert_eq!(texts(&told.command(id, 7).1), ["state loaded", "decided", "command accepted"]);
    let simple = runtime.send::<Account>(id, Deposit { amount: 1 }).sync(SyncMode::Simple).external_id("one").await;
    let (_, events) = told.command(id, 8);
    assert_eq!(texts(&events), ["state loaded", "decided", "stored", "projectors waited for", "command accepted"]);
    let done = simple.unwrap().done().len();
    assert!(done > 0);
    assert_eq!(events[3].fields, fields([("done", &done.to_string()), ("missing", "0")]));
    runtime.send::<Account>(id, Deposit { amount: 1 }).external_id("one").await.unwrap();
    let (_, events) = told.command(id, 9);
    assert_eq!(texts(&events), ["command accepted"]);
    assert_eq!(field(&events[0].fields, "repeat"), "true");
    // From an earlier place: main's state, which is at hand, is of no use for it.
    let earlier = Edition::named("what-if").diverge("account", 6);
    runtime.send::<Account>(id, Deposit { amount: 1 }).edition(earlier).await.unwrap();
    let (span, events) = told.command(id, 10);
    assert_eq!((field(&span.fields, "edition"), field(&span.fields, "sequence")), ("what-if", "6"));
    assert_eq!(texts(&events), ACCEPTED);
    assert_eq!(field(&events[0].fields, "events"), "6", "what it inherits");
    runtime.shutdown().await.unwrap();
}

async fn i1_c6_m7_what_is_tried_again_is_told_in_one_span(store: Store) {
    let (told, _listening) = Told::listen();
    let runtime = Rig::new().start(&store).await;
    let id = Uuid::new_v4();
    let key = StreamKey::main("account", id);
    runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    // Behind the back of the cache.
    plant(runtime.storage(), &key, vec![stored(&Noted { text: "first".into() }, 1)], i64::MAX).await;
    runtime.send::<Account>(id, Deposit { amount: 1 }).await.unwrap();
    let (span, events) = told.command(id, 2);
    assert_eq!(field(&span.fields, "sequence"), "2");
    let lost = ["state loaded", "decided", "raced by another writer"];
    assert_eq!(texts(&events), [&lost[..], &ACCEPTED].concat());
    assert_eq!((field(&events[0].fields, "source"), field(&events[3].fields, "source")), ("cache", "store"));

    runtime.send::<Account>(id, AddPoints { points: 1 }).expect_sequence(1).retry().await.unwrap();
    let (_, events) = told.command(id, 3);
    let again = ["state loaded", "retried with the fresh sequence"];
    assert_eq!(texts(&events), [&again[..], &ACCEPTED].concat());
    assert_eq!(events[1].fields, fields([("expected", "1"), ("actual", "3")]));
    runtime.shutdown().await.unwrap();
}

async fn i1_c7_l_a_refusal_without_a_stream_says_what_is_known(store: Store) {
    let (told, _listening) = Told::listen();
    let runtime = Rig::new().start(&store).await;
    let id = Uuid::new_v4();
    let root = id.to_string();
    let refused = |expected: &[(&'static str, &str)]| {
        let mut event = told.event("command refused", "");
        assert_eq!((event.level, event.target, event.span), (Level::DEBUG, "angzarr_runtime::command", None));
        assert_ne!(event.fields.remove("error"), None);
        let expected = expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(event.fields, expected);
        told.forget_events();
    };

    let cover = proto::Cover { correlation_id: "wf-1".into(), ..proto::Cover::of("acount", id.into_bytes()) };
    runtime.handle_command(request(cover, [page(&Deposit { amount: 1 })])).await.unwrap_err();
    let known = [("domain", "acount"), ("root", &root), ("command", "test.Deposit"), ("correlation_id", "wf-1")];
    refused(&[&[("code", "UNKNOWN_DOMAIN")], &known[..]].concat());

    runtime.handle_command(request(account(id), [page(&Stranger {})])).await.unwrap_err();
    let field = ("field", "command.pages[0]");
    let known = [("domain", "account"), ("root", root.as_str()), ("command", "test.Stranger"), field];
    refused(&[&[("code", "UNKNOWN_COMMAND")], &known[..]].concat());

    let mut broken = page(&Deposit { amount: 1 });
    let Some(proto::command_page::Payload::Command(command)) = &mut broken.payload else { panic!("a command") };
    command.value = vec![0xff; 3];
    runtime.handle_command(request(account(id), [broken])).await.unwrap_err();
    let field = ("field", "command.pages[0].command");
    let known = [("domain", "account"), ("root", root.as_str()), ("command", "test.Deposit"), field];
    refused(&[&[("code", "INVALID_ARGUMENT")], &known[..]].concat());

    runtime.handle_command(proto::CommandRequest::default()).await.unwrap_err();
    refused(&[("code", "INVALID_ARGUMENT"), ("field", "command")]);

    let long = Note { text: "x".repeat(5 << 20) };
    runtime.send::<Account>(id, long).correlation("wf-2").edition("what-if").await.unwrap_err();
    let known = [("domain", "account"), ("root", &root), ("edition", "what-if"), ("command", "test.Note")];
    let more = [("code", "LIMIT_EXCEEDED"), ("correlation_id", "wf-2"), ("field", "command")];
    refused(&[&known[..], &more].concat());

    assert!(told.spans("command", &[]).is_empty());
    runtime.shutdown().await.unwrap();
}

async fn i1_g1_j1_reactions_and_what_they_cause_stand_in_their_spans(store: Store) {
    let (told, _listening) = Told::listen();
    let runtime = Rig::new().start(&store).await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    let (root, target) = (from.to_string(), to.to_string());
    runtime.send::<Account>(from, money(to, "")).correlation("wf-1").await.unwrap();
    runtime.settled().await;

    let reaction = |component: &str| told.span("reaction", &[("component", component), ("root", &root)]);
    let (saga, span) = reaction("courier");
    let expected = [
        ("component", "courier"),
        ("kind", "saga"),
        ("event", "test.MoneySent"),
        ("domain", "account"),
        ("root", &root),
        ("sequence", "0"),
        ("correlation_id", "wf-1"),
    ];
    assert_eq!((span.target, &span.fields), ("angzarr_runtime::reaction", &fields(expected)));
    let events = told.events_in(saga);
    assert_eq!(texts(&events), ["event handled", "command sent"]);
    assert_eq!(events[0].fields, fields([("handler", "sent"), ("commands", "1")]));
    let ledger = format!("ledger/{to}");
    let sent = [("to", ledger.as_str()), ("command", "test.Book"), ("next_sequence", "1"), ("repeat", "false")];
    assert_eq!(events[1].fields, fields(sent));

    // What the saga caused stands inside.
    let (caused, span) = told.span("command", &[("domain", "ledger"), ("root", &target)]);
    assert_eq!(span.parent, Some(saga));
    let expected = [
        ("component", "Ledger"),
        ("command", "test.Book"),
        ("domain", "ledger"),
        ("root", &target),
        ("correlation_id", "wf-1"),
        ("sequence", "0"),
    ];
    assert_eq!(span.fields, fields(expected));
    assert_eq!(texts(&told.events_in(caused)), ACCEPTED);

    // A projector without a read model that keeps checkpoints, and one with.
    for component in ["journal", "balances"] {
        let (place, span) = reaction(component);
        assert_eq!(field(&span.fields, "kind"), "projector");
        assert_eq!(field(&span.fields, "correlation_id"), "wf-1");
        let events = told.events_in(place);
        assert_eq!(texts(&events), ["event handled"], "{component}");
        assert_eq!(events[0].fields, fields([("handler", "sent")]));
    }
    let committed =
        |event: &Event| event.text == "read model committed" && field(&event.fields, "component") == "balances";
    let committed = told.events(committed);
    assert_eq!(committed.len(), 1);
    // What the saga caused may have come with it: an event of no concern, which the checkpoint passes.
    assert!(["1", "2"].contains(&field(&committed[0].fields, "position")));
    runtime.shutdown().await.unwrap();
}

async fn i1_g3_j2_warnings_say_by_themselves_what_they_are_about(store: Store) {
    let (told, _listening) = Told::listen();
    let rig = Rig::new();
    let runtime = rig.start(&store).await;
    let (from, to) = (Uuid::new_v4(), Uuid::new_v4());
    let stream = format!("account/{from}");
    let about = |event: &Event, component: &str, sequence: &str| {
        assert_eq!(field(&event.fields, "component"), component);
        assert_eq!(field(&event.fields, "stream"), stream);
        assert_eq!(field(&event.fields, "sequence"), sequence);
        assert_eq!(field(&event.fields, "correlation_id"), "wf-1");
    };

    // A saga: each try, then the event; a command that its target refuses.
    runtime.send::<Account>(from, money(to, "always")).correlation("wf-1").await.unwrap();
    runtime.settled().await;
    let (saga, _) = told.span("reaction", &[("component", "courier")]);
    let events = told.events_in(saga);
    let tries = rig.courier.tries(from, 0) as usize;
    assert!(tries > 1);
    assert_eq!(texts(&events), [&vec!["event failed"; tries][..], &["event dead-lettered"]].concat());
    for (attempt, event) in (1..).zip(&events[..tries]) {
        about(event, "courier", "0");
        assert_eq!((event.level, field(&event.fields, "kind")), (Level::WARN, "saga"));
        assert_eq!(field(&event.fields, "attempt"), attempt.to_string());
    }
    about(&events[tries], "courier", "0");
    assert_eq!(events[tries].level, Level::WARN);
    runtime.send::<Account>(from, money(to, "refused")).correlation("wf-1").await.unwrap();
    runtime.settled().await;
    let event = told.event("command dead-lettered", "courier");
    about(&event, "courier", "1");
    assert_eq!(event.level, Level::WARN);
    assert_eq!(field(&event.fields, "to"), format!("ledger/{to}"));
    assert_eq!((field(&event.fields, "command"), field(&event.fields, "code")), ("test.Book", "REJECTED"));

    // A projector: the event, and the one behind it.
    for projector in ["journal", "balances"] {
        told.forget_events();
        let (witness, first) = match projector {
            "journal" => (&rig.journal, 2),
            _ => (&rig.balances, 4),
        };
        witness.trouble(from, first, Trouble::Permanent);
        for _ in 0..2 {
            runtime.send::<Account>(from, Deposit { amount: 1 }).correlation("wf-1").await.unwrap();
        }
        runtime.settled().await;
        let (first, second) = (first.to_string(), (first + 1).to_string());
        let event = told.event("event failed", projector);
        about(&event, projector, &first);
        assert_eq!((event.level, field(&event.fields, "kind")), (Level::WARN, "projector"));
        let event = told.event("stream parked: its events wait in the dead letters", projector);
        about(&event, projector, &first);
        assert_eq!((event.level, field(&event.fields, "reason")), (Level::ERROR, "trouble for good"));
        about(&told.event("event parked behind an earlier one", projector), projector, &second);
    }
    told.event("batch falls back to single events", "");

    // An operator lets the first go on, and the one behind it fails.
    rig.journal.no_more_trouble(from, 2);
    rig.journal.trouble(from, 3, Trouble::Permanent);
    let filter = DeadLetterFilter { component: Some("journal".into()), ..DeadLetterFilter::default() };
    let letters = runtime.dead_letters().list(&filter).await.unwrap();
    let before = told.spans("reaction", &[("component", "journal"), ("sequence", "2")]).len();
    runtime.dead_letters().retry(letters[0].id).await.unwrap();
    let again = told.spans("reaction", &[("component", "journal"), ("sequence", "2")]);
    assert_eq!(again.len(), before + 1);
    assert_eq!(texts(&told.events_in(again[before].0)), ["event handled"]);
    let event = told.event("stream stays parked", "journal");
    about(&event, "journal", "3");
    assert_eq!((event.level, field(&event.fields, "letter")), (Level::WARN, letters[1].id.to_string().as_str()));
    runtime.shutdown().await.unwrap();
}

/// A saga is between two commands of one event when the shutdown comes: the second one comes again after the restart.
async fn i1_r6_a_shutdown_in_the_middle_of_a_saga_is_no_error(store: Store) {
    let (told, _listening) = Told::listen();
    let (rig, faults) = (Rig::new(), Faults::new());
    let runtime = faults.describe(&store, rig.builder()).build().await.unwrap();
    let to = Uuid::new_v4();
    faults.next("ledger", [Fault::Hold]);
    runtime.send::<Account>(Uuid::new_v4(), SendMoney { copies: 2, ..money(to, "") }).await.unwrap();
    eventually("the first one is being stored", async || faults.struck() == 1).await;
    let handle = runtime.clone();
    let mut ending = Box::pin(runtime.shutdown());
    assert!(futures_util::poll!(&mut ending).is_pending());
    faults.release();
    ending.await.unwrap();
    let held_back = told.events(|event| event.text == "subscription held back while shutting down");
    assert!(!held_back.is_empty() && held_back.iter().all(|event| event.level == Level::DEBUG), "{held_back:#?}");
    let errors = told.events(|event| event.level == Level::ERROR);
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(handle.subscriptions().iter().all(|status| status.stalled.is_none()));
    drop(handle);
    let runtime = rig.start(&store).await;
    runtime.settled().await;
    assert_eq!(runtime.state::<Ledger>(to).await.unwrap().total, 10, "each once");
    runtime.shutdown().await.unwrap();
}

async fn i1_r2_r7_what_goes_to_a_transport_and_comes_from_it_is_told(store: Store) {
    let (told, _listening) = Told::listen();
    let (storm, id) = (Storm::new(), Uuid::new_v4());
    let stream = StreamKey::main("account", id).to_string();
    storm.down(true);
    let runtime = store.describe(storm.over(Rig::new().builder())).build().await.unwrap();
    runtime.send::<Account>(id, Deposit { amount: 1 }).correlation("wf-1").await.unwrap();
    eventually("the relay is held back", async || runtime.relay().unwrap().stalled.is_some()).await;
    let started = told.event("relay started", "");
    assert_eq!(started.fields, fields([("position", "0"), ("outbox", "true")]));
    let held = told.events(|event| event.text == "relay held back; it will try again").remove(0);
    assert_eq!((held.level, held.target), (Level::WARN, "angzarr_runtime::transport"));
    assert_eq!(field(&held.fields, "reason"), "TRANSPORT_UNAVAILABLE: storm: down on purpose");
    assert!(!field(&held.fields, "pause").is_empty());
    let mut feed = runtime.feed("it").after(0).await.unwrap();
    let without = told.events(|event| event.text == "feed without messages; it goes on from the store").remove(0);
    let expected = [("feed", "it"), ("code", "TRANSPORT_UNAVAILABLE"), ("error", "storm: down on purpose")];
    assert_eq!((without.level, without.fields), (Level::WARN, fields(expected)));
    assert_eq!(feed.next().await.unwrap().event.sequence, 0);
    let read = told.event("feed read the log", "");
    assert_eq!(read.fields, fields([("feed", "it"), ("events", "1"), ("position", "0")]));
    told.forget_events();

    storm.down(false);
    storm.weather(Weather { doubles: 100, ..Weather::default() });
    storm.lose([1]);
    let patience = std::time::Duration::from_millis(1);
    eventually("the feed listens", async || {
        assert!(tokio::time::timeout(patience, feed.next()).await.is_err());
        feed.trouble().is_none() && runtime.relay().unwrap().lag == 0
    })
    .await;
    assert_eq!(told.event("published", "").fields, fields([("events", "1"), ("position", "1")]));
    runtime.send::<Account>(id, DepositMany { count: 2 }).correlation("wf-2").await.unwrap();
    for sequence in 1..=2 {
        assert_eq!(feed.next().await.unwrap().event.sequence, sequence);
    }
    let filled = told.event("hole filled from the store", "");
    let expected =
        [("feed", "it"), ("stream", &*stream), ("sequence", "2"), ("events", "1"), ("correlation_id", "wf-2")];
    assert_eq!((filled.level, filled.fields), (Level::DEBUG, fields(expected)));
    let double =
        || told.events(|event| event.text == "double dropped" && field(&event.fields, "sequence") == "2").pop();
    eventually("the double comes", async || {
        assert!(tokio::time::timeout(patience, feed.next()).await.is_err());
        double().is_some()
    })
    .await;
    assert_eq!(double().unwrap().fields, fields([("feed", "it"), ("stream", &*stream), ("sequence", "2")]));
    runtime.shutdown().await.unwrap();
    assert_eq!(told.event("relay stopped", "").fields, fields([("position", "3")]));
    assert_eq!(feed.next().await.unwrap_err().code(), "SHUTTING_DOWN");
}
