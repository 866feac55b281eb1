-- Captured tables, mode trigger: which changes are written, in which order and
-- with which images; format json, so that they can be read here.
\getenv abs_srcdir PG_ABS_SRCDIR
\set peek :abs_srcdir '/test/support/wal_peek.sql'
\set ECHO none
\i :peek
\set ECHO all
\set SHOW_CONTEXT never
SELECT relation, mode FROM outbox.captures;

-- one line a message: key, headers, value up to the record about its source
CREATE FUNCTION changes(start pg_lsn) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', coalesce(key, '-'), '[' || headers || ']',
		coalesce(regexp_replace(convert_from(payload, 'UTF8'), ',"(source":|__deleted).*', ''), 'null'))
	FROM wal_peek(start)
$$;

CREATE TABLE item (id int PRIMARY KEY, n int, note text);
SELECT outbox.capture('item', format => 'json') IS NOT NULL AS ok;
SELECT relation, mode, envelope, topic, format, key_format, key, on_error, tombstones, subject, state FROM outbox.captures;
SELECT relation, mode, state, topic, events FROM outbox.stat_capture;
SELECT event_type, topic, format, subject, envelope, collection FROM outbox.route;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'item'::regclass ORDER BY 1;

-- every kind of change
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO item VALUES (1, 1, 'one'), (2, 2, NULL);
UPDATE item SET n = n + 10;
UPDATE item SET id = 3 WHERE id = 1;
DELETE FROM item WHERE id = 2;
COPY item FROM stdin;
4	4	four
5	5	five
\.
INSERT INTO item VALUES (5, 0, 'x'), (6, 6, 'six') ON CONFLICT (id) DO UPDATE SET note = 'again';
INSERT INTO item VALUES (5, 0, 'x') ON CONFLICT DO NOTHING;
MERGE INTO item USING (VALUES (4, 40), (5, NULL), (7, 70)) v (id, n) ON item.id = v.id
	WHEN MATCHED AND v.n IS NULL THEN DELETE
	WHEN MATCHED THEN UPDATE SET n = v.n
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.n);
WITH gone AS (DELETE FROM item WHERE id = 7 RETURNING *) INSERT INTO item SELECT id + 1, n, note FROM gone;
TRUNCATE item;
SELECT * FROM changes(:'start');

-- an aborted savepoint leaves a message that the relay drops with it
SELECT pg_current_wal_insert_lsn() AS start \gset
BEGIN;
INSERT INTO item VALUES (1, 1);
SAVEPOINT s;
UPDATE item SET n = 2;
ROLLBACK TO s;
UPDATE item SET n = 3;
COMMIT;
SELECT ordinal, key FROM wal_peek(:'start');

-- triggers of the user: BEFORE ones shape the row, AFTER ones follow it
CREATE FUNCTION shape() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.n < 0 THEN RETURN NULL; END IF;
	NEW.note := 'shaped'; RETURN NEW;
END $$;
CREATE TRIGGER shape BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION shape();
-- "!" sorts before everything: names do not matter
CREATE FUNCTION raise_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN UPDATE item SET n = n + 100; END IF; RETURN NULL;
END $$;
CREATE TRIGGER "!raise" AFTER INSERT OR UPDATE ON item FOR EACH ROW EXECUTE FUNCTION raise_all();
TRUNCATE item;
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO item VALUES (1, 1), (2, -1), (3, 3);
SELECT * FROM changes(:'start');
SELECT * FROM item ORDER BY id;
DROP TRIGGER "!raise" ON item;
DROP TRIGGER shape ON item;
-- a deferred one changes the row again at commit
CREATE FUNCTION last_word() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE item SET note = 'deferred' WHERE id = NEW.id AND note IS DISTINCT FROM 'deferred'; RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER last_word AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION last_word();
SELECT pg_current_wal_insert_lsn() AS start \gset
BEGIN;
INSERT INTO item VALUES (9, 9);
UPDATE item SET n = 10 WHERE id = 9;
COMMIT;
SELECT * FROM changes(:'start');
DROP TRIGGER last_word ON item;

-- foreign keys: what a cascade does comes after what caused it
CREATE TABLE part_of (item_id int REFERENCES item ON DELETE CASCADE ON UPDATE CASCADE, no int, PRIMARY KEY (item_id, no));
SELECT outbox.capture('part_of', format => 'json', tombstones => false) IS NOT NULL AS ok;
INSERT INTO part_of VALUES (9, 1), (9, 2);
SELECT pg_current_wal_insert_lsn() AS start \gset
UPDATE item SET id = 10 WHERE id = 9;
DELETE FROM item WHERE id = 10;
TRUNCATE item CASCADE;
SELECT * FROM changes(:'start');
DROP TABLE part_of;

-- images have all columns: TOAST, generated columns, dropped columns
CREATE TABLE wide (id int PRIMARY KEY, gone int, big text, n int, twice int GENERATED ALWAYS AS (n * 2) STORED);
ALTER TABLE wide ALTER COLUMN big SET STORAGE EXTERNAL;
ALTER TABLE wide DROP COLUMN gone;
SELECT outbox.capture('wide', format => 'json') IS NOT NULL AS ok;
INSERT INTO wide VALUES (1, repeat('x', 5000), 1);
SELECT pg_current_wal_insert_lsn() AS start \gset
UPDATE wide SET n = 2;
DELETE FROM wide;
SELECT key, v #>> '{before,n}' AS n, v #>> '{before,twice}' AS twice, length(v #>> '{before,big}') AS before,
	v #>> '{after,twice}' AS twice, length(v #>> '{after,big}') AS after
FROM (SELECT key, regexp_replace(convert_from(payload, 'UTF8'), ',"source":.*', '}')::jsonb AS v FROM wal_peek(:'start')) s;
DROP TABLE wide;

-- partitions: one identity, whatever they look like; moved rows; new ones
CREATE TABLE log (id int, day int, junk int, note text, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
CREATE TABLE log1 (pad int, note text, junk int, day int NOT NULL, id int NOT NULL);
ALTER TABLE log1 DROP COLUMN pad;
ALTER TABLE log ATTACH PARTITION log1 FOR VALUES IN (1);
CREATE TABLE log2 PARTITION OF log FOR VALUES IN (2);
CREATE TABLE log_ref (id int, day int, FOREIGN KEY (id, day) REFERENCES log ON UPDATE CASCADE);
SELECT outbox.capture('log', format => 'json', key => '{id}') IS NOT NULL AS ok;
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO log VALUES (1, 1, NULL, 'a'), (2, 2, NULL, 'b');
INSERT INTO log_ref VALUES (1, 1);
UPDATE log SET day = 2 WHERE id = 1;
CREATE TABLE log3 PARTITION OF log FOR VALUES IN (3) PARTITION BY LIST (id);
CREATE TABLE log33 PARTITION OF log3 FOR VALUES IN (33);
INSERT INTO log33 VALUES (33, 3, NULL, 'leaf');
CREATE TABLE log4 (LIKE log INCLUDING ALL);
INSERT INTO log4 VALUES (4, 4, NULL, 'was there');
ALTER TABLE log ATTACH PARTITION log4 FOR VALUES IN (4);
UPDATE log SET note = 'attached' WHERE id = 4;
ALTER TABLE log DETACH PARTITION log4;
UPDATE log4 SET note = 'detached';
TRUNCATE log CASCADE;
DROP TABLE log_ref;
TRUNCATE log33;
SELECT * FROM changes(:'start');
SELECT outbox.capture('log2');
SELECT outbox.uncapture('log2');
-- a table that is captured by itself cannot come under it
SELECT outbox.capture('log4', format => 'json', key => '{id}') IS NOT NULL AS ok;
ALTER TABLE log ATTACH PARTITION log4 FOR VALUES IN (4);
DROP TABLE log4;
SELECT outbox.uncapture('log');
INSERT INTO log VALUES (1, 1, NULL, 'a');
SELECT outbox.capture('log1', format => 'json') IS NOT NULL AS ok;
SELECT outbox.capture('log', format => 'json');
SELECT outbox.uncapture('log1');
SELECT outbox.capture('log', as_root => false);
DROP TABLE log;

-- inheritance: each table by itself
CREATE TABLE parent (id int PRIMARY KEY, n int);
CREATE TABLE child (x text) INHERITS (parent);
SELECT outbox.capture('parent', format => 'json') IS NOT NULL AS ok;
SELECT outbox.capture('child', format => 'json', key => '{id}') IS NOT NULL AS ok;
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO parent VALUES (1, 1);
INSERT INTO child VALUES (2, 2, 'c');
UPDATE parent SET n = n + 1;
DELETE FROM ONLY parent;
TRUNCATE parent;
SELECT route, c.* FROM (SELECT route, row_number() OVER () AS i FROM wal_peek(:'start')) r
	JOIN (SELECT changes, row_number() OVER () AS i FROM changes(:'start')) c USING (i) ORDER BY i;
DROP TABLE parent CASCADE;

-- columns, filter, masks, key, flat
CREATE TABLE person (id int PRIMARY KEY, mail text UNIQUE NOT NULL, name text, age int, secret text);
SELECT outbox.capture('person', envelope => 'flat', format => 'json', key => '{mail}', columns => '{mail,name,secret}',
	row_filter => 'age >= 18', mask => '{"name": {"mask": "truncate", "length": 1}, "secret": {"mask": "null"}}') IS NOT NULL AS ok;
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO person VALUES (1, 'a@x', 'Ann', 20, 's'), (2, 'b@x', 'Bob', 10, 's');
UPDATE person SET age = 18 WHERE id = 2;
UPDATE person SET age = 17 WHERE id = 1;
UPDATE person SET mail = 'bob@x' WHERE id = 2;
SELECT * FROM changes(:'start');
-- later changes go another way; what is written keeps its route
SELECT outbox.alter_capture('person', topic => 'people', row_filter => '', columns => '{}', mask => '{}', tombstones => false, key => '{id}');
SELECT topic, key, columns, row_filter, mask, tombstones FROM outbox.captures WHERE relation = 'person'::regclass;
SELECT pg_current_wal_insert_lsn() AS start \gset
DELETE FROM person WHERE id = 1;
SELECT * FROM changes(:'start');
SELECT topic FROM outbox.route WHERE event_type = 'public.person' ORDER BY id;
SELECT outbox.alter_capture('person', tombstones => false);
SELECT count(*) FROM outbox.route WHERE event_type = 'public.person';
SELECT outbox.alter_capture('person', key => '{}');
SELECT key_format, key FROM outbox.captures WHERE relation = 'person'::regclass;
SELECT outbox.alter_capture('person', key_format => 'plain');
SELECT key_format, key FROM outbox.captures WHERE relation = 'person'::regclass;
SELECT outbox.alter_capture('person', mode => 'log', toast => 'omit');
-- a route of every kind
SELECT outbox.alter_capture('person', format => 'avro', key_format => 'record', transaction_metadata => true,
	on_error => 'dead_letter', partitions => 3, compatibility => 'FULL');
SELECT topic, format, on_error, partitions, subject, key_subject, collection, transaction_topic FROM outbox.route ORDER BY id DESC LIMIT 1;
SELECT subject, compatibility FROM outbox.subjects ORDER BY 1;
SELECT outbox.alter_capture('person', subject_name_strategy => 'RecordName');
SELECT subject, key_subject FROM outbox.captures WHERE relation = 'person'::regclass;

-- what comes by replication: by default as everything else
SELECT pg_current_wal_insert_lsn() AS start \gset
SET session_replication_role = replica;
INSERT INTO item VALUES (100, 1);
RESET session_replication_role;
SELECT outbox.alter_capture('item', origin => 'none');
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'item'::regclass ORDER BY 1;
SET session_replication_role = replica;
INSERT INTO item VALUES (101, 1);
RESET session_replication_role;
INSERT INTO item VALUES (102, 1);
SELECT * FROM changes(:'start');
SELECT outbox.alter_capture('item', origin => 'any');

-- too large, too long
SET outbox.max_event_size = 2000;
\set VERBOSITY sqlstate
INSERT INTO item VALUES (200, 1, repeat('x', 3000));
\set VERBOSITY default
RESET outbox.max_event_size;

-- prepared transactions
SELECT pg_current_wal_insert_lsn() AS start \gset
BEGIN;
UPDATE item SET n = 0 WHERE id = 100;
PREPARE TRANSACTION 'capture';
COMMIT PREPARED 'capture';
SELECT * FROM changes(:'start');

-- the end
SELECT outbox.uncapture('item');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'item'::regclass;
SELECT outbox.uncapture('item');
SELECT outbox.alter_capture('item', topic => 'x');

-- misuse
SELECT outbox.capture(NULL);
SELECT outbox.capture('item', 'polling');
SELECT outbox.capture('item', envelope => 'x');
SELECT outbox.capture('item', format => 'x');
SELECT outbox.capture('item', topic => 'a b');
SELECT outbox.capture('item', on_error => 'x');
SELECT outbox.capture('item', partitions => 0);
SELECT outbox.capture('item', special => 'x');
SELECT outbox.capture('item', toast => 'omit');
SELECT outbox.capture('item', origin => 'x');
SELECT outbox.capture('item', key => '{nope}');
SELECT outbox.capture('item', key => ARRAY['id', NULL]);
SELECT outbox.capture('item', columns => '{n}');
SELECT outbox.capture('item', columns => '{id,nope}');
SELECT outbox.capture('item', row_filter => 'nope = 1');
SELECT outbox.capture('item', row_filter => 'n = (SELECT 1)');
SELECT outbox.capture('item', row_filter => 'random() < 1');
SELECT outbox.capture('item', mask => '{"id": {"mask": "null"}}');
SELECT outbox.capture('item', mask => '{"n": {"mask": "x"}}');
SELECT outbox.capture('item', format => 'json', compatibility => 'FULL');
SELECT outbox.capture('item', compatibility => 'X');
SELECT outbox.capture('item', subject_name_strategy => 'X');
CREATE TEMP TABLE tmp (id int);
CREATE UNLOGGED TABLE volatile (id int);
CREATE VIEW item_view AS SELECT * FROM item;
CREATE MATERIALIZED VIEW item_matview AS SELECT 1 AS one;
SELECT outbox.capture('tmp');
SELECT outbox.capture('volatile');
SELECT outbox.capture('item_view');
SELECT outbox.capture('item_matview');
SELECT outbox.capture('item_pkey');
SELECT outbox.capture('pg_class');
SELECT outbox.capture('information_schema.sql_features');
SELECT outbox.capture('outbox.route');
-- names that differ in odd characters only
CREATE TABLE "a b" (id int PRIMARY KEY);
CREATE TABLE "a-b" (id int PRIMARY KEY);
CREATE TABLE "a+b" (id int PRIMARY KEY);
SELECT outbox.capture('"a b"') IS NOT NULL AS ok;
SELECT outbox.capture('"a-b"') IS NOT NULL AS ok;
SELECT outbox.capture('"a+b"');
SELECT outbox.capture('"a+b"', topic => 'plus') IS NOT NULL AS ok;
SELECT relation, topic FROM outbox.captures WHERE relation::text ~ 'a' ORDER BY topic;
-- no key at all
CREATE TABLE nokey (n int);
SELECT outbox.capture('nokey', format => 'json') IS NOT NULL AS ok;
SELECT key_format, key FROM outbox.captures WHERE relation = 'nokey'::regclass;
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO nokey VALUES (1);
DELETE FROM nokey;
SELECT * FROM changes(:'start');
-- the functions of the triggers are for them alone
SELECT outbox.capture_row('item'::regclass, '(0,1)', NULL, NULL);
INSERT INTO nokey VALUES (1);
SELECT outbox.capture_row(tableoid, ctid, tableoid, ctid) FROM nokey;
SELECT outbox.capture_row(a.tableoid, a.ctid, b.tableoid, b.ctid) FROM nokey a, nokey b;
UPDATE nokey SET n = 2 RETURNING outbox.capture_row(tableoid, ctid, tableoid, ctid);
CREATE FUNCTION forge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM outbox.capture_row(NULL, NULL, NEW.tableoid, NEW.ctid); RETURN NULL; END $$;
CREATE TABLE forged (id int);
CREATE TRIGGER forge AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION forge();
INSERT INTO forged VALUES (1);
CREATE TRIGGER forge2 AFTER INSERT ON forged FOR EACH ROW
	WHEN (outbox.capture_row(NULL, NULL, NEW.tableoid, NEW.ctid)) EXECUTE FUNCTION forge();
DROP TRIGGER forge ON forged;
INSERT INTO forged VALUES (1);
CREATE TRIGGER forge3 AFTER TRUNCATE ON forged EXECUTE FUNCTION outbox.capture_truncate();
TRUNCATE forged;
