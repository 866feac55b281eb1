-- INSERT INTO outbox.event.
\getenv abs_srcdir PG_ABS_SRCDIR
\set peek :abs_srcdir '/test/support/wal_peek.sql'
\set ECHO none
\i :peek
\set ECHO all
SELECT outbox.create_event_type('OrderPlaced', format => 'json', key => 'id');
SELECT outbox.create_event_type('Audit', format => 'json', topic => 'audit');
SELECT * FROM outbox.event;
\d outbox.event

SELECT pg_current_wal_insert_lsn() AS start \gset
-- row count, also for several rows
\set QUIET off
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'OrderPlaced', '{"id": 1}');
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)
	SELECT 'Order', n::text, 'OrderPlaced', jsonb_build_object('id', n) FROM generate_series(2, 4) n;
\set QUIET on
-- RETURNING
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload, id)
	VALUES ('Order', '5', 'OrderPlaced', '{"id": 5}', '12345678-9abc-4def-8123-456789abcdef') RETURNING id, aggregateid;
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)
	VALUES ('Order', '6', 'OrderPlaced', '{"id": 6}') RETURNING id IS NOT NULL AS has_id, type, payload;
-- defaults: key from the payload, topic from the type's name, fixed topic
INSERT INTO outbox.event (type, payload) VALUES ('OrderPlaced', '{"id": "seven"}');
INSERT INTO outbox.event (aggregatetype, type, payload) VALUES ('Order', 'Audit', '{}');
-- the rest
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload, headers, partition, "timestamp")
	VALUES ('Order', '8', 'OrderPlaced', '{"id": 8}', '{"tenant": 42}', 3, '2026-01-02 03:04:05.678+00');
-- COPY
COPY outbox.event (aggregatetype, aggregateid, type, payload) FROM stdin;
Order	9	OrderPlaced	{"id": 9}
Order	10	OrderPlaced	{"id": 10}
\.
-- a data-modifying query and a prepared statement
WITH e AS (INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)
	VALUES ('Order', '11', 'OrderPlaced', '{}') RETURNING aggregateid)
SELECT * FROM e;
PREPARE p AS INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES ($1, $2, $3, $4);
EXECUTE p('Order', '12', 'OrderPlaced', '{}');
EXECUTE p('Customer', '12', 'OrderPlaced', '{}');
SELECT ordinal, topic, key, headers, partition, timestamp, CASE WHEN key = '5' THEN id END AS id, convert_from(payload, 'UTF8') AS payload
FROM wal_peek(:'start');

-- misuse
INSERT INTO outbox.event (aggregatetype, aggregateid, payload) VALUES ('Order', '1', '{}');
INSERT INTO outbox.event (aggregatetype, aggregateid, type) VALUES ('Order', '1', 'OrderPlaced');
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'Nothing', '{}');
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES ('An Order', '1', 'OrderPlaced', '{}');
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES ('', '1', 'OrderPlaced', '{}');
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES (repeat('x', 240), '1', 'OrderPlaced', '{}');
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES ('Order/../x', '1', 'OrderPlaced', '{}');
INSERT INTO outbox.event (type, payload, partition) VALUES ('Audit', '{}', -1);
INSERT INTO outbox.event (type, payload, "timestamp") VALUES ('Audit', '{}', 'infinity');
INSERT INTO outbox.event (type, payload, "timestamp") VALUES ('Audit', '{}', '1969-12-31 23:59:59+00');
INSERT INTO outbox.event (type, payload, headers) VALUES ('Audit', '{}', '{"id": 1}');
UPDATE outbox.event SET type = 'x';
DELETE FROM outbox.event;
COPY outbox.event (aggregatetype, aggregateid, type, payload) FROM stdin;
Order	13	OrderPlaced	{"id": 13}
Order	14	Nothing	{}
\.
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'OrderPlaced', '{}')
	ON CONFLICT DO NOTHING;
SELECT outbox.event_insert();
-- the trigger function is of no use elsewhere
CREATE TABLE t (a int);
CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION outbox.event_insert();
INSERT INTO t VALUES (1);
CREATE VIEW v AS SELECT 1 AS a;
CREATE TRIGGER x INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION outbox.event_insert();
INSERT INTO v VALUES (1);
