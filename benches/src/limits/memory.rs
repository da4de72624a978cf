//! Over a hash map, which encodes every event.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use angzarr_runtime::Uuid;
use prost::Message as _;

use crate::domain::{Deposited, account};
use crate::load::{ACCOUNTS, Measured, histogram};

/// A hash map of balances and encoded events.
pub fn commands(seconds: f64) -> Measured {
    let mut accounts: HashMap<Uuid, (i64, Vec<Vec<u8>>)> = HashMap::new();
    let ids: Vec<Uuid> = (0..ACCOUNTS).map(account).collect();
    let mut latencies = histogram();
    let (mut count, start, end) = (0u64, Instant::now(), Duration::from_secs_f64(seconds));
    while start.elapsed() < end {
        for id in &ids {
            let begin = count.is_multiple_of(64).then(Instant::now);
            let (balance, events) = accounts.entry(*id).or_default();
            *balance += 7;
            events.push(Deposited { amount: 7, balance: balance.cast_unsigned() }.encode_to_vec());
            if let Some(begin) = begin {
                latencies.saturating_record(begin.elapsed().as_nanos() as u64);
            }
            count += 1;
        }
    }
    Measured::new(count, start.elapsed(), &latencies)
}
