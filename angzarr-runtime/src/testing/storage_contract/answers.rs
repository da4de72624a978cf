//! What processes tell each other, where they share a store (rows S3, S4, R5).

use std::time::Duration;

use super::*;
use crate::storage::{Answer, Answers};
use crate::stream::WaitMark;

const ONE: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

fn answers(it: &Subject) -> &dyn Answers {
    it.storage.answers().expect("a store that several processes share")
}

fn answer(wait: Uuid, key: &str, until: Nanos, text: &str) -> Answer {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Answer { wait, key: bytes(key), until, answer: bytes(text) }
}

async fn told(it: &Subject, waits: &[Uuid]) -> Vec<(Uuid, String, String)> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let read = answers(it).read(waits).await.expect("answers can be read");
    let mut told: Vec<_> = read.iter().map(|it| (it.wait, text(&it.key), text(&it.answer))).collect();
    told.sort();
    told
}

fn line(wait: Uuid, key: &str, text: &str) -> (Uuid, String, String) {
    (wait, key.to_owned(), text.to_owned())
}

/// Promises 1 and 3 of [`Answers`]: each wait has its own, however often they are read.
pub async fn s3_r5_what_was_told_is_read_until_it_is_forgotten(it: &Subject) {
    let all = [answer(ONE, "a", 100, "first"), answer(ONE, "b", 100, ""), answer(OTHER, "a", 100, "third")];
    answers(it).tell(&all).await.expect("told");
    for _ in 0..2 {
        assert_eq!(told(it, &[ONE]).await, [line(ONE, "a", "first"), line(ONE, "b", "")]);
    }
    assert_eq!(told(it, &[ONE, OTHER]).await.len(), 3);
    assert!(told(it, &[]).await.is_empty());
    it.put(extras(|extras| extras.answers.push(answer(ONE, "A", 100, "in a commit")))).await.expect("stored");
    answers(it).tell(&[answer(ONE, "0", 100, "last")]).await.expect("told");
    let in_order = answers(it).read(&[ONE]).await.expect("answers can be read");
    let last: Vec<_> = in_order.iter().skip(2).map(|it| &it.key[..]).collect();
    assert_eq!(last, [b"A", b"0"], "in the order in which they were told");
    let read = answers(it).read(&[OTHER]).await.expect("answers can be read");
    assert_eq!(read, [all[2].clone()], "exactly as it was told");
    answers(it).forget(&[ONE], 0).await.expect("forgotten");
    assert_eq!(told(it, &[ONE, OTHER]).await, [line(OTHER, "a", "third")]);
    answers(it).forget(&[], 0).await.expect("nothing happens");
    assert_eq!(told(it, &[OTHER]).await.len(), 1);
}

/// Promise 2: also within one call, and of what was told by a write.
pub async fn s3_r5_the_first_answer_counts(it: &Subject) {
    let doubled = [answer(ONE, "a", 100, "first"), answer(ONE, "a", 100, "second")];
    answers(it).tell(&doubled[..1]).await.expect("told");
    answers(it).tell(&doubled).await.expect("told again");
    it.put(extras(|extras| extras.answers.push(answer(ONE, "a", 100, "third")))).await.expect("stored");
    assert_eq!(told(it, &[ONE]).await, [line(ONE, "a", "first")]);
    let at_once = (0..8).map(|n| async move {
        let text = n.to_string();
        answers(it).tell(&[answer(OTHER, "a", 100, &text), answer(OTHER, "b", 100, &text)]).await.expect("told");
    });
    futures_util::future::join_all(at_once).await;
    assert_eq!(told(it, &[OTHER]).await.len(), 2);
}

/// Promise 3: what nobody comes for does not stay.
pub async fn s3_r5_answers_go_by_their_age(it: &Subject) {
    let all = [answer(ONE, "old", 99, ""), answer(ONE, "new", 100, ""), answer(OTHER, "old", -1, "")];
    answers(it).tell(&all).await.expect("told");
    answers(it).forget(&[], 100).await.expect("forgotten");
    assert_eq!(told(it, &[ONE, OTHER]).await, [line(ONE, "new", "")]);
}

/// Promise 1 of [`Answers`] and of [`Storage`]: an answer that is a part of a write is there with it, or neither is.
pub async fn s4_r5_a_write_tells_or_it_is_not_stored(it: &Subject) {
    let with_answer = |mut write: Write, text: &str| {
        write.extras.get_or_insert_default().answers.push(answer(ONE, text, 100, text));
        write
    };
    it.put(with_answer(Write::append(append(&key(1), 0, 2)), "stored")).await.expect("stored");
    let refused = it.put(with_answer(Write::append(append(&key(1), 0, 1)), "refused")).await;
    conflict_at(&refused, 2);
    let settle = Settle { id: Uuid::from_u128(77), due: 0 };
    let settled = extras(|extras| extras.settles.push(settle));
    let gone = it.put(with_answer(settled, "gone")).await;
    assert!(matches!(gone, Err(WriteError::Settled { .. })), "{gone:?}");
    let with_letter = extras(|extras| extras.dead_letters.push(letter(1, "account", "saga", "")));
    it.put(with_answer(with_letter, "letter")).await.expect("stored");
    assert_eq!(told(it, &[ONE]).await, [line(ONE, "letter", "letter"), line(ONE, "stored", "stored")]);
    assert_eq!(it.next_sequence(&key(1)).await, 2);
}

fn mark() -> WaitMark {
    WaitMark::new(ONE, Some(proto::CascadeErrorMode::CascadeErrorCompensate), Duration::from_secs(5))
}

/// The mark comes back with its event, whatever else it carries; and its events are found, in order.
pub async fn s4_r5_events_of_a_wait_are_found(it: &Subject) {
    let (mark, other) = (mark(), mark());
    let trace = TraceContext::new([1; 16], [2; 8], 1);
    let plain = Headers::default();
    let headers = [
        plain.clone().with_wait(Some(mark)),
        plain.clone(),
        Headers::new("workflow", None).with_trace(trace).with_wait(Some(mark.at_depth(7))),
        plain.clone().with_wait(Some(other)),
        plain.clone().with_trace(trace),
    ];
    for (n, headers) in headers.iter().enumerate() {
        let append = Append { headers: headers.clone(), ..append(&key(n as u128 % 2), n as u32 / 2, 1) };
        it.store(append).await;
    }
    let log = it.log().await;
    assert_eq!(log.iter().map(|item| item.event.headers.clone()).collect::<Vec<_>>(), headers);
    let found = it.storage.read_wait(mark.wait(), 0).await.expect("events of a wait");
    assert_eq!(found, [log[0].clone(), log[2].clone()]);
    let behind =
        async |event: &LogEvent| it.storage.read_wait(mark.wait(), event.event.position).await.expect("events");
    assert_eq!((behind(&log[0]).await, behind(&log[1]).await), (vec![log[2].clone()], vec![log[2].clone()]));
    assert!(behind(&log[2]).await.is_empty());
    assert_eq!(it.storage.read_wait(other.wait(), 0).await.expect("events of a wait"), [log[3].clone()]);
    assert!(it.storage.read_wait(OTHER, 0).await.expect("events of a wait").is_empty());
}

/// What a branch has to say on main is another story; its trace stays.
pub async fn b6_r5_nobody_waits_for_merged_events(it: &Subject) {
    let (mark, trace) = (mark(), TraceContext::new([1; 16], [2; 8], 1));
    let marked = [
        Headers::default().with_wait(Some(mark)),
        Headers::default().with_trace(trace).with_wait(Some(mark)),
        Headers::default().with_trace(trace),
    ];
    let mut merges = Vec::new();
    for (n, headers) in (1..).zip(&marked) {
        let branch = StreamKey { edition: "what-if".into(), ..key(n) };
        it.store(Append { headers: headers.clone(), diverged_at: Some(0), ..append(&branch, 0, 1) }).await;
        merges.push(StreamMerge { branch, diverged_at: 0, next_sequence: 1, dedup: Vec::new() });
    }
    it.put(extras(|extras| extras.merges = merges)).await.expect("merged");
    let on_main = it.log().await.split_off(3);
    let found: Vec<_> = on_main.iter().map(|item| (item.event.headers.wait(), item.event.headers.trace())).collect();
    assert_eq!(found, [(None, None), (None, trace), (None, trace)]);
    assert_eq!(it.storage.read_wait(mark.wait(), 0).await.expect("events of a wait").len(), 2, "the branch's own");
    let discard = EditionDiscard { edition: "what-if".into(), domain: None, at: 0 };
    it.put(extras(|extras| extras.discards.push(discard))).await.expect("discarded");
    assert!(it.storage.read_wait(mark.wait(), 0).await.expect("events of a wait").is_empty());
}

/// By whoever tells, in whatever way.
pub async fn s3_r5_who_waits_is_woken(it: &Subject) {
    let mut news = answers(it).news();
    let woken = async |news: &mut tokio::sync::watch::Receiver<()>| {
        let woken = tokio::time::timeout(Duration::from_secs(20), news.changed()).await;
        assert!(matches!(woken, Ok(Ok(()))), "nobody was woken");
    };
    answers(it).tell(&[answer(ONE, "a", 100, "")]).await.expect("told");
    woken(&mut news).await;
    it.put(extras(|extras| extras.answers.push(answer(ONE, "b", 100, "")))).await.expect("stored");
    woken(&mut news).await;
}
