-- What those who wait for other processes are told (`storage::Answers`): whose wait it is, what it is about, and until when
-- somebody may want to know, in nanoseconds since 1970.
CREATE TABLE answers (
    wait uuid NOT NULL,
    key bytea NOT NULL,
    until bigint NOT NULL,
    answer bytea NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (wait, key)
);
CREATE INDEX answers_by_age ON answers (until);

-- Behind the 25 bytes of its trace an event has the mark of the wait that it belongs to, which begins with the wait. Most
-- events have none.
CREATE INDEX events_of_wait ON events (substr(trace, 26, 16), position) WHERE octet_length(trace) > 25;

-- Events alone are stored by a statement of the program, without a function.
DROP FUNCTION append_events;

-- Changes with every write; 0 before the first one.
CREATE FUNCTION newest_version() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(pg_sequence_last_value('version'), 0)
$$;

-- Refuses whoever decided on what is not the newest any more.
CREATE FUNCTION refuse_outdated() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'somebody else has written' USING ERRCODE = 'AZ001';
END
$$;

-- One writer at a time, until its commit can be seen. An assignment and a condition instead of statements, because those would
-- cost as much as storing an event.
CREATE OR REPLACE FUNCTION begin_write(lock_key integer, known bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    nothing text;
BEGIN
    nothing := pg_advisory_xact_lock(1095649114, lock_key);
    IF coalesce(pg_sequence_last_value('version'), 0) <> known THEN
        PERFORM refuse_outdated();
    END IF;
END
$$;

-- Everything of a batch that is stored row by row. What was decided is stored; of what could not be known before,
-- dedup keys and intents that are settled, it is seen here that it is still so. Batches that hold events and nothing else go
-- without a function. A column that has nothing in it is NULL instead of an array.
CREATE OR REPLACE FUNCTION commit_batch(
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
    nothing text;
    gone bigint;
BEGIN
    nothing := begin_write(lock_key, known);
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
    IF cardinality(event_streams) = 1 THEN
        INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, divergences, trace, payload)
        VALUES (last_position + 1, event_streams[1], event_sequences[1], event_times[1], event_types[1],
                coalesce(event_isolated[1], false), event_workflows[1], event_exts[1], event_divergences[1], event_traces[1], event_payloads[1]);
    ELSIF cardinality(event_streams) > 0 THEN
        INSERT INTO events (position, stream, sequence, created_at, type, isolated, correlation_id, ext, divergences, trace, payload)
        SELECT last_position + e.n, e.stream, e.sequence, e.created_at, e.type, coalesce(e.isolated, false), e.workflow,
               e.ext, e.points, e.trace, e.payload
        FROM unnest(event_streams, event_sequences, event_times, event_types, event_isolated, event_workflows, event_exts,
                    event_divergences, event_traces, event_payloads) WITH ORDINALITY
            AS e (stream, sequence, created_at, type, isolated, workflow, ext, points, trace, payload, n);
    END IF;
    -- A snapshot makes older ones superfluous, unless they are to persist, whether they are stored or come with it.
    IF cardinality(snapshot_streams) > 0 THEN
        INSERT INTO snapshots (stream, sequence, type, created_at, retention, state)
        SELECT DISTINCT ON (n.stream, n.sequence, n.type) n.stream, n.sequence, n.type, n.created_at, n.retention, n.state
        FROM unnest(snapshot_streams, snapshot_sequences, snapshot_types, snapshot_times, snapshot_retentions, snapshot_states)
            AS n (stream, sequence, type, created_at, retention, state)
        WHERE n.retention = 1
           OR coalesce((SELECT max(s.sequence) FROM snapshots s WHERE s.stream = n.stream) <= n.sequence, true)
        ORDER BY n.stream, n.sequence, n.type, n.retention = 1 DESC
        ON CONFLICT (stream, sequence, type) DO UPDATE SET retention = 1 WHERE excluded.retention = 1;
        DELETE FROM snapshots WHERE ctid = ANY (ARRAY(
            SELECT old.ctid FROM unnest(snapshot_streams, snapshot_sequences) AS n (stream, sequence),
            LATERAL (SELECT s.ctid FROM snapshots s
                     WHERE s.stream = n.stream AND s.sequence < n.sequence AND s.retention <> 1 OFFSET 0) AS old));
    END IF;
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
