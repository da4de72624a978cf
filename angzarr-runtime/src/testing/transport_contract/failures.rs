//! What a transport does when the line to its broker breaks. A transport without a line has nothing to prove here.

use super::*;

/// While nobody can be told, and for many at once.
pub async fn p2_an_announcement_waits_for_nobody(subject: &Subject) {
    let other = subject.process();
    let (transport, line) = match &subject.line {
        Some(line) => (line.transport.clone(), Some(line)),
        None => (other.clone(), None),
    };
    // Whoever does not listen yet misses it, and that costs latency only.
    let mut woken = heard_by(subject.process().as_ref(), other.as_ref(), 1).await;
    if let Some(line) = line {
        (line.down)(true);
    }
    // Nothing is awaited: it could not wait if it wanted to.
    for position in 1..=10_000 {
        transport.announce(position);
    }
    assert_eq!(*transport.listen().borrow(), 10_000, "listeners of the same process hear at once");
    if let Some(line) = line {
        (line.down)(false);
    }
    within("others hear it at last", woken.wait_for(|heard| *heard >= 10_000)).await.expect("it lives");
}

/// Out of reach is no catastrophe, and says how far it went.
pub async fn p3_a_failure_says_what_is_confirmed(subject: &Subject) {
    let Some(line) = &subject.line else { return };
    let direct = subject.process();
    let mut consumer = consume(direct.as_ref(), "witness").await;
    let batch = Log::new().events(30, &streams(3));
    publish_at_last(line.transport.as_ref(), &batch[..10]).await;
    (line.down)(true);
    for _ in 0..2 {
        let error = within("an error", line.transport.publish(&batch[10..])).await.expect_err("nobody can confirm");
        assert_out_of_reach(&error);
        assert_eq!(error.confirmed, 0);
    }
    let error = within("an error", line.transport.consume("nobody")).await.err().expect("nobody is there");
    assert_out_of_reach(&error);
    (line.down)(false);
    publish_at_last(line.transport.as_ref(), &batch[10..]).await;
    assert_eq!(sorted(take(consumer.as_mut(), 30).await), batch);
}

/// The line breaks again and again, wherever the publisher stands.
pub async fn p3_p4_cuts_lose_nothing_and_keep_streams_in_order(subject: &Subject) {
    let Some(line) = &subject.line else { return };
    let direct = subject.process();
    let mut consumer = consume(direct.as_ref(), "patient").await;
    let (mut log, streams) = (Log::new(), streams(8));
    let batches: Vec<_> = (0..30).map(|_| log.events(100, &streams)).collect();
    let progress = tokio::sync::Notify::new();
    let publishing = async {
        for batch in &batches {
            publish_at_last(line.transport.as_ref(), batch).await;
            progress.notify_one();
        }
    };
    // Somewhere in the next batch, however long it takes to connect again.
    let cutting = async {
        for pause in [0, 3, 7, 1, 15, 5, 30, 2].into_iter().cycle() {
            progress.notified().await;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            (line.cut)();
        }
    };
    let publishing = async {
        tokio::select! {
            () = publishing => {}
            () = cutting => {}
        }
    };
    let ((), taken) = tokio::join!(publishing, take(consumer.as_mut(), 3_000));
    assert_in_order(&taken);
    assert_eq!(sorted(taken), batches.concat());
}

/// The relay waits for a while, then asks again; what it asked before may still be on its way.
pub async fn p3_p4_a_publish_that_is_given_up_may_be_repeated(subject: &Subject) {
    let Some(line) = &subject.line else { return };
    let direct = subject.process();
    let mut consumer = consume(direct.as_ref(), "late").await;
    let batch = Log::new().events(60, &streams(3));
    publish_at_last(line.transport.as_ref(), &batch[..20]).await;
    (line.hold)(true);
    let given_up = timeout(Duration::from_millis(300), line.transport.publish(&batch[20..])).await;
    assert!(!matches!(given_up, Ok(Ok(()))), "nobody can have confirmed it");
    (line.hold)(false);
    publish_at_last(line.transport.as_ref(), &batch[20..]).await;
    let taken = take(consumer.as_mut(), 60).await;
    assert_in_order(&taken);
    assert_eq!(sorted(taken), batch);
}

/// It does not wait for ever, and the next one gets what is left.
pub async fn a_consumer_that_is_cut_off_is_told(subject: &Subject) {
    let Some(line) = &subject.line else { return };
    let direct = subject.process();
    let mut consumer = consume_again(line.transport.as_ref(), "cut off").await;
    let (mut log, streams) = (Log::new(), streams(3));
    let batch = log.events(20, &streams);
    publish(direct.as_ref(), &batch).await;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for n in 0..8 {
        let delivery = within("a message", consumer.next()).await.expect("it delivers");
        if n < 4 {
            consumer.acknowledge(delivery.tag).await.expect("it takes acknowledgements");
            seen.insert(delivery.publication.id());
        }
    }
    (line.cut)();
    let told = async {
        loop {
            match consumer.next().await {
                // It had come before.
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    };
    assert_out_of_reach(&within("it is told", told).await);
    drop(consumer);
    let more = log.events(10, &streams);
    publish(direct.as_ref(), &more).await;
    let mut consumer = consume_again(line.transport.as_ref(), "cut off").await;
    if !subject.keeps {
        return;
    }
    let all: BTreeSet<String> = batch.iter().chain(&more).map(Publication::id).collect();
    while seen != all {
        let delivery = within("what is left", consumer.next()).await.expect("it delivers");
        consumer.acknowledge(delivery.tag).await.expect("it takes acknowledgements");
        seen.insert(delivery.publication.id());
    }
}
