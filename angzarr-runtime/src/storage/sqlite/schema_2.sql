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
