//! A transport that writes down what it takes, so that another process can read it after this one was killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use angzarr_runtime::Uuid;
use angzarr_runtime::storage::BoxFuture;
use angzarr_runtime::stream::StreamKey;
use angzarr_runtime::transport::{Local, Publication, Transport, TransportError, TransportErrorKind};
use tokio::sync::watch;

pub struct Paper {
    file: Mutex<File>,
    wakes: Local,
}

/// What stands on the paper about one publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub position: u64,
    pub root: Uuid,
    pub sequence: u32,
}

impl Paper {
    /// Goes on writing. What a process was killed in the middle of is left as it is, on a line of its own.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.write_all(b"\n")?;
        Ok(Self { file: Mutex::new(file), wakes: Local::new() })
    }

    /// Everything that was taken, in order. A line without its end was not taken.
    pub fn read(path: &Path) -> io::Result<Vec<Line>> {
        let line = |text: &str| {
            let mut parts = text.strip_suffix('.')?.split(' ');
            let (position, root, sequence) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Line { position: position.parse().ok()?, root: root.parse().ok()?, sequence: sequence.parse().ok()? })
        };
        Ok(std::fs::read_to_string(path)?.lines().filter_map(line).collect())
    }

    fn write(&self, batch: &[Publication]) -> io::Result<()> {
        let mut text = String::new();
        for Publication { event, .. } in batch {
            let StreamKey { root, .. } = &event.stream;
            text.push_str(&format!("{} {root} {}.\n", event.event.position, event.event.sequence));
        }
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes())
    }
}

impl Transport for Paper {
    fn describe(&self) -> String {
        "paper".into()
    }
    fn announce(&self, position: u64) {
        self.wakes.announce(position);
    }
    fn listen(&self) -> watch::Receiver<u64> {
        self.wakes.listen()
    }
    fn carries_events(&self) -> bool {
        true
    }
    fn publish<'a>(&'a self, batch: &'a [Publication]) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async {
            let failed = |error: io::Error| TransportError::new(TransportErrorKind::Failed, "paper", error.to_string());
            self.write(batch).map_err(failed)
        })
    }
}
