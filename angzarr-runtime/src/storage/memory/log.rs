//! The log: every event of the store, in order of position.
//!
//! In: events, at the end. Out: events by position. Never: a move of what it holds; it grows by whole pieces, so that no
//! append has to wait for a copy of all that was there before. An event that is removed leaves a hole.

use bytes::Bytes;

use crate::stream::{Headers, Name, Nanos, StoredEvent};

/// Events in one piece.
const PIECE: usize = 4_096;

/// Stands in an entry for the number of its stream where the event was removed.
const REMOVED: u32 = u32::MAX;

/// An event with the number of its stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) stream: u32,
    pub(super) sequence: u32,
    pub(super) schema_version: u32,
    pub(super) isolated: bool,
    pub(super) created_at: Nanos,
    pub(super) type_name: Name,
    pub(super) payload: Bytes,
    pub(super) headers: Headers,
}

impl Entry {
    pub(super) fn event(&self, position: u64) -> StoredEvent {
        StoredEvent {
            position,
            sequence: self.sequence,
            created_at: self.created_at,
            type_name: self.type_name.clone(),
            schema_version: self.schema_version,
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            isolated: self.isolated,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pieces: Vec<Vec<Entry>>,
    len: u64,
}

impl Log {
    /// The position of the last event; 0 for none.
    pub(super) fn head(&self) -> u64 {
        self.len
    }

    /// Adds an event and answers its position.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.len += 1;
        match self.pieces.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(entry),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(entry);
                self.pieces.push(piece);
            }
        }
        self.len
    }

    pub(super) fn get(&self, position: u64) -> Option<&Entry> {
        let index = usize::try_from(position.checked_sub(1)?).ok()?;
        self.pieces.get(index / PIECE)?.get(index % PIECE).filter(|entry| entry.stream != REMOVED)
    }

    /// Removes an event and answers its headers. Its position is never given again.
    pub(super) fn remove(&mut self, position: u64) -> Option<Headers> {
        let index = usize::try_from(position.checked_sub(1)?).ok()?;
        let entry = self.pieces.get_mut(index / PIECE)?.get_mut(index % PIECE)?;
        entry.stream = REMOVED;
        entry.payload = Bytes::new();
        entry.type_name = Name::default();
        Some(std::mem::take(&mut entry.headers))
    }
}
