-- Facts about the store itself.
CREATE TABLE about (
    fact TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Who this store is; made once.
INSERT INTO about (fact, value) VALUES ('id', randomblob(16));

-- The place of the first event, in letters that hold events.
ALTER TABLE dead_letters ADD COLUMN edition TEXT;
ALTER TABLE dead_letters ADD COLUMN root BLOB;
ALTER TABLE dead_letters ADD COLUMN sequence INTEGER;
CREATE INDEX parked_events ON dead_letters (component, domain, edition, root, sequence)
    WHERE resolution IS NULL AND sequence IS NOT NULL;

-- A snapshot and the one that it replaces stand side by side: a commit touches one page for both.
CREATE TABLE snapshots_by_stream (
    stream INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    type INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    retention INTEGER NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (stream, sequence, type)
) STRICT, WITHOUT ROWID;
INSERT INTO snapshots_by_stream
    SELECT stream, sequence, type, created_at, retention, state FROM snapshots ORDER BY stream, sequence, type;
DROP TABLE snapshots;
ALTER TABLE snapshots_by_stream RENAME TO snapshots;
