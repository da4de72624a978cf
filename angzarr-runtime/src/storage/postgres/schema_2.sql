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
