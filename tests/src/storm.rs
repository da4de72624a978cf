//! A transport that fails, delays, doubles, reorders and loses, as often as a test says; seeded, so that a run can be
//! repeated.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use angzarr_runtime::dead_letter::DeadLetter;
use angzarr_runtime::storage::BoxFuture;
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::transport::{
    Consumer, Delivery, Local, Publication, Transport, TransportError, TransportErrorKind,
};
use angzarr_runtime::{Builder, Uuid};
use tokio::sync::watch;

/// How often something goes wrong, of a hundred times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// A batch is refused before any of it is taken.
    pub fails_before: u64,
    /// A part of a batch is taken; the transport says how much, or says nothing.
    pub fails_between: u64,
    /// The whole batch is taken, and the confirmation is lost.
    pub fails_after: u64,
    /// A message never comes.
    pub loses: u64,
    /// A message comes twice, the second time later.
    pub doubles: u64,
    /// A message comes later than those behind it.
    pub delays: u64,
    /// The messages of a batch come in any order.
    pub reorders: u64,
}

impl Weather {
    /// Everything at once.
    pub fn storm() -> Self {
        Self { fails_before: 15, fails_between: 15, fails_after: 15, loses: 10, doubles: 20, delays: 25, reorders: 50 }
    }
}

/// The test's side of it, and the transport itself.
#[derive(Clone)]
pub struct Storm(Arc<Inner>);

struct Inner {
    local: Local,
    weather: Mutex<Weather>,
    seed: Mutex<u64>,
    /// What was taken, in order, doubles included.
    taken: Mutex<Vec<Publication>>,
    letters: Mutex<Vec<DeadLetter>>,
    refused_letters: Mutex<String>,
    lost_sequences: Mutex<BTreeSet<u32>>,
    refused: AtomicU64,
    down: watch::Sender<bool>,
    held: watch::Sender<bool>,
    tells_newest: AtomicBool,
    confirmed: AtomicU64,
    late: AtomicUsize,
    delivered: AtomicUsize,
    acknowledged: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn trouble(text: &str) -> TransportError {
    TransportError::new(TransportErrorKind::Unavailable, "storm", text)
}

impl Storm {
    /// Fine weather.
    pub fn new() -> Self {
        Self::with(1, Weather::default())
    }

    pub fn with(seed: u64, weather: Weather) -> Self {
        Self(Arc::new(Inner {
            local: Local::carrying_events(),
            weather: Mutex::new(weather),
            seed: Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            taken: Mutex::default(),
            letters: Mutex::default(),
            refused_letters: Mutex::default(),
            lost_sequences: Mutex::default(),
            refused: AtomicU64::new(0),
            down: watch::Sender::new(false),
            held: watch::Sender::new(false),
            tells_newest: AtomicBool::new(false),
            confirmed: AtomicU64::new(0),
            late: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            acknowledged: AtomicUsize::new(0),
        }))
    }

    /// A builder that publishes into it.
    pub fn over(&self, builder: Builder) -> Builder {
        builder.transport(self.clone())
    }

    pub fn weather(&self, weather: Weather) {
        *lock(&self.0.weather) = weather;
    }

    /// Whether nobody can reach it: consumers are cut off, nothing is taken.
    pub fn down(&self, down: bool) {
        self.0.down.send_replace(down);
    }

    /// Whether confirmations wait.
    pub fn hold(&self, hold: bool) {
        self.0.held.send_replace(hold);
    }

    /// The event of this position is refused for good, 0 for none.
    pub fn refuse(&self, position: u64) {
        self.0.refused.store(position, Ordering::SeqCst);
    }

    /// Dead letters of this domain are refused.
    pub fn refuse_letters(&self, domain: &str) {
        domain.clone_into(&mut lock(&self.0.refused_letters));
    }

    /// Messages with these sequences never come.
    pub fn lose(&self, sequences: impl IntoIterator<Item = u32>) {
        *lock(&self.0.lost_sequences) = sequences.into_iter().collect();
    }

    /// Whether it knows what it has confirmed, as a durable broker does.
    pub fn tells_newest(&self) {
        self.0.tells_newest.store(true, Ordering::SeqCst);
    }

    /// Everything that was taken, in order, doubles included.
    pub fn taken(&self) -> Vec<Publication> {
        lock(&self.0.taken).clone()
    }

    /// Dead letters on their topics, in order, doubles included: domain, reason, tries.
    pub fn letters(&self) -> Vec<(String, String, u32)> {
        let told = |it: &DeadLetter| (it.domain().to_owned(), it.letter.rejection_reason.clone(), it.attempts);
        lock(&self.0.letters).iter().map(told).collect()
    }

    /// The positions of it.
    pub fn positions(&self) -> Vec<u64> {
        lock(&self.0.taken).iter().map(|taken| taken.event.event.position).collect()
    }

    /// The sequences of one stream of it.
    pub fn sequences(&self, stream: &StreamKey) -> Vec<u32> {
        let of = |taken: &Publication| (taken.event.stream == *stream).then_some(taken.event.event.sequence);
        lock(&self.0.taken).iter().filter_map(of).collect()
    }

    /// Whether the one consumer has been brought everything that will come, and has acknowledged it.
    pub fn is_over(&self) -> bool {
        let late = self.0.late.load(Ordering::SeqCst);
        late == 0 && self.0.delivered.load(Ordering::SeqCst) == self.0.acknowledged.load(Ordering::SeqCst)
    }

    pub fn acknowledged(&self) -> usize {
        self.0.acknowledged.load(Ordering::SeqCst)
    }

    fn below(&self, n: u64) -> u64 {
        let mut seed = lock(&self.0.seed);
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        (*seed >> 11) % n
    }

    fn happens(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    async fn bring(&self, publication: &Publication) {
        self.0.delivered.fetch_add(1, Ordering::SeqCst);
        self.0.local.publish(std::slice::from_ref(publication)).await.expect("it takes everything");
    }

    fn bring_later(&self, publication: &Publication) {
        let (storm, publication, pause) = (self.clone(), publication.clone(), Duration::from_millis(self.below(40)));
        self.0.late.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            storm.bring(&publication).await;
            storm.0.late.fetch_sub(1, Ordering::SeqCst);
        });
    }

    async fn take(&self, batch: &[Publication]) {
        lock(&self.0.taken).extend(batch.iter().cloned());
        let weather = *lock(&self.0.weather);
        let mut batch: Vec<&Publication> = batch.iter().collect();
        if self.happens(weather.reorders) {
            for n in (1..batch.len()).rev() {
                batch.swap(n, self.below(n as u64 + 1) as usize);
            }
        }
        for publication in batch {
            let lost = lock(&self.0.lost_sequences).contains(&publication.event.event.sequence);
            if lost || self.happens(weather.loses) {
                continue;
            }
            if self.happens(weather.doubles) {
                self.bring_later(publication);
            }
            if self.happens(weather.delays) {
                self.bring_later(publication);
            } else {
                self.bring(publication).await;
            }
        }
    }

    async fn take_or_fail(&self, batch: &[Publication]) -> Result<(), TransportError> {
        if *self.0.down.borrow() {
            return Err(trouble("down on purpose"));
        }
        let refused = self.0.refused.load(Ordering::SeqCst);
        if let Some(before) = batch.iter().position(|publication| publication.event.event.position == refused) {
            self.take(&batch[..before]).await;
            self.confirm(&batch[..before]);
            let error = TransportError::new(TransportErrorKind::Refused, "storm", "too large on purpose");
            return Err(error.confirmed(before));
        }
        let weather = *lock(&self.0.weather);
        if self.happens(weather.fails_before) {
            return Err(trouble("failed before it took anything"));
        }
        if self.happens(weather.fails_between) {
            let part = self.below(batch.len() as u64) as usize;
            self.take(&batch[..part]).await;
            let told = if self.happens(50) { part } else { 0 };
            self.confirm(&batch[..told]);
            return Err(trouble("failed in the middle").confirmed(told));
        }
        self.take(batch).await;
        let mut held = self.0.held.subscribe();
        let _ = held.wait_for(|held| !held).await;
        if self.happens(weather.fails_after) {
            return Err(trouble("the confirmation was lost"));
        }
        self.confirm(batch);
        Ok(())
    }

    fn confirm(&self, batch: &[Publication]) {
        if let Some(last) = batch.last() {
            self.0.confirmed.fetch_max(last.event.event.position, Ordering::SeqCst);
        }
    }
}

impl Default for Storm {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for Storm {
    fn describe(&self) -> String {
        "storm".into()
    }
    fn announce(&self, position: u64) {
        self.0.local.announce(position);
    }
    fn listen(&self) -> watch::Receiver<u64> {
        self.0.local.listen()
    }
    fn carries_events(&self) -> bool {
        true
    }
    fn publish<'a>(&'a self, batch: &'a [Publication]) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.take_or_fail(batch))
    }
    fn newest(&self, _store: Uuid) -> BoxFuture<'_, Result<Option<u64>, TransportError>> {
        Box::pin(async {
            if *self.0.down.borrow() {
                return Err(trouble("down on purpose"));
            }
            Ok(self.0.tells_newest.load(Ordering::SeqCst).then(|| self.0.confirmed.load(Ordering::SeqCst)))
        })
    }
    fn carries_letters(&self) -> bool {
        true
    }
    fn publish_letters<'a>(
        &'a self,
        _store: Uuid,
        letters: &'a [DeadLetter],
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            for (n, letter) in letters.iter().enumerate() {
                if *self.0.down.borrow() {
                    return Err(trouble("down on purpose").confirmed(n));
                }
                if letter.domain() == *lock(&self.0.refused_letters) {
                    let error = TransportError::new(TransportErrorKind::Refused, "storm", "too large on purpose");
                    return Err(error.confirmed(n));
                }
                lock(&self.0.letters).push(letter.clone());
            }
            let mut held = self.0.held.subscribe();
            let _ = held.wait_for(|held| !held).await;
            Ok(())
        })
    }
    fn consume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Box<dyn Consumer>, TransportError>> {
        Box::pin(async move {
            if *self.0.down.borrow() {
                return Err(trouble("down on purpose"));
            }
            let messages = self.0.local.consume(name).await?;
            let cut = self.0.down.subscribe();
            let consumer: Box<dyn Consumer> =
                Box::new(InTheStorm { storm: self.clone(), messages, cut, tag: 0, open: BTreeSet::new() });
            Ok(consumer)
        })
    }
}

struct InTheStorm {
    storm: Storm,
    messages: Box<dyn Consumer>,
    cut: watch::Receiver<bool>,
    tag: u64,
    /// Delivered and not acknowledged.
    open: BTreeSet<u64>,
}

impl Consumer for InTheStorm {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(async {
            let delivery = tokio::select! {
                biased;
                _ = self.cut.wait_for(|cut| *cut) => return Err(trouble("cut off on purpose")),
                delivery = self.messages.next() => delivery?,
            };
            self.tag += 1;
            self.open.insert(self.tag);
            Ok(Delivery { tag: self.tag, ..delivery })
        })
    }
    fn acknowledge(&mut self, tag: u64) -> BoxFuture<'_, Result<(), TransportError>> {
        assert!(self.open.remove(&tag), "{tag} was not delivered, or is acknowledged already");
        self.storm.0.acknowledged.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(())))
    }
}
