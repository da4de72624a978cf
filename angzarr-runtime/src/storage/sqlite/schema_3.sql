-- The explicit divergence points of an event's command; mostly there are none. Behind the payload: a row without them is
-- read without following the pages of a large one.
ALTER TABLE events ADD COLUMN divergences BLOB;

-- Finds what belongs to an edition. The streams of the main timeline are not in it.
CREATE INDEX streams_of_editions ON streams (edition, domain, root) WHERE edition <> '';

-- What has to be done because of a write. Kind: 0 command, 1 fact, 2 notification, 3 compensation, 4 timeout.
CREATE TABLE intents (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    domain TEXT NOT NULL,
    edition TEXT NOT NULL,
    root BLOB NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    work BLOB NOT NULL
) STRICT;
CREATE INDEX due_intents ON intents (due);
CREATE INDEX intents_of_stream ON intents (domain, edition, root, due);

-- The highest position and the highest number of a stream that were given before something was discarded. What is
-- discarded may have been the newest, and neither is ever given twice.
CREATE TABLE high_water (
    what TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
