//! The stores that every test runs on, and the macro that writes a test once for all of them.

use std::path::PathBuf;
use std::sync::Arc;

use angzarr_runtime::storage::{Append, NewEvent, Storage, StreamRead, Write};
use angzarr_runtime::stream::{Headers, StoredEvent, StreamKey};
use angzarr_runtime::{Builder, Memory, OpenStorage, Sqlite};

/// A store that outlives the runtimes which use it, so that a test can stop one and start another.
pub enum Store {
    Memory(Memory),
    Sqlite(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Postgres(crate::postgres::PostgresSchema),
}

impl Store {
    pub fn memory() -> Self {
        Self::Memory(Memory::new())
    }

    /// For several runtimes at a time.
    pub fn shared_memory() -> Self {
        Self::Memory(Memory::new().for_many_runtimes())
    }

    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("a temporary directory"))
    }

    #[cfg(feature = "postgres")]
    pub fn postgres() -> Self {
        Self::Postgres(crate::postgres::PostgresSchema::new())
    }

    /// An empty one of the same kind.
    pub fn another(&self) -> Self {
        match self {
            Self::Memory(_) => Self::memory(),
            Self::Sqlite(_) => Self::sqlite(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Self::postgres(),
        }
    }

    /// The same, for several runtimes at a time.
    pub fn another_to_share(&self) -> Self {
        match self {
            Self::Memory(_) => Self::shared_memory(),
            _ => self.another(),
        }
    }

    /// What is left when somebody deletes the store: a new one in the same place.
    pub fn deleted(self) -> Self {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(schema) = &self {
            schema.remove();
            return self;
        }
        let Some(file) = self.file() else { return Self::memory() };
        for suffix in ["", "-wal", "-shm"] {
            let mut path = file.clone().into_os_string();
            path.push(suffix);
            // Two of them are gone already after an orderly end.
            let _ = std::fs::remove_file(path);
        }
        assert!(!file.exists(), "it is deleted");
        self
    }

    /// A directory, if the store has one.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Sqlite(directory) => Some(directory.path().join("events.db")),
            _ => None,
        }
    }

    pub fn describe(&self, builder: Builder) -> Builder {
        match self {
            Self::Memory(memory) => builder.storage(memory.clone()),
            // Relaxed: these tests are about behaviour; the crash tests run durable.
            Self::Sqlite(directory) => builder.storage(Sqlite::open(directory.path().join("events.db")).relaxed()),
            #[cfg(feature = "postgres")]
            Self::Postgres(schema) => builder.storage(schema.postgres()),
        }
    }

    /// The store itself, for what no runtime would write. Close it before a runtime opens it.
    pub async fn open(&self) -> Arc<dyn Storage> {
        self.to_open().open().await.expect("the store opens")
    }

    /// The store as a builder takes it.
    pub fn to_open(&self) -> Box<dyn OpenStorage> {
        match self {
            Self::Memory(memory) => Box::new(memory.clone()),
            Self::Sqlite(directory) => Box::new(Sqlite::open(directory.path().join("events.db")).relaxed()),
            #[cfg(feature = "postgres")]
            Self::Postgres(schema) => Box::new(schema.postgres()),
        }
    }

    /// Appends events as an older (or newer) program would have.
    pub async fn plant(&self, key: &StreamKey, events: Vec<NewEvent>) {
        let storage = self.open().await;
        plant(storage.as_ref(), key, events, 1_000).await;
        storage.close().await.expect("the store closes");
    }
}

/// Appends events behind the back of any runtime.
pub async fn plant(storage: &dyn Storage, key: &StreamKey, events: Vec<NewEvent>, created_at: i64) {
    let expected = storage.read_stream(key, StreamRead::all()).await.expect("the stream").next_sequence;
    let append = Append {
        key: key.clone(),
        expected,
        events: events.into(),
        created_at,
        headers: Headers::default(),
        dedup: None,
        diverged_at: None,
    };
    let outcomes = storage.commit(vec![Write::append(append)]).await;
    for outcome in outcomes {
        outcome.expect("planted");
    }
}

/// An event as it may have been stored.
pub fn stored<M: prost::Message + prost::Name>(event: &M, schema_version: u32) -> NewEvent {
    stored_as(&M::full_name(), event, schema_version)
}

/// An event under another name than its own.
pub fn stored_as<M: prost::Message>(type_name: &str, event: &M, schema_version: u32) -> NewEvent {
    NewEvent { type_name: type_name.into(), schema_version, payload: event.encode_to_vec().into(), isolated: false }
}

/// Every event of a stream.
pub async fn events_of(storage: &dyn Storage, key: &StreamKey) -> Vec<StoredEvent> {
    storage.read_stream(key, StreamRead::all()).await.expect("the stream").events
}

/// Decodes an event of a known type.
pub fn decode<M: prost::Message + prost::Name + Default>(event: &StoredEvent) -> M {
    assert_eq!(event.type_name.as_str(), M::full_name());
    M::decode(event.payload.as_ref()).expect("a readable event")
}

/// Asserts that a stream has no hole, no double, and times that never go back.
pub fn assert_gapless(events: &[StoredEvent]) {
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.sequence as usize, index, "a hole or a double in the stream");
    }
    for pair in events.windows(2) {
        assert!(pair[0].created_at <= pair[1].created_at, "time goes back at #{}", pair[1].sequence);
        assert!(pair[0].position < pair[1].position, "positions go back at #{}", pair[1].sequence);
    }
}

/// Writes each test once and runs it on every store that several processes can share.
#[macro_export]
macro_rules! on_every_shared_store {
    ($($(#[doc = $doc:literal])* async fn $name:ident($store:ident) $body:block)+) => {
        $($(#[doc = $doc])* async fn $name($store: $crate::Store) $body)+

        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::Store::shared_memory()).await;
            })+
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::Store::postgres()).await;
            })+
        }
    };
}

/// Writes each test once and runs it on every store.
#[macro_export]
macro_rules! on_every_store {
    ($($(#[doc = $doc:literal])* async fn $name:ident($store:ident) $body:block)+) => {
        $($(#[doc = $doc])* async fn $name($store: $crate::Store) $body)+

        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::Store::memory()).await;
            })+
        }

        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::Store::sqlite()).await;
            })+
        }

        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::Store::postgres()).await;
            })+
        }
    };
}
