//! One process, one file: the lock that is taken before the database is opened for writing.
//!
//! In: the path of the database. Out: a lock that the operating system frees with the process, however it ends. Never: a
//! lock that has to be cleaned up by hand.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::super::{StorageError, StorageErrorKind};
use super::error::{BACKEND, failed};

/// Held for as long as the file is open for writing.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(database: &Path) -> Result<Self, StorageError> {
        let path = beside(database);
        let cannot = |error: std::io::Error| {
            failed(format!(
                "cannot use the lock file {}: {error}; check that the directory exists and that the process may write to it",
                path.display()
            ))
        };
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open().map_err(cannot)?;
        match file.try_lock() {
            // Somebody may have removed it in between: then the next one to come would lock another file.
            Ok(()) if !is_at(&file, &path) => {
                return Err(failed(format!("the lock file {} was removed or replaced; try again", path.display())));
            }
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The text is a courtesy: where it cannot be read, the lock is held all the same.
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process",
                    holder => holder,
                };
                let message = format!(
                    "{} is in use by {holder}; stop it first, or use another file. One process at a time may run on a \
                     SQLite file; tools may look into it meanwhile",
                    database.display()
                );
                return Err(StorageError::new(StorageErrorKind::Locked, BACKEND, message));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let told = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| {
            let process = std::env::current_exe().ok();
            let name = process.as_deref().and_then(Path::file_name).map(|it| it.to_string_lossy().into_owned());
            writeln!(file, "process {} ({})", std::process::id(), name.as_deref().unwrap_or("name unknown"))
        });
        told.map_err(cannot)?;
        Ok(Self { _file: file })
    }
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true // an open file cannot be removed
}

fn beside(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
