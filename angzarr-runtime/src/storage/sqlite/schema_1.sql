-- Names of events and of states, with their version. Never removed: rows refer to them.
CREATE TABLE types (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    UNIQUE (name, version)
) STRICT;

-- A row is written once, with the first thing that is stored of a stream.
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    edition TEXT NOT NULL,
    root BLOB NOT NULL,
    diverged_at INTEGER,
    UNIQUE (domain, edition, root)
) STRICT;

-- In order of position, as subscribers read them.
CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    type INTEGER NOT NULL,
    isolated INTEGER NOT NULL,
    correlation_id TEXT,
    ext BLOB,
    payload BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_of_stream ON events (stream, sequence);
CREATE INDEX events_of_workflow ON events (correlation_id) WHERE correlation_id IS NOT NULL;

-- What the first append with a key stored.
CREATE TABLE dedup (
    stream INTEGER NOT NULL,
    key BLOB NOT NULL,
    first_sequence INTEGER NOT NULL,
    count INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;

-- Retention: 0 default, 1 persist, 2 transient.
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    type INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    retention INTEGER NOT NULL,
    state BLOB NOT NULL,
    UNIQUE (stream, sequence, type)
) STRICT;

CREATE TABLE checkpoints (
    subscriber TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Resolution: NULL open, 1 retried, 2 discarded.
CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    occurred_at INTEGER NOT NULL,
    domain TEXT NOT NULL,
    component TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    letter BLOB NOT NULL,
    resolution INTEGER,
    resolved_at INTEGER,
    reason TEXT
) STRICT;
CREATE INDEX open_dead_letters ON dead_letters (occurred_at, number) WHERE resolution IS NULL;
CREATE INDEX dead_letters_of_workflow ON dead_letters (correlation_id) WHERE correlation_id <> '';
