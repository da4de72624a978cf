//! Fresh SQLite files beside those that are read models, and back (row J3).
//!
//! In: open databases. Out: an empty one of the same schema, later its content in the place of the old one in one step.
//! Never: a file that holds what is not the projector's own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension as _};

use super::checkpoints;
use crate::declare::ReactionError;

/// How long others may hold the file at the switch.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
const SUFFIX: &str = ".angzarr-rebuild";

/// Where the fresh file of a rebuild stands.
pub(super) fn path_beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(SUFFIX);
    beside.into()
}

/// Whether a path is one of these.
#[cfg(feature = "sqlx-sqlite")]
pub(super) fn is_beside(path: &Path) -> bool {
    path.as_os_str().to_string_lossy().ends_with(SUFFIX)
}

/// Removes a fresh file and what SQLite puts beside it.
pub(super) fn remove(path: &Path) -> Result<(), ReactionError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let file = Path::new(&file).display();
                return Err(ReactionError::permanent(format!("cannot remove {file}: {error}")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a file in which another projector keeps its checkpoint: its rows would not be in the fresh one.
pub(super) fn refuse_shared(live: &Connection, projector: &str) -> Result<(), ReactionError> {
    if !has_checkpoints(live)? {
        return Ok(());
    }
    // A checkpoint of a letter has the projector's name and more; names hold no space.
    let sql = "SELECT name FROM angzarr_checkpoints WHERE name <> ?1 AND substr(name, 1, length(?1) + 1) <> ?1 || ' '";
    let other: Option<String> = live.query_row(sql, [projector], |row| row.get(0)).optional()?;
    let Some(other) = other else { return Ok(()) };
    let other = other.split(' ').next().unwrap_or_default();
    Err(ReactionError::permanent(format!(
        "its read model is the file of `{other}` too, whose rows a rebuild would lose; give each projector a file of its own, \
         or rebuild `{projector}` into another file by `.into_instance(…)`"
    )))
}

fn has_checkpoints(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'angzarr_checkpoints')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// Gives an empty database the form of another one. Before anything is created in it.
///
/// It needs no durability: until the switch it can be made again.
fn shape(live: &Connection, fresh: &Connection) -> Result<(), rusqlite::Error> {
    for pragma in ["page_size", "auto_vacuum"] {
        let value: i64 = live.pragma_query_value(None, pragma, |row| row.get(0))?;
        fresh.pragma_update(None, pragma, value)?;
    }
    let encoding: String = live.pragma_query_value(None, "encoding", |row| row.get(0))?;
    fresh.pragma_update(None, "encoding", encoding)?;
    fresh.pragma_update(None, "journal_mode", "memory")?;
    fresh.pragma_update(None, "synchronous", "off")
}

/// Makes the tables, with their indices and triggers, and the views that the fresh database does not have yet.
fn copy_schema(live: &Connection, fresh: &Connection) -> Result<(), rusqlite::Error> {
    for pragma in ["user_version", "application_id"] {
        let value: i64 = live.pragma_query_value(None, pragma, |row| row.get(0))?;
        fresh.pragma_update(None, pragma, value)?;
    }
    let known: Vec<String> =
        fresh.prepare("SELECT name FROM sqlite_schema")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // The tables of a virtual table come with it.
    let mut statement = live.prepare(
        "SELECT object.tbl_name, object.sql FROM sqlite_schema object
         LEFT JOIN pragma_table_list its ON its.schema = 'main' AND its.name = object.tbl_name
         WHERE object.sql IS NOT NULL AND object.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND coalesce(its.type, '') <> 'shadow'
         ORDER BY CASE object.type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, object.rowid",
    )?;
    let objects = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    for object in objects {
        let (table, sql) = object?;
        if !known.contains(&table) {
            fresh.execute_batch(&sql)?;
        }
    }
    Ok(())
}

/// Puts the content of `fresh` in the place of that of `live`, in one transaction, durably. Blocks.
pub(super) fn replace(fresh: &Connection, live: &mut Connection) -> Result<(), ReactionError> {
    let owner = |connection: &Connection| -> Result<Option<String>, rusqlite::Error> {
        if !has_checkpoints(connection)? {
            return Ok(None);
        }
        connection.query_row("SELECT min(name) FROM angzarr_checkpoints", [], |row| row.get(0))
    };
    if let Some(name) = owner(fresh)? {
        // The file may have got a second owner meanwhile.
        refuse_shared(live, name.split(' ').next().unwrap_or_default())?;
    }
    let synchronous: i64 = live.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    live.pragma_update(None, "synchronous", "full")?;
    let replaced = copy_pages(fresh, live);
    live.pragma_update(None, "synchronous", synchronous)?;
    replaced
}

fn copy_pages(fresh: &Connection, live: &mut Connection) -> Result<(), ReactionError> {
    let copy = Backup::new(fresh, live)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // All pages in one step: whoever reads meanwhile sees the old content, and then the new one.
        if copy.step(-1)? == StepResult::Done {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(ReactionError::transient("another program holds the file of the read model"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The table of checkpoints, and what `schema` says, in a fresh database of the form of another one.
pub(super) fn create(live: &Connection, fresh: &Connection, schema: &str) -> Result<(), rusqlite::Error> {
    shape(live, fresh)?;
    fresh.execute_batch(checkpoints::TABLE)?;
    fresh.execute_batch(schema)?;
    copy_schema(live, fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "CREATE TABLE a (id INTEGER PRIMARY KEY, old TEXT);
        CREATE INDEX a_old ON a (old);
        CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);
        CREATE INDEX b_text ON b (text);
        CREATE VIEW texts AS SELECT text FROM b;
        CREATE TRIGGER b_a AFTER INSERT ON b BEGIN INSERT INTO a (id) VALUES (new.id); END;
        CREATE VIRTUAL TABLE words USING fts5 (text);
        INSERT INTO b (text) VALUES ('old');
        INSERT INTO words VALUES ('old');
        PRAGMA user_version = 7";

    /// Row J3: everything but the data; a table of the program's schema has the form that it has there now.
    #[test]
    fn j3_a_fresh_file_has_the_schema_and_no_data() {
        let (mut live, fresh) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        live.execute_batch("PRAGMA page_size = 8192").unwrap();
        live.execute_batch(checkpoints::TABLE).unwrap();
        live.execute_batch(OLD).unwrap();
        create(&live, &fresh, "CREATE TABLE IF NOT EXISTS a (id INTEGER PRIMARY KEY, new TEXT)").unwrap();
        let one = |connection: &Connection, sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        for empty in ["a", "b", "texts", "words"] {
            assert_eq!(one(&fresh, &format!("SELECT count(*) FROM {empty}")).unwrap(), 0, "{empty}");
        }
        fresh.execute_batch("INSERT INTO words VALUES ('new'); INSERT INTO b (text) VALUES ('x'), ('y')").unwrap();
        assert_eq!(one(&fresh, "SELECT count(*) FROM a WHERE new IS NULL").unwrap(), 2, "the trigger runs");
        assert_eq!(one(&fresh, "PRAGMA user_version").unwrap(), 7);
        let indices = "SELECT count(*) FROM sqlite_schema WHERE name IN ('a_old', 'b_text')";
        assert_eq!(one(&fresh, indices).unwrap(), 1, "an index of an old form does not come along");
        // Back again: nothing of the old content is left.
        replace(&fresh, &mut live).unwrap();
        assert_eq!(one(&live, "SELECT count(*) FROM b").unwrap(), 2);
        assert_eq!(one(&live, "SELECT count(*) FROM words WHERE words MATCH 'old'").unwrap(), 0);
        assert_eq!(one(&live, "SELECT count(*) FROM words WHERE words MATCH 'new'").unwrap(), 1);
        assert_eq!(one(&live, "SELECT max(id) FROM b").unwrap(), 2, "numbers begin anew");
    }

    #[test]
    fn j3_the_file_of_two_projectors_is_refused() {
        let live = Connection::open_in_memory().unwrap();
        refuse_shared(&live, "a").unwrap();
        live.execute_batch(checkpoints::TABLE).unwrap();
        let mut note = live.prepare("INSERT INTO angzarr_checkpoints VALUES (?1, zeroblob(16), 1)").unwrap();
        note.execute(["a"]).unwrap();
        note.execute(["a letter 1"]).unwrap();
        refuse_shared(&live, "a").unwrap();
        note.execute(["ab letter 1"]).unwrap();
        assert!(refuse_shared(&live, "a").unwrap_err().message().contains("`ab`"));
        let mut file = Connection::open_in_memory().unwrap();
        file.execute_batch(checkpoints::TABLE).unwrap();
        file.execute("INSERT INTO angzarr_checkpoints VALUES ('c', zeroblob(16), 1)", []).unwrap();
        replace(&live, &mut file).unwrap_err();
    }
}
