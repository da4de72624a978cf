//! Lanes: many things at once, each of them in order.
//!
//! In: a batch of the log, and what must stay in order. Out: each event handled behind the one before it in its lane. Never: an
//! event of a lane whose earlier one was held back.

use std::collections::HashMap;
use std::hash::Hash;

use futures_util::stream::{self, StreamExt as _};

use crate::stream::LogEvent;

/// Handles a batch, in order within each lane, so many lanes at a time, that their commands share commits. An error holds its
/// lane back; the others come to their end.
pub(super) async fn in_lanes<K: Hash + Eq, F: Future<Output = Result<(), String>>>(
    batch: Vec<LogEvent>,
    at_once: usize,
    key: impl Fn(&LogEvent) -> K,
    handle: impl Fn(LogEvent) -> F,
) -> Result<(), String> {
    let mut lanes: Vec<Vec<LogEvent>> = Vec::new();
    let mut lane_of = HashMap::new();
    for item in batch {
        let lane = *lane_of.entry(key(&item)).or_insert_with(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[lane].push(item);
    }
    let handle = &handle;
    let mut done = stream::iter(lanes)
        .map(|lane| async move {
            for item in lane {
                handle(item).await?;
            }
            Ok::<(), String>(())
        })
        .buffer_unordered(at_once);
    let mut failure = None;
    while let Some(result) = done.next().await {
        if let Err(reason) = result {
            failure = Some(reason);
        }
    }
    failure.map_or(Ok(()), Err)
}
