//! From a path to a connection that may be used.
//!
//! In: a path and what the user chose. Out: a connection to a database of this version. Never: a change of a file that is
//! not ours, or that a newer program has written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::super::StorageError;
use super::error::{corrupt, failed, while_doing};
use super::lock::Lock;
use super::schema::{self, Content};
use super::statements::LAST_POSITION;
use super::{Durability, Sqlite};

/// Beyond this the log's file is cut when it starts anew: something had kept it from being moved for long.
const LOG_BYTES: i64 = 64 << 20;
/// How long another program may hold the file (a backup, a shell) before a call fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How much of the file readers map instead of copying it page by page.
const MAPPED_BYTES: i64 = 256 << 20;

/// What the writer starts from. The fields are dropped in this order: first the connections, then the lock.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Moves the log into the database while the first one writes.
    pub(super) second: Connection,
    pub(super) path: PathBuf,
    pub(super) head: u64,
    pub(super) id: Uuid,
    pub(super) lock: Lock,
}

pub(super) fn for_writing(config: &Sqlite) -> Result<Opened, StorageError> {
    let path = resolve(&config.path)?;
    let name = config.path.display().to_string();
    let lock = Lock::take(&path)?;
    let fresh = !path.exists();
    let doing = || while_doing(format!("cannot open {name}"));

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags).map_err(doing())?;
    connection.busy_timeout(PATIENCE).map_err(doing())?;
    let content = schema::inspect(&connection, &name)?;

    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(doing())?;
    if mode != "wal" {
        return Err(failed(format!(
            "{name}: its file system cannot keep a write-ahead log (SQLite answered `{mode}`); use a local disk"
        )));
    }
    let synchronous = match config.durability {
        Durability::Durable => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    // A commit must not have to move the log: see `writer`.
    let set_up = |connection: &Connection| -> rusqlite::Result<()> {
        connection.pragma_update(None, "synchronous", synchronous)?;
        // Where a plain fsync leaves the data in the disk's own memory (macOS); elsewhere it changes nothing.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    };
    set_up(&connection).map_err(doing())?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES).map_err(doing())?;
    set_cache(&connection, config.cache_bytes / 2).map_err(doing())?;
    schema::migrate(&mut connection, &name, content, schema::STEPS)?;
    if fresh {
        remember_file(&path)?;
    }
    let second = Connection::open_with_flags(&path, flags).map_err(doing())?;
    second.busy_timeout(PATIENCE).and_then(|()| set_up(&second)).map_err(doing())?;
    let head = head(&connection, &name)?;
    let id = schema::store_id(&connection, &name)?;
    Ok(Opened { connection, second, path, head, id, lock })
}

pub(super) fn for_reading(config: &Sqlite) -> Result<(PathBuf, u64, Uuid), StorageError> {
    let path = resolve(&config.path)?;
    let name = config.path.display().to_string();
    if !path.exists() {
        return Err(failed(format!(
            "there is no file {name}: nothing is stored there yet; run the program that writes it, or check the path"
        )));
    }
    let connection = reader(&path, config.cache_bytes / 2)?;
    match schema::inspect(&connection, &name)? {
        Content::Version(schema::VERSION) => {
            Ok((path, head(&connection, &name)?, schema::store_id(&connection, &name)?))
        }
        Content::Version(version) => Err(super::error::incompatible(format!(
            "{name} has schema version {version}, this program reads version {}; start the program that runs on it once, \
             it brings the file up to date",
            schema::VERSION
        ))),
        Content::Empty => Err(failed(format!("{name} holds nothing yet"))),
    }
}

/// A connection for questions.
pub(super) fn reader(path: &Path, cache_bytes: u64) -> Result<Connection, StorageError> {
    let doing = || while_doing(format!("cannot open {} for reading", path.display()));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(doing())?;
    connection.busy_timeout(PATIENCE).map_err(doing())?;
    connection.pragma_update(None, "query_only", true).map_err(doing())?;
    connection.pragma_update(None, "mmap_size", MAPPED_BYTES).map_err(doing())?;
    set_cache(&connection, cache_bytes).map_err(doing())?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Links that are followed to a file that is not there yet.
const LINKS: usize = 40;

/// One name for one file, however it was spelled: the lock is beside it.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, StorageError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(failed(format!("`{}` is no file; `Memory` keeps everything in memory", path.display())));
    }
    if let Ok(path) = path.canonicalize() {
        return if path.is_dir() {
            Err(failed(format!("{} is a directory; give the path of a file in it", path.display())))
        } else {
            only_name(path)
        };
    }
    // It does not exist yet; a link to it may.
    let mut file = path.to_owned();
    for _ in 0..LINKS {
        let parent = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = parent.canonicalize().map_err(|error| {
            failed(format!(
                "cannot open {}: the directory {} cannot be used: {error}",
                path.display(),
                parent.display()
            ))
        })?;
        let name = file.file_name().ok_or_else(|| failed(format!("{} names no file", path.display())))?;
        let here = parent.join(name);
        match here.read_link() {
            Ok(target) => file = parent.join(target),
            Err(_) => return Ok(here),
        }
    }
    Err(failed(format!("{} is a link that leads in a circle", path.display())))
}

/// SQLite finds its log by the name of the file: under two names it would have two logs, and destroy itself.
#[cfg(unix)]
fn only_name(path: PathBuf) -> Result<PathBuf, StorageError> {
    use std::os::unix::fs::MetadataExt as _;
    match path.metadata() {
        Ok(metadata) if metadata.nlink() > 1 => Err(failed(format!(
            "{} is one of {} hard links to its file; a database may have one name only: use a symbolic link, or a copy",
            path.display(),
            metadata.nlink()
        ))),
        _ => Ok(path),
    }
}

#[cfg(not(unix))]
fn only_name(path: PathBuf) -> Result<PathBuf, StorageError> {
    Ok(path)
}

/// Removes a database with its log, unless a process runs on it.
pub(super) fn remove(config: &Sqlite) -> Result<(), StorageError> {
    let path = resolve(&config.path)?;
    let _lock = Lock::take(&path)?;
    // The log after its database: without it the log means nothing, but a database may need its log. The lock last.
    for ending in ["", "-wal", "-shm", ".lock"] {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(format!("cannot remove {}: {error}", Path::new(&file).display())));
            }
            _ => {}
        }
    }
    Ok(())
}

fn set_cache(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    // Negative: in KiB.
    let kib = i64::try_from(bytes / 1_024).unwrap_or(i64::MAX).clamp(64, i64::from(i32::MAX));
    connection.pragma_update(None, "cache_size", -kib)
}

/// A new file is only there for good when its directory says so on disk.
fn remember_file(path: &Path) -> Result<(), StorageError> {
    if !cfg!(unix) {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| failed(format!("cannot write the directory {} to disk: {error}", parent.display())))
}

fn head(connection: &Connection, name: &str) -> Result<u64, StorageError> {
    let head: i64 = connection
        .query_row(LAST_POSITION, [], |row| row.get(0))
        .map_err(while_doing(format!("cannot read {name}")))?;
    u64::try_from(head).map_err(|_| corrupt(format!("{name} holds the position {head}")))
}
