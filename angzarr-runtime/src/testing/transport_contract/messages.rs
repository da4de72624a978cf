//! What a transport does while nothing fails.

use super::*;

/// Listeners of the process that announces.
pub async fn p1_an_announcement_is_heard(subject: &Subject) {
    let transport = subject.process();
    let mut woken = transport.listen();
    woken.mark_unchanged();
    for position in [3, 4, 9] {
        transport.announce(position);
        within("a wake-up", woken.wait_for(|heard| *heard >= position))
            .await
            .expect("it lives as long as the transport");
    }
}

/// Listeners of others, which may hear the first one late.
pub async fn p1_other_processes_hear_it(subject: &Subject) {
    let (one, other) = (subject.process(), subject.process());
    for position in [5, 8] {
        heard_by(one.as_ref(), other.as_ref(), position).await;
    }
}

/// Every field comes, to consumers of every name.
pub async fn p3_what_is_published_comes_to_every_name(subject: &Subject) {
    let (publisher, one, other) = (subject.process(), subject.process(), subject.process());
    let mut consumers = [consume(one.as_ref(), "one").await, consume(other.as_ref(), "other").await];
    let batch = Log::new().events(60, &streams(5));
    publish(publisher.as_ref(), &batch).await;
    for consumer in &mut consumers {
        assert_eq!(sorted(take(consumer.as_mut(), 60).await), batch, "as it was published");
    }
}

/// Nothing is asked for, nothing can fail.
pub async fn p3_an_empty_batch_is_confirmed(subject: &Subject) {
    publish(subject.process().as_ref(), &[]).await;
}

/// Half a megabyte; brokers' own limits are larger.
pub async fn p3_large_payloads_come_whole(subject: &Subject) {
    let transport = subject.process();
    let mut consumer = consume(transport.as_ref(), "large").await;
    let (mut log, streams) = (Log::new(), streams(1));
    let batch: Vec<_> =
        [512 << 10, 0, 1, 300 << 10].into_iter().map(|bytes| log.event(&streams[0], vec![7; bytes])).collect();
    publish(transport.as_ref(), &batch).await;
    assert_eq!(take(consumer.as_mut(), 4).await, batch);
}

/// Many batches, many streams, a consumer that begins at once.
pub async fn p4_streams_keep_their_order(subject: &Subject) {
    let (publisher, reader) = (subject.process(), subject.process());
    let mut consumer = consume(reader.as_ref(), "order").await;
    let (mut log, streams) = (Log::new(), streams(20));
    let publishing = async {
        for size in [1, 2, 300, 5, 64, 128] {
            publish(publisher.as_ref(), &log.events(size, &streams)).await;
        }
    };
    let ((), taken) = tokio::join!(publishing, take(consumer.as_mut(), 500));
    assert_in_order(&taken);
}

/// Whether both get all, or each a share.
pub async fn p5_consumers_of_one_name_miss_nothing_together(subject: &Subject) {
    let (publisher, one, other) = (subject.process(), subject.process(), subject.process());
    let (mut one, mut other) = (consume(one.as_ref(), "same").await, consume(other.as_ref(), "same").await);
    let batch = Log::new().events(200, &streams(10));
    publish(publisher.as_ref(), &batch).await;
    let mut missing: BTreeSet<String> = batch.iter().map(Publication::id).collect();
    let all = async {
        while !missing.is_empty() {
            let (delivery, from) = tokio::select! {
                delivery = one.next() => (delivery, &mut one),
                delivery = other.next() => (delivery, &mut other),
            };
            let delivery = delivery.expect("it delivers");
            missing.remove(&delivery.publication.id());
            from.acknowledge(delivery.tag).await.expect("it takes acknowledgements");
        }
    };
    within("every message comes to one of the two", all).await;
}

/// Names are users' own.
pub async fn p5_any_name_is_taken_or_refused(subject: &Subject) {
    let transport = subject.process();
    let long = "x".repeat(250);
    let names = ["a b.c>*/\\ü", "ä", "A", "a", "%20", "=20", " ", long.as_str()];
    let (mut log, streams) = (Log::new(), streams(1));
    for name in names {
        let mut consumer = match within("an answer", transport.consume(name)).await {
            Ok(consumer) => consumer,
            Err(error) => {
                assert_eq!(error.kind, TransportErrorKind::Refused, "{error}");
                continue;
            }
        };
        let batch = log.events(3, &streams);
        publish(transport.as_ref(), &batch).await;
        assert_eq!(sorted(take(consumer.as_mut(), 3).await), batch, "`{name}` is a name of its own");
    }
}

/// A consumer that dies with messages in its hands.
pub async fn p6_what_is_not_acknowledged_comes_again(subject: &Subject) {
    if !subject.keeps {
        return;
    }
    let (publisher, one, other) = (subject.process(), subject.process(), subject.process());
    let mut consumer = consume(one.as_ref(), "heir").await;
    let batch = Log::new().events(40, &streams(3));
    publish(publisher.as_ref(), &batch).await;
    let mut missing: BTreeSet<String> = batch.iter().map(Publication::id).collect();
    for n in 0..25 {
        let delivery = within("a message", consumer.next()).await.expect("it delivers");
        if n < 10 {
            consumer.acknowledge(delivery.tag).await.expect("it takes acknowledgements");
            missing.remove(&delivery.publication.id());
        }
    }
    drop(consumer);
    drop(one);
    let mut heir = consume(other.as_ref(), "heir").await;
    while !missing.is_empty() {
        let delivery = within("what was not acknowledged", heir.next()).await.expect("it delivers");
        heir.acknowledge(delivery.tag).await.expect("it takes acknowledgements");
        missing.remove(&delivery.publication.id());
    }
}

/// A consumer that is away for a while.
pub async fn p6_what_is_published_meanwhile_waits_for_its_consumer(subject: &Subject) {
    if !subject.keeps {
        return;
    }
    let (publisher, reader) = (subject.process(), subject.process());
    drop(consume(reader.as_ref(), "traveller").await);
    let batch = Log::new().events(30, &streams(4));
    publish(publisher.as_ref(), &batch).await;
    let mut consumer = consume(reader.as_ref(), "traveller").await;
    assert_eq!(sorted(take(consumer.as_mut(), 30).await), batch);
}

/// As after a confirmation that was lost.
pub async fn p6_a_double_is_the_same_message(subject: &Subject) {
    let transport = subject.process();
    let mut consumer = consume(transport.as_ref(), "doubles").await;
    let (mut log, streams) = (Log::new(), streams(2));
    let batch = log.events(10, &streams);
    let last = log.events(1, &streams);
    publish(transport.as_ref(), &batch).await;
    publish(transport.as_ref(), &batch).await;
    publish(transport.as_ref(), &last).await;
    let mut seen = BTreeMap::new();
    loop {
        let delivery = within("a message", consumer.next()).await.expect("it delivers");
        consumer.acknowledge(delivery.tag).await.expect("it takes acknowledgements");
        let publication = delivery.publication;
        let is_last = publication == last[0];
        let first = seen.entry(publication.id()).or_insert_with(|| publication.clone());
        assert_eq!(*first, publication, "one id, one message");
        if is_last && seen.len() == 11 {
            break;
        }
    }
    assert_eq!(sorted(seen.into_values().collect()), [batch, last].concat());
}

/// Whoever waits may change their mind, again and again.
pub async fn a_wait_that_is_given_up_takes_nothing(subject: &Subject) {
    let (publisher, reader) = (subject.process(), subject.process());
    let mut consumer = consume(reader.as_ref(), "hesitant").await;
    let batch = Log::new().events(50, &streams(3));
    let mut missing: BTreeSet<String> = batch.iter().map(Publication::id).collect();
    let impatient = async {
        let mut patience = 0;
        while !missing.is_empty() {
            patience = (patience + 1) % 7;
            if let Ok(delivery) = timeout(Duration::from_micros(patience * 150), consumer.next()).await {
                let delivery = delivery.expect("it delivers");
                consumer.acknowledge(delivery.tag).await.expect("it takes acknowledgements");
                missing.remove(&delivery.publication.id());
            }
        }
    };
    let publishing = async {
        for part in batch.chunks(5) {
            publish(publisher.as_ref(), part).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("everything comes", async { tokio::join!(publishing, impatient) }).await;
}

/// What is told is true: the relay goes on behind it (row R3).
pub async fn r3_the_newest_is_known_or_not_told(subject: &Subject) {
    let (one, other) = (subject.process(), subject.process());
    let (mut log, streams) = (Log::new(), streams(3));
    let newest = async |transport: &Arc<dyn Transport>| {
        within("an answer", transport.newest(log.store)).await.expect("it can be asked")
    };
    assert!(matches!(newest(&one).await, None | Some(0)), "nothing was published");
    let batch = log.events(20, &streams);
    publish(one.as_ref(), &batch).await;
    for transport in [&one, &other] {
        let newest = within("an answer", transport.newest(log.store)).await.expect("it can be asked");
        assert!(newest.is_none_or(|newest| newest == log.position), "{newest:?} is not {}", log.position);
    }
}

/// Row D3.
pub async fn d3_dead_letters_lie_on_the_topic_of_their_domain(subject: &Subject) {
    let transport = subject.process();
    let Some(read) = &subject.letters else {
        assert!(!transport.carries_letters(), "a transport that carries letters is tested with a way to read them");
        return;
    };
    assert!(transport.carries_letters());
    let letter = |n: u128, domain: &str| DeadLetter {
        id: Uuid::from_u128(n),
        letter: proto::AngzarrDeadLetter {
            cover: Some(proto::Cover { domain: domain.to_owned(), ..Default::default() }),
            rejection_reason: format!("reason {n}"),
            source_component: "somebody".to_owned(),
            ..Default::default()
        },
        attempts: 3,
        occurred_at: 1_000,
        resolution: None,
    };
    let letters = [letter(1, "account"), letter(2, "order"), letter(3, "account")];
    within("the confirmation", transport.publish_letters(Uuid::new_v4(), &letters)).await.expect("they are taken");
    let reasons = |letters: Vec<proto::AngzarrDeadLetter>| {
        letters.into_iter().map(|it| it.rejection_reason).collect::<BTreeSet<_>>()
    };
    assert_eq!(reasons(read("account").await), ["reason 1".to_owned(), "reason 3".to_owned()].into());
    assert_eq!(read("order").await, [letters[1].letter.clone()], "whole");
}
