//! What is written: one atomic unit (promise 1 of `Storage`).

use std::collections::HashSet;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Answer, Intent, IntentId, Settle, StorageError, StorageErrorKind};
use crate::dead_letter::DeadLetter;
use crate::stream::{Headers, Name, Nanos, StoredSnapshot, StreamKey};

/// One atomic unit of work for a store.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// The append that this write is about, if it is about one.
    pub append: Option<Append>,
    /// What else must be stored in the same step. Rare, so it stays out of the way of the hot path.
    pub extras: Option<Box<Extras>>,
}

/// The rarer parts of a [`Write`].
///
/// Whatever can be refused is checked before anything is stored: appends, merges and settles. A known dedup key comes
/// first, then an intent that is gone, then a conflict: the repeat of work that was done finds its first answer.
///
/// Then it happens in this order: appends, merges, snapshots, checkpoints, dead letters; intents that are settled and taken
/// back go, new ones come, so that a write may settle an intent and put it again; discards, and what is forgotten with them, last.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// More appends, each on another stream; all of them happen or none.
    pub appends: Vec<Append>,
    /// Snapshots.
    pub snapshots: Vec<SnapshotWrite>,
    /// Positions of subscribers: (subscriber, position). A checkpoint never moves backwards.
    pub checkpoints: Vec<(Name, u64)>,
    /// Dead letters. Where the id is stored already, the work failed again: a letter that was retried is opened again with
    /// the new facts, an open one takes them if it was tried more often since, one that was discarded stays as it is.
    pub dead_letters: Vec<DeadLetter>,
    /// Intents to keep. One of the same id is replaced: a timer that moves, a delivery that is tried again later.
    pub intents: Vec<Intent>,
    /// Intents that this write carries out. Each must still be there, with this due time, or nothing is stored
    /// ([`WriteError::Settled`]). They are removed.
    pub settles: Vec<Settle>,
    /// Intents that are taken back, whether they are there or not.
    pub withdraws: Vec<IntentId>,
    /// Branches whose events go to the main timeline (row B6).
    pub merges: Vec<StreamMerge>,
    /// Branches that are removed (row B5).
    pub discards: Vec<EditionDiscard>,
    /// What those who wait in other processes are told by this very write (rows S4, R5).
    pub answers: Vec<Answer>,
    /// Dedup keys that are forgotten: of work for events that are discarded. What may come again under such a key is other work.
    pub forgets: Vec<(StreamKey, Dedup)>,
}

/// A stream of an edition whose own events are appended to the main timeline (row B6).
///
/// The main stream must be where the branch left it, and the branch as it was read, or nothing of the write is stored: a
/// [`WriteError::Conflict`] names the stream that has moved. On main the events keep sequence, time, type, version,
/// payload, correlation id and extension, and whether they are isolated. They get new positions, in the order in which the
/// branches of one write got theirs. The branch stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMerge {
    /// The stream of the edition.
    pub branch: StreamKey,
    /// Where it left the main timeline: main's next sequence.
    pub diverged_at: u32,
    /// The branch's next sequence.
    pub next_sequence: u32,
    /// Dedup keys of the branch, and what each is on main, so that a repeat there finds the events. One that main knows
    /// already stays what it is there. The branch must know each of them, or it is not the one that was read: a conflict.
    pub dedup: Vec<(Dedup, Dedup)>,
}

/// An edition whose events, snapshots, dedup keys and intents are removed, everywhere or in one domain (row B5).
///
/// Open dead letters that hold its events become discarded ones. The positions stay unused, and the streams may begin
/// anew, elsewhere. The main timeline cannot be discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditionDiscard {
    /// The edition.
    pub edition: Name,
    /// Only in this domain.
    pub domain: Option<Name>,
    /// When, for the dead letters.
    pub at: Nanos,
}

impl EditionDiscard {
    /// Whether a stream is removed.
    pub(crate) fn covers(&self, key: &StreamKey) -> bool {
        key.edition == self.edition && self.domain.as_ref().is_none_or(|domain| key.domain == *domain)
    }

    /// Why its dead letters are discarded.
    pub(crate) fn reason(&self) -> String {
        Self::reason_of(&self.edition)
    }

    pub(crate) fn reason_of(edition: &str) -> String {
        format!("the edition `{edition}` was discarded")
    }
}

impl Write {
    /// A write that only appends.
    pub fn append(append: Append) -> Self {
        Self { append: Some(append), extras: None }
    }

    /// A write of the rarer parts only.
    pub fn extras(extras: Extras) -> Self {
        Self { append: None, extras: Some(Box::new(extras)) }
    }

    /// About how many bytes it stores.
    pub(crate) fn bytes(&self) -> usize {
        let appended = |append: &Append| append.events.iter().map(|event| event.payload.len() + 64).sum::<usize>();
        let mut bytes = self.append.as_ref().map_or(0, appended);
        if let Some(extras) = &self.extras {
            bytes += extras.appends.iter().map(appended).sum::<usize>();
            bytes += extras.snapshots.iter().map(|it| it.snapshot.state.len() + 64).sum::<usize>();
            bytes += extras.checkpoints.len() * 32;
            bytes += extras.dead_letters.iter().map(|it| prost::Message::encoded_len(&it.letter)).sum::<usize>();
            bytes += extras.answers.iter().map(|it| it.key.len() + it.answer.len() + 64).sum::<usize>();
            bytes += extras.intents.iter().map(|it| it.work.len() + 128).sum::<usize>();
            bytes += (extras.settles.len() + extras.withdraws.len()) * 32;
            let merged = |it: &StreamMerge| it.next_sequence.saturating_sub(it.diverged_at) as usize * 256;
            bytes += extras.merges.iter().map(merged).sum::<usize>();
        }
        bytes
    }
}

/// Events for the end of one stream.
#[derive(Clone, Debug)]
pub struct Append {
    /// The stream.
    pub key: StreamKey,
    /// The sequence that the first event gets; it must be the stream's next sequence.
    pub expected: u32,
    /// The events. May be empty where only the dedup key is to be remembered.
    pub events: SmallVec<[NewEvent; 1]>,
    /// When they were accepted; the same for all events of one append.
    pub created_at: Nanos,
    /// Correlation id and extension, the same for all events of one append.
    pub headers: Headers,
    /// Makes the append idempotent on its stream (rows C10, F2, G2).
    pub dedup: Option<Dedup>,
    /// For a stream of an edition that has no events yet: where it leaves the main timeline. Such a stream's next
    /// sequence is this number. Only events fix it, a dedup key alone does not (row B1).
    pub diverged_at: Option<u32>,
}

/// What a store knows about the end of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamHead {
    pub(crate) next_sequence: u32,
    pub(crate) has_events: bool,
    pub(crate) diverged_at: Option<u32>,
}

impl Append {
    /// Whether this is the next append of its stream (promise 4); `None` for a stream that does not exist.
    ///
    /// Two commands may be the first ones of an edition's stream and leave the main timeline at different places. The
    /// later one was decided on another past, even if it happens to expect the right sequence: it conflicts as well.
    pub(crate) fn check(&self, head: Option<StreamHead>) -> Result<(), WriteError> {
        let (actual, same_past) = match head {
            Some(head) if head.has_events || head.diverged_at.is_some() => {
                (head.next_sequence, self.diverged_at.is_none_or(|at| head.diverged_at == Some(at)))
            }
            _ => (self.diverged_at.unwrap_or(0), true),
        };
        if actual != self.expected || !same_past {
            return Err(WriteError::Conflict { key: self.key.clone(), expected: self.expected, actual });
        }
        let fits = u32::try_from(self.events.len()).is_ok_and(|count| actual.checked_add(count).is_some());
        if !fits {
            let message = format!("{} is full: a stream holds {} events; start a new root", self.key, u32::MAX);
            return Err(refused(message));
        }
        Ok(())
    }
}

fn refused(message: String) -> WriteError {
    StorageError::new(StorageErrorKind::Failed, "storage", message).into()
}

/// What no store may be asked to do, whatever it holds: checked before anything else.
///
/// A write names each stream at most once: otherwise checking all of it before storing the first part would prove nothing.
pub(crate) fn check_shape(first: Option<&Append>, extras: &Extras) -> Result<(), WriteError> {
    let Extras { appends, merges, discards, .. } = extras;
    if let Some(merge) = merges.iter().find(|it| it.branch.is_main()) {
        return Err(refused(format!("{} is on the main timeline already; merge a branch", merge.branch)));
    }
    if discards.iter().any(|it| it.edition.is_empty()) {
        return Err(refused("the main timeline cannot be discarded; name an edition".to_owned()));
    }
    if appends.is_empty() && merges.is_empty() {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(appends.len() + 1);
    for append in first.into_iter().chain(appends) {
        if !seen.insert(&append.key) {
            return Err(refused(format!("one write appends to {} twice; put the events into one append", append.key)));
        }
    }
    let targets: Vec<StreamKey> = merges.iter().map(|it| it.branch.on_main()).collect();
    for key in targets.iter().chain(merges.iter().map(|it| &it.branch)) {
        if !seen.insert(key) {
            return Err(refused(format!("one write appends to {key} and merges it; use one write for each")));
        }
    }
    Ok(())
}

impl StreamMerge {
    /// Whether the branch and its main stream are where the merge expects them (row B6); `None` for a stream that does not
    /// exist.
    pub(crate) fn check(&self, main: Option<StreamHead>, branch: Option<StreamHead>) -> Result<(), WriteError> {
        let actual = main.map_or(0, |head| head.next_sequence);
        if actual != self.diverged_at {
            return Err(WriteError::Conflict { key: self.branch.on_main(), expected: self.diverged_at, actual });
        }
        let same = |head: &StreamHead| {
            head.has_events && head.diverged_at == Some(self.diverged_at) && head.next_sequence == self.next_sequence
        };
        if branch.as_ref().is_some_and(same) { Ok(()) } else { Err(self.moved(branch)) }
    }

    /// The branch is not the one that was read.
    pub(crate) fn moved(&self, branch: Option<StreamHead>) -> WriteError {
        let actual = branch.map_or(0, |head| head.next_sequence);
        WriteError::Conflict { key: self.branch.clone(), expected: self.next_sequence, actual }
    }
}

/// One event to append.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Full protobuf name.
    pub type_name: Name,
    /// Current version of its schema, from 1.
    pub schema_version: u32,
    /// The encoded payload.
    pub payload: Bytes,
    /// No subscriber may ever see it (row S5).
    pub isolated: bool,
}

/// What makes an append idempotent on its stream: an external id, or the provenance of a reaction's command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dedup(pub Bytes);

/// A snapshot to store with its stream. Storing one deletes older ones of that stream as their retention says
/// (rows N1, N3, N6), and never the newest (row N5).
#[derive(Clone, Debug)]
pub struct SnapshotWrite {
    /// The stream.
    pub key: StreamKey,
    /// The snapshot.
    pub snapshot: StoredSnapshot,
}

/// What an append stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Sequence of the first event.
    pub first_sequence: u32,
    /// Number of events; they have consecutive sequences and positions.
    pub count: u32,
    /// Position of the last event; 0 where nothing was appended.
    pub last_position: u64,
}

/// Why a write was not stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The stream has moved (promise 4).
    #[error("{key} is at {actual}, not at {expected}")]
    Conflict {
        /// The stream.
        key: StreamKey,
        /// What the append expected.
        expected: u32,
        /// The next sequence it has.
        actual: u32,
    },
    /// The dedup key is known (promise 5).
    #[error("already stored: {count} events from sequence {first_sequence}", count = .0.count, first_sequence = .0.first_sequence)]
    Duplicate(Written),
    /// An intent that the write was to carry out is not there any more, or not with this due time: somebody else has done
    /// the work, taken it back or moved it (promise 8).
    #[error("intent {intent} was settled, taken back or moved before")]
    Settled {
        /// The intent.
        intent: IntentId,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
