-- Tables of the application as outboxes.
\getenv abs_srcdir PG_ABS_SRCDIR
\set peek :abs_srcdir '/test/support/wal_peek.sql'
\set ECHO none
\i :peek
\set ECHO all
SELECT outbox.create_event_type('OrderPlaced', format => 'json');
SELECT outbox.create_event_type('Audit', format => 'json', topic => 'audit');
CREATE SCHEMA shop;
SELECT outbox.create_outbox_table('shop.outbox');
\d shop.outbox
SELECT relation, columns, headers FROM outbox.attached_table;

SELECT pg_current_wal_insert_lsn() AS start \gset
\set QUIET off
INSERT INTO shop.outbox (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'OrderPlaced', '{"id": 1}');
\set QUIET on
-- insert, then delete in the same transaction, as Debezium recommends
BEGIN;
INSERT INTO shop.outbox (id, aggregatetype, aggregateid, type, payload)
	VALUES ('12345678-9abc-4def-8123-456789abcdef', 'Order', '2', 'OrderPlaced', '{"id": 2}') RETURNING id;
DELETE FROM shop.outbox WHERE aggregateid = '2';
COMMIT;
COPY shop.outbox (aggregatetype, aggregateid, type, payload) FROM stdin;
Order	3	OrderPlaced	{"id": 3}
Order	4	Audit	{"id": 4}
\.
-- the event id is the row's
SELECT w.ordinal, w.topic, w.key, w.headers, w.partition, o.id = w.id AS same_id,
	convert_from(w.payload, 'UTF8') AS payload
FROM wal_peek(:'start') w LEFT JOIN shop.outbox o ON o.aggregateid = w.key;

-- update is refused, delete and truncate are not
UPDATE shop.outbox SET payload = '{}';
INSERT INTO shop.outbox (id, aggregatetype, aggregateid, type, payload)
	SELECT id, 'Order', 'x', 'OrderPlaced', '{}' FROM shop.outbox LIMIT 1
	ON CONFLICT (id) DO UPDATE SET payload = '{}';
INSERT INTO shop.outbox (id, aggregatetype, aggregateid, type, payload)
	SELECT id, 'Order', 'x', 'OrderPlaced', '{}' FROM shop.outbox LIMIT 1
	ON CONFLICT DO NOTHING;
DELETE FROM shop.outbox WHERE aggregateid = '1';
TRUNCATE shop.outbox;
-- what does not fit
INSERT INTO shop.outbox (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'Nothing', '{}');
INSERT INTO shop.outbox (aggregatetype, aggregateid, type, payload) VALUES ('an order', '1', 'OrderPlaced', '{}');
SELECT count(*) FROM shop.outbox;

-- names of one's own, extra columns, partition, timestamp, text payload
CREATE DOMAIN shop.kind AS text;
CREATE TABLE shop.events (
	n bigint GENERATED ALWAYS AS IDENTITY, event_id uuid, entity bigint, kind shop.kind,
	body text, meta jsonb, tenant int, "trace id" text, part smallint, at timestamptz);
SELECT outbox.attach_table('shop.events',
	columns => '{"id": "event_id", "aggregateid": "entity", "type": "kind", "payload": "body",
		"headers": "meta", "partition": "part", "timestamp": "at"}',
	headers => '{tenant,trace id:trace}');
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO shop.events (event_id, entity, kind, body, meta, tenant, "trace id", part, at) VALUES
	('12345678-9abc-4def-8123-456789abcdef', 42, 'OrderPlaced', '{"a":   1}', '{"x": "y"}', 7, 't-1', 2, '2026-01-02 03:04:05+00'),
	(NULL, NULL, 'Audit', '"x"', NULL, NULL, NULL, NULL, NULL);
SELECT ordinal, topic, key, headers, partition, timestamp, CASE WHEN key = '42' THEN id END AS id, convert_from(payload, 'UTF8') AS payload
FROM wal_peek(:'start');
INSERT INTO shop.events (kind, body) VALUES ('Audit', '{');
INSERT INTO shop.events (kind, body) VALUES ('Audit', NULL);
INSERT INTO shop.events (kind, body) VALUES (NULL, '{}');
INSERT INTO shop.events (kind, body, part) VALUES ('Audit', '{}', -1);
INSERT INTO shop.events (kind, body, meta) VALUES ('Audit', '{}', '[1]');
-- a column that is renamed is missed, one that is added or retyped is not
ALTER TABLE shop.events ADD COLUMN more int;
ALTER TABLE shop.events ALTER COLUMN part TYPE bigint;
INSERT INTO shop.events (kind, body, part) VALUES ('Audit', '{}', 5000000000);
INSERT INTO shop.events (kind, body, part) VALUES ('Audit', '{}', 5);
ALTER TABLE shop.events RENAME COLUMN tenant TO customer;
INSERT INTO shop.events (kind, body) VALUES ('Audit', '{}');
ALTER TABLE shop.events RENAME COLUMN customer TO tenant;
INSERT INTO shop.events (kind, body) VALUES ('Audit', '{}');
SELECT outbox.detach_table('shop.events');
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO shop.events (kind, body) VALUES ('Nothing', 'not json');
UPDATE shop.events SET body = 'x';
SELECT count(*) FROM wal_peek(:'start');
SELECT outbox.detach_table('shop.events');

-- json, row and plain payload types
CREATE TYPE shop.item AS (sku text, price numeric(10,2));
CREATE TABLE shop.rows (type text, payload shop.item);
CREATE TABLE shop.jsons (type varchar, payload json);
SELECT outbox.attach_table('shop.rows');
SELECT outbox.attach_table('shop.jsons');
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO shop.rows VALUES ('Audit', ('a', 1.5));
INSERT INTO shop.jsons VALUES ('Audit', '{"b":   2}');
SELECT topic, key, convert_from(payload, 'UTF8') AS payload FROM wal_peek(:'start');

-- partitioned tables, also partitions to come and columns in another order
CREATE TABLE shop.parted (aggregatetype text, aggregateid text, type text, payload jsonb, day date)
	PARTITION BY RANGE (day);
CREATE TABLE shop.parted_1 PARTITION OF shop.parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT outbox.attach_table('shop.parted', headers => '{day}');
CREATE TABLE shop.parted_2 (junk int, day date, payload jsonb, type text, aggregateid text, aggregatetype text);
ALTER TABLE shop.parted_2 DROP COLUMN junk;
ALTER TABLE shop.parted ATTACH PARTITION shop.parted_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO shop.parted VALUES ('Order', '1', 'OrderPlaced', '{"p": 1}', '2026-01-05'),
	('Order', '2', 'OrderPlaced', '{"p": 2}', '2026-02-05');
INSERT INTO shop.parted_2 (aggregatetype, aggregateid, type, payload, day)
	VALUES ('Order', '3', 'OrderPlaced', '{"p": 3}', '2026-02-06');
UPDATE shop.parted SET day = '2026-02-01' WHERE aggregateid = '1';
SELECT topic, key, headers, convert_from(payload, 'UTF8') AS payload FROM wal_peek(:'start');
ALTER TABLE shop.parted DETACH PARTITION shop.parted_2;
INSERT INTO shop.parted_2 (type, payload) VALUES ('Nothing', '{}');
SELECT outbox.detach_table('shop.parted');
INSERT INTO shop.parted VALUES ('Order', '1', 'Nothing', '{}', '2026-01-05');

-- misuse
SELECT outbox.attach_table('shop.outbox');
SELECT outbox.attach_table('shop.parted', columns => '[]');
SELECT outbox.attach_table('shop.parted', columns => '{"payload": "nope"}');
SELECT outbox.attach_table('shop.parted', columns => '{"pay load": "payload"}');
SELECT outbox.attach_table('shop.parted', columns => '{"payload": 1}');
SELECT outbox.attach_table('shop.parted', columns => '{"payload": null}');
SELECT outbox.attach_table('shop.parted', columns => '{"payload": "day"}');
SELECT outbox.attach_table('shop.parted', columns => '{"id": "day"}');
SELECT outbox.attach_table('shop.parted', columns => '{"headers": "day"}');
SELECT outbox.attach_table('shop.parted', columns => '{"partition": "type"}');
SELECT outbox.attach_table('shop.parted', columns => '{"timestamp": "day"}');
SELECT outbox.attach_table('shop.parted', headers => '{nope}');
SELECT outbox.attach_table('shop.parted', headers => '{day:id}');
SELECT outbox.attach_table('shop.parted', headers => '{day:}');
SELECT outbox.attach_table('outbox.event');
CREATE TEMP TABLE tmp (type text, payload jsonb);
SELECT outbox.attach_table('tmp');
SELECT outbox.create_outbox_table('shop.outbox');
SELECT outbox.create_outbox_table('nowhere.outbox');
SELECT outbox.create_outbox_table('a.b.c.d');
-- by the search path of the caller, quoted
SET search_path = shop;
SELECT outbox.create_outbox_table('"Out Box"');
RESET search_path;
INSERT INTO shop."Out Box" (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'OrderPlaced', '{}');

-- rights: emitted as the table's owner; nobody else can attach or lend
CREATE ROLE regress_outbox_owner;
CREATE ROLE regress_outbox_writer;
GRANT ALL ON SCHEMA shop TO regress_outbox_owner, regress_outbox_writer;
SELECT outbox.grant_emit('Audit', 'regress_outbox_owner');
SELECT outbox.grant_emit('OrderPlaced', 'regress_outbox_writer');
SET ROLE regress_outbox_owner;
SELECT outbox.create_outbox_table('shop.owned');
GRANT INSERT ON shop.owned TO regress_outbox_writer;
INSERT INTO shop.owned (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'Audit', '{}');
INSERT INTO shop.owned (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'OrderPlaced', '{}');
SET ROLE regress_outbox_writer;
INSERT INTO shop.owned (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'Audit', '{}');
INSERT INTO shop.owned (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'OrderPlaced', '{}');
SELECT outbox.attach_table('shop.rows');
SELECT outbox.detach_table('shop.owned');
SELECT outbox.create_outbox_table('pg_catalog.x');
CREATE TABLE shop.mine (type text, payload jsonb);
CREATE TRIGGER x AFTER INSERT ON shop.mine FOR EACH ROW EXECUTE FUNCTION outbox.table_insert();
RESET ROLE;
-- even the superuser's trigger does not run where nothing is attached
CREATE TRIGGER x AFTER INSERT ON shop.mine FOR EACH ROW EXECUTE FUNCTION outbox.table_insert();
INSERT INTO shop.mine VALUES ('Audit', '{}');
CREATE TRIGGER y BEFORE INSERT ON shop.owned FOR EACH ROW EXECUTE FUNCTION outbox.table_insert();
INSERT INTO shop.owned (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'Audit', '{}');
SELECT outbox.table_insert();
SELECT outbox.table_update();
-- a dropped table leaves nothing that the next attach would not clear away
DROP TABLE shop.rows, shop.jsons;
SELECT outbox.attach_table('shop.parted');
SELECT relation FROM outbox.attached_table ORDER BY relation::text;
-- a subscriber does not emit what the publisher has emitted
SET session_replication_role = replica;
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO shop.outbox (aggregatetype, aggregateid, type, payload) VALUES ('Order', '1', 'OrderPlaced', '{}');
RESET session_replication_role;
SELECT count(*) FROM wal_peek(:'start');
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
SELECT outbox.revoke_emit('Audit', 'regress_outbox_owner');
SELECT outbox.revoke_emit('OrderPlaced', 'regress_outbox_writer');
DROP ROLE regress_outbox_owner, regress_outbox_writer;
