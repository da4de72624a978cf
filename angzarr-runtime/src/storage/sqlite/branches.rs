//! What happens to whole branches: merged into the main timeline, discarded.
//!
//! In: merges and discards of one write, in its transaction. Out: new events on main; holes where a branch was. Never: a
//! position or a number of a stream that is given twice.

use super::super::{EditionDiscard, StreamMerge, WriteError, Written};
use super::transaction::Transaction;

impl Transaction<'_> {
    /// Whether a branch may be merged: neither it nor its main stream has moved.
    pub(super) fn check_merge(&mut self, merge: &StreamMerge) -> rusqlite::Result<Result<(), WriteError>> {
        let main = self.stream(&merge.branch.on_main())?;
        let branch = self.stream(&merge.branch)?;
        if let Err(error) = merge.check(main.map(|it| it.head), branch.map(|it| it.head)) {
            return Ok(Err(error));
        }
        let Some(branch) = branch else { return Ok(Err(merge.moved(None))) };
        for (key, _) in &merge.dedup {
            if self.statements.find_dedup(branch.id, key)?.is_none() {
                return Ok(Err(merge.moved(Some(branch.head))));
            }
        }
        Ok(Ok(()))
    }

    /// Appends the events of branches that were checked to their main streams, in order of their positions (row B6).
    pub(super) fn merge(&mut self, merges: &[StreamMerge]) -> rusqlite::Result<()> {
        let mut events = Vec::new();
        let mut streams = Vec::with_capacity(merges.len());
        for merge in merges {
            let main = self.stream_or_new(&merge.branch.on_main())?;
            let branch = self.stream_or_new(&merge.branch)?;
            events.extend(self.statements.event_places(branch.id)?.into_iter().map(|place| (place, main.id)));
            streams.push((branch, main));
        }
        events.sort_unstable();
        for (place, main) in events {
            self.memory.position += 1;
            self.statements.copy_event(place, self.memory.position, main)?;
        }
        for (merge, (branch, mut main)) in merges.iter().zip(streams) {
            for (key, on_main) in &merge.dedup {
                let Some(written) = self.statements.find_dedup(branch.id, key)? else { continue };
                let last_position = match written.count.checked_sub(1) {
                    Some(more) => self.statements.position_of(main.id, written.first_sequence.saturating_add(more))?,
                    None => 0,
                };
                // One that main knows already stays what it is.
                self.statements.add_dedup(main.id, on_main, &Written { last_position, ..written })?;
            }
            main.head.next_sequence = merge.next_sequence;
            main.head.has_events = true;
            self.remember(&merge.branch.on_main(), main);
        }
        Ok(())
    }

    /// Removes all that belongs to an edition (row B5).
    pub(super) fn discard(&mut self, discard: &EditionDiscard) -> rusqlite::Result<()> {
        self.statements.keep_high_water(self.memory.position, self.memory.stream)?;
        let rows = self.statements.discard(discard)?;
        self.memory.removed = self.memory.removed.saturating_add(u32::try_from(rows).unwrap_or(u32::MAX));
        // The ends of its streams are known no more; those of others are read again when they are needed.
        self.memory.streams.clear();
        Ok(())
    }
}
