-- The span of a trace that an event's command ran in: trace id, span id, flags, as W3C has them. Where nobody traces there is none.
-- Behind the payload, as the divergences are.
ALTER TABLE events ADD COLUMN trace BLOB;
