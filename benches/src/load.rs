//! Load: so many tasks that call one operation again and again, and what came of it. Used by the peers' program as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Accounts of the work.
pub const ACCOUNTS: usize = 1_000;

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Operations per second.
    pub rate: f64,
    /// Nanoseconds: p50, p99, p99.9.
    pub latency: [u64; 3],
}

impl Measured {
    /// As one line, for a process to tell its parent. The peers do.
    #[allow(dead_code)]
    pub fn to_line(&self) -> String {
        format!("{} {} {} {}", self.rate, self.latency[0], self.latency[1], self.latency[2])
    }

    /// The same read back.
    pub fn from_line(line: &str) -> Option<Self> {
        let mut parts = line.split_whitespace();
        let rate = parts.next()?.parse().ok()?;
        let mut next = || parts.next()?.parse().ok();
        Some(Self { rate, latency: [next()?, next()?, next()?] })
    }

    /// From a number of operations and their latencies.
    pub fn new(count: u64, elapsed: Duration, latencies: &Histogram<u64>) -> Self {
        let at = |quantile| latencies.value_at_quantile(quantile);
        Self { rate: count as f64 / elapsed.as_secs_f64(), latency: [at(0.5), at(0.99), at(0.999)] }
    }
}

/// A histogram from a nanosecond to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

/// Runs `operation(task, n)` in `tasks` tasks for `seconds`. Every account belongs to one task, so streams are distinct; the
/// latency of every `sample`th operation is noted, so that the clock does not cost what it measures.
pub async fn run<F>(tasks: usize, seconds: f64, sample: u64, operation: F) -> Measured
where
    F: AsyncOperation,
{
    let stop = Arc::new(AtomicBool::new(false));
    let operation = Arc::new(operation);
    let timer = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs_f64(seconds));
            stop.store(true, Ordering::Relaxed);
        })
    };
    let start = Instant::now();
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (stop, operation) = (stop.clone(), operation.clone());
            tokio::spawn(async move {
                let mut latencies = histogram();
                let mut account = task;
                let mut count = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    if count.is_multiple_of(sample) {
                        let begin = Instant::now();
                        operation.call(account).await;
                        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
                    } else {
                        operation.call(account).await;
                    }
                    count += 1;
                    account += tasks;
                    if account >= ACCOUNTS.max(tasks) {
                        account = task;
                    }
                }
                (count, latencies)
            })
        })
        .collect();
    let mut count = 0;
    let mut latencies = histogram();
    for task in running {
        let (done, seen) = task.await.expect("no operation fails");
        count += done;
        latencies.add(seen).expect("the same bounds");
    }
    let elapsed = start.elapsed();
    timer.join().expect("the timer");
    Measured::new(count, elapsed, &latencies)
}

/// One operation on one account.
pub trait AsyncOperation: Send + Sync + 'static {
    /// Runs it.
    fn call(&self, account: usize) -> impl Future<Output = ()> + Send;
}
