-- Facts about the store itself.
CREATE TABLE about (
    fact text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- Who this store is; made once.
INSERT INTO about (fact, value) VALUES ('id', gen_random_uuid()::text);

-- Changes with every commit, and outside of transactions: who remembers a value that is still the last one knows that
-- nobody else has written since.
CREATE SEQUENCE version;

-- Names of events and of states, with their version. Never removed: rows refer to them.
CREATE TABLE types (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    UNIQUE (name, version)
);

-- A row is written once, with the first thing that is stored of a stream.
CREATE TABLE streams (
    id bigint PRIMARY KEY,
    root uuid NOT NULL,
    domain text COLLATE "C" NOT NULL,
    edition text COLLATE "C" NOT NULL,
    diverged_at bigint,
    UNIQUE (domain, edition, root)
);
CREATE INDEX streams_of_editions ON streams (edition, domain, root) WHERE edition <> '';

-- In order of position, as subscribers read them.
CREATE TABLE events (
    position bigint PRIMARY KEY,
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    created_at bigint NOT NULL,
    type integer NOT NULL,
    isolated boolean NOT NULL,
    correlation_id text COLLATE "C",
    ext bytea,
    divergences bytea,
    trace bytea,
    payload bytea NOT NULL
);
CREATE UNIQUE INDEX events_of_stream ON events (stream, sequence);
CREATE INDEX events_of_workflow ON events (correlation_id, position) WHERE correlation_id IS NOT NULL;

-- What the first append with a key stored.
CREATE TABLE dedup (
    stream bigint NOT NULL,
    key bytea NOT NULL,
    first_sequence bigint NOT NULL,
    count bigint NOT NULL,
    last_position bigint NOT NULL,
    PRIMARY KEY (stream, key)
);

-- Retention: 0 default, 1 persist, 2 transient.
CREATE TABLE snapshots (
    stream bigint NOT NULL,
    sequence bigint NOT NULL,
    type integer NOT NULL,
    created_at bigint NOT NULL,
    retention smallint NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (stream, sequence, type)
);

-- Rewritten again and again: with room in its pages that happens within one page.
CREATE TABLE checkpoints (
    subscriber text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 20);

-- Resolution: NULL open, 1 retried, 2 discarded. Edition, root and sequence: the place of the first event, in letters that
-- hold events.
CREATE TABLE dead_letters (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    occurred_at bigint NOT NULL,
    domain text COLLATE "C" NOT NULL,
    component text COLLATE "C" NOT NULL,
    correlation_id text COLLATE "C" NOT NULL,
    attempts bigint NOT NULL,
    letter bytea NOT NULL,
    resolution smallint,
    resolved_at bigint,
    reason text,
    edition text COLLATE "C",
    root uuid,
    sequence bigint
);
CREATE INDEX open_dead_letters ON dead_letters (occurred_at, number) WHERE resolution IS NULL;
CREATE INDEX dead_letters_of_workflow ON dead_letters (correlation_id) WHERE correlation_id <> '';
CREATE INDEX parked_events ON dead_letters (component, domain, edition, root, sequence)
    WHERE resolution IS NULL AND sequence IS NOT NULL;

-- What has to be done because of a write. Kind: 0 command, 1 fact, 2 notification, 3 compensation, 4 timeout.
CREATE TABLE intents (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    kind smallint NOT NULL,
    domain text COLLATE "C" NOT NULL,
    edition text COLLATE "C" NOT NULL,
    root uuid NOT NULL,
    due bigint NOT NULL,
    attempts bigint NOT NULL,
    work bytea NOT NULL
);
CREATE INDEX due_intents ON intents (due, number);
CREATE INDEX intents_of_stream ON intents (domain, edition, root, due);

-- What one process at a time may do. One that has run out can be taken by anybody.
CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder uuid NOT NULL,
    until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The highest position and the highest number of a stream that were given before something was discarded. What is
-- discarded may have been the newest, and neither is ever given twice.
CREATE TABLE high_water (
    what text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL
);

-- The newest position that was given.
CREATE FUNCTION newest_position() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT greatest(coalesce((SELECT max(position) FROM events), 0),
                    coalesce((SELECT number FROM high_water WHERE what = 'position'), 0))
$$;

-- The highest number that a stream was given.
CREATE FUNCTION newest_stream() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT greatest(coalesce((SELECT max(id) FROM streams), 0),
                    coalesce((SELECT number FROM high_water WHERE what = 'stream'), 0))
$$;

-- One writer at a time, until its commit can be seen. Refuses whoever decided on what is not the newest any more.
CREATE FUNCTION begin_write(lock_key integer, known bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1095649114, lock_key);
    IF (SELECT last_value FROM version) <> known THEN
        RAISE EXCEPTION 'somebody else has written' USING ERRCODE = 'AZ001';
    END IF;
END
$$;

-- The events of a batch, where nothing else is in it. Their positions follow each other.
CREATE FUNCTION append_events(
    lock_key integer, known bigint, last_position bigint,
    event_streams bigint[], event_sequences bigint[], event_times bigint[], event_types integer[], event_isolated boolean[],
    event_workflows text[], event_exts bytea[], event_divergences bytea[], event_traces bytea[],
    event_payloads bytea[]
) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM begin_write(lock_key, known);
    INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, divergences, trace, payload)
    SELECT last_position + e.n, e.stream, e.sequence, e.created_at, e.type, e.isolated, e.workflow, e.ext, e.points, e.trace, e.payload
    FROM unnest(event_streams, event_sequences, event_times, event_types, event_isolated, event_workflows, event_exts,
                event_divergences, event_traces, event_payloads) WITH ORDINALITY
        AS e (stream, sequence, created_at, type, isolated, workflow, ext, points, trace, payload, n);
    RETURN nextval('version');
END
$$;

-- Everything of a batch that is stored row by row. What was decided is stored; of what could not be known before,
-- dedup keys and intents that are settled, it is seen here that it is still so.
CREATE FUNCTION commit_batch(
    lock_key integer, known bigint, last_position bigint,
    event_streams bigint[], event_sequences bigint[], event_times bigint[], event_types integer[], event_isolated boolean[],
    event_workflows text[], event_exts bytea[], event_divergences bytea[], event_traces bytea[],
    event_payloads bytea[],
    stream_ids bigint[], stream_domains text[], stream_editions text[], stream_roots uuid[], stream_divergences bigint[],
    diverged_ids bigint[], diverged_places bigint[],
    dedup_streams bigint[], dedup_keys bytea[], dedup_firsts bigint[], dedup_counts bigint[], dedup_lasts bigint[],
    snapshot_streams bigint[], snapshot_sequences bigint[], snapshot_types integer[], snapshot_times bigint[],
    snapshot_retentions smallint[], snapshot_states bytea[],
    checkpoint_subscribers text[], checkpoint_positions bigint[],
    settled_ids uuid[], settled_dues bigint[], removed_ids uuid[],
    intent_ids uuid[], intent_kinds smallint[], intent_domains text[], intent_editions text[], intent_roots uuid[],
    intent_dues bigint[], intent_attempts bigint[], intent_works bytea[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM begin_write(lock_key, known);
    IF cardinality(settled_ids) > 0 THEN
        DELETE FROM intents i USING unnest(settled_ids, settled_dues) AS s (id, due) WHERE i.id = s.id AND i.due = s.due;
        GET DIAGNOSTICS gone = ROW_COUNT;
        IF gone <> cardinality(settled_ids) THEN
            RAISE EXCEPTION 'an intent was settled before' USING ERRCODE = 'AZ002';
        END IF;
    END IF;
    IF cardinality(stream_ids) > 0 THEN
        INSERT INTO streams (id, domain, edition, root, diverged_at)
        SELECT * FROM unnest(stream_ids, stream_domains, stream_editions, stream_roots, stream_divergences);
    END IF;
    IF cardinality(diverged_ids) > 0 THEN
        UPDATE streams s SET diverged_at = d.place FROM unnest(diverged_ids, diverged_places) AS d (id, place)
        WHERE s.id = d.id;
    END IF;
    IF cardinality(dedup_streams) > 0 THEN
        INSERT INTO dedup (stream, key, first_sequence, count, last_position)
        SELECT * FROM unnest(dedup_streams, dedup_keys, dedup_firsts, dedup_counts, dedup_lasts);
    END IF;
    IF cardinality(event_streams) > 0 THEN
        INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, divergences, trace, payload)
        SELECT last_position + e.n, e.stream, e.sequence, e.created_at, e.type, e.isolated, e.workflow, e.ext, e.points, e.trace, e.payload
        FROM unnest(event_streams, event_sequences, event_times, event_types, event_isolated, event_workflows, event_exts,
                    event_divergences, event_traces, event_payloads) WITH ORDINALITY
            AS e (stream, sequence, created_at, type, isolated, workflow, ext, points, trace, payload, n);
    END IF;
    -- One after the other: what a snapshot makes superfluous depends on those before it.
    FOR n IN 1 .. cardinality(snapshot_streams) LOOP
        CONTINUE WHEN snapshot_retentions[n] <> 1 AND EXISTS (
            SELECT FROM snapshots s WHERE s.stream = snapshot_streams[n] AND s.sequence > snapshot_sequences[n]);
        INSERT INTO snapshots (stream, sequence, type, created_at, retention, state)
        VALUES (snapshot_streams[n], snapshot_sequences[n], snapshot_types[n], snapshot_times[n], snapshot_retentions[n],
                snapshot_states[n])
        ON CONFLICT (stream, sequence, type) DO UPDATE SET retention = 1 WHERE excluded.retention = 1;
        DELETE FROM snapshots s
        WHERE s.stream = snapshot_streams[n] AND s.sequence < snapshot_sequences[n] AND s.retention <> 1;
    END LOOP;
    IF cardinality(checkpoint_subscribers) > 0 THEN
        INSERT INTO checkpoints (subscriber, position) SELECT * FROM unnest(checkpoint_subscribers, checkpoint_positions)
        ON CONFLICT (subscriber) DO UPDATE SET position = excluded.position
        WHERE excluded.position > checkpoints.position;
    END IF;
    IF cardinality(removed_ids) > 0 THEN
        DELETE FROM intents WHERE id = ANY (removed_ids);
    END IF;
    IF cardinality(intent_ids) > 0 THEN
        INSERT INTO intents (id, kind, domain, edition, root, due, attempts, work)
        SELECT i.id, i.kind, i.domain, i.edition, i.root, i.due, i.attempts, i.work
        FROM unnest(intent_ids, intent_kinds, intent_domains, intent_editions, intent_roots, intent_dues, intent_attempts,
                    intent_works) WITH ORDINALITY AS i (id, kind, domain, edition, root, due, attempts, work, n)
        ORDER BY i.n;
    END IF;
    RETURN nextval('version');
END
$$;
