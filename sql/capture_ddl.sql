-- DDL on captured tables: schemas follow and are checked, the capture lives on
-- or ends; new tables of a captured schema.
\getenv abs_srcdir PG_ABS_SRCDIR
\set peek :abs_srcdir '/test/support/wal_peek.sql'
\set ECHO none
\i :peek
\set ECHO all
\set SHOW_CONTEXT never
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('ok', 'sad');
CREATE TYPE app.addr AS (street text, no int);
CREATE TABLE app.orders (id int PRIMARY KEY, n int NOT NULL, m app.mood, a app.addr, note text, secret text, extra int);
SELECT outbox.capture('app.orders', topic => 'orders', key_format => 'record', compatibility => 'BACKWARD',
	mask => '{"secret": {"mask": "hash"}}') IS NOT NULL AS ok;
SELECT subject, version FROM outbox.schema_versions ORDER BY 1, 2;

-- what each kind of DDL does; rolled back
CREATE TABLE ddl (n serial, statement text);
INSERT INTO ddl (statement) VALUES
	('ALTER TABLE app.orders ADD COLUMN x int'),
	('ALTER TABLE app.orders ADD COLUMN x int NOT NULL'),
	('ALTER TABLE app.orders ADD COLUMN x int NOT NULL DEFAULT 7'),
	('ALTER TABLE app.orders DROP COLUMN note'),
	('ALTER TABLE app.orders DROP COLUMN n'),
	('ALTER TABLE app.orders DROP COLUMN secret'),
	('ALTER TABLE app.orders DROP COLUMN id'),
	('ALTER TABLE app.orders RENAME COLUMN note TO remark'),
	('ALTER TABLE app.orders RENAME COLUMN id TO nr'),
	('ALTER TABLE app.orders RENAME COLUMN secret TO hidden'),
	('ALTER TABLE app.orders ALTER COLUMN n TYPE bigint'),
	('ALTER TABLE app.orders ALTER COLUMN n TYPE smallint'),
	('ALTER TABLE app.orders ALTER COLUMN note TYPE int USING 1'),
	('ALTER TABLE app.orders ALTER COLUMN n DROP NOT NULL'),
	('ALTER TABLE app.orders ALTER COLUMN extra SET NOT NULL'),
	('ALTER TABLE app.orders ALTER COLUMN id TYPE bigint'),
	('ALTER TABLE app.orders ALTER COLUMN n SET STATISTICS 10'),
	('ALTER TABLE app.orders DROP CONSTRAINT orders_pkey'),
	('ALTER TABLE app.orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (n)'),
	('ALTER TABLE app.orders RENAME TO purchases'),
	('ALTER TABLE app.orders SET SCHEMA public'),
	('ALTER TABLE app.orders SET UNLOGGED'),
	('ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY'),
	('ALTER TYPE app.mood RENAME TO humour'),
	('ALTER TYPE app.mood RENAME VALUE ''sad'' TO ''bad'''),
	('ALTER TYPE app.addr ADD ATTRIBUTE city text'),
	('COMMENT ON COLUMN app.orders.n IS ''how many'''),
	('DROP TABLE app.orders');
CREATE FUNCTION happens(ddl text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	planned text;
	result text;
	before int := (SELECT count(*) FROM outbox.schema_versions);
	detail text;
BEGIN
	SELECT string_agg(DISTINCT coalesce(p.rule, p.verdict), ' ' ORDER BY coalesce(p.rule, p.verdict)) INTO planned
	FROM outbox.plan_ddl(ddl) p;
	IF (SELECT count(*) FROM outbox.schema_versions) <> before THEN
		RETURN 'plan_ddl() left something';
	END IF;
	BEGIN
		EXECUTE ddl;
		result := (SELECT count(*) FROM outbox.schema_versions) - before || ' new, key '
			|| coalesce((SELECT string_agg(key::text, '') FROM outbox.captures), '-');
		RAISE EXCEPTION USING ERRCODE = 'ZZZZZ';
	EXCEPTION
		WHEN SQLSTATE 'ZZZZZ' THEN NULL;
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
			result := SQLSTATE || ' ' || split_part(split_part(detail, E'\n', 1), ':', 1);
	END;
	RETURN coalesce(planned, '-') || ' | ' || result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT statement, happens(statement) FROM ddl ORDER BY n;

-- an incompatible change names rule, path and what to do; the override
\set VERBOSITY default
ALTER TABLE app.orders ADD COLUMN x int NOT NULL;
BEGIN;
SET LOCAL outbox.allow_incompatible_schema = on;
ALTER TABLE app.orders ADD COLUMN x int NOT NULL;
SELECT subject, version FROM outbox.schema_versions WHERE subject = 'orders-value' ORDER BY 2;
ROLLBACK;

-- renames keep what was said of a column by name
ALTER TABLE app.orders RENAME COLUMN secret TO hidden;
ALTER TABLE app.orders RENAME COLUMN id TO nr;
SELECT key, mask FROM outbox.captures;
SELECT definition LIKE '%"name":"nr","type":"int","aliases":["id"]%' AS alias FROM outbox.schema_versions
	WHERE subject = 'orders-key' ORDER BY version DESC LIMIT 1;
-- a row filter is text
SELECT outbox.alter_capture('app.orders', row_filter => 'n > 0');
ALTER TABLE app.orders RENAME COLUMN n TO amount;
ALTER TABLE app.orders DROP COLUMN n;

SELECT outbox.alter_capture('app.orders', key_format => 'plain');
-- one transaction: rows before and after DDL each have their schema
SELECT pg_current_wal_insert_lsn() AS start \gset
BEGIN;
INSERT INTO app.orders VALUES (1, 1, 'ok');
ALTER TABLE app.orders ADD COLUMN later text;
INSERT INTO app.orders VALUES (2, 2, 'sad', NULL, NULL, NULL, NULL, 'x');
ALTER TABLE app.orders DROP COLUMN extra;
DELETE FROM app.orders WHERE nr = 1;
COMMIT;
SELECT ordinal, v.version FROM wal_peek(:'start') w LEFT JOIN outbox.schema_versions v ON v.schema_id = w.schema AND v.subject = 'orders-value'
ORDER BY ordinal;
-- a value that the enum has just got; the enum's schema follows
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO app.orders VALUES (3, 3, 'sad');
ALTER TYPE app.mood ADD VALUE 'glad';
INSERT INTO app.orders VALUES (4, 4, 'glad');
SELECT v.version, strpos(v.definition, '"ok","sad","glad"') > 0 AS has_new_value
FROM wal_peek(:'start') w LEFT JOIN outbox.schema_versions v ON v.schema_id = w.schema AND v.subject = 'orders-value';

-- the table goes by another name, the capture goes on
ALTER TABLE app.orders RENAME TO purchases;
SELECT relation, topic, subject, state FROM outbox.captures;
-- triggers that do not fire
ALTER TABLE app.purchases DISABLE TRIGGER ALL;
SELECT state FROM outbox.captures;
SELECT outbox.alter_capture('app.purchases');
SELECT state FROM outbox.captures;
DROP TRIGGER outbox_capture_update ON app.purchases;
SELECT state FROM outbox.captures;
SELECT outbox.alter_capture('app.purchases');
SELECT state FROM outbox.captures;

-- the gate was passed by: noticed by the next row, mended by hand
ALTER EVENT TRIGGER outbox_ddl_gate DISABLE;
ALTER TABLE app.purchases ADD COLUMN unseen int;
ALTER EVENT TRIGGER outbox_ddl_gate ENABLE;
INSERT INTO app.purchases VALUES (5, 5);
SELECT outbox.alter_capture('app.purchases');
INSERT INTO app.purchases VALUES (5, 5);
ALTER EVENT TRIGGER outbox_ddl_gate DISABLE;
ALTER EVENT TRIGGER outbox_drop_gate DISABLE;
ALTER TABLE app.purchases DROP COLUMN unseen;
ALTER EVENT TRIGGER outbox_ddl_gate ENABLE;
ALTER EVENT TRIGGER outbox_drop_gate ENABLE;
INSERT INTO app.purchases VALUES (6, 6);
SELECT outbox.alter_capture('app.purchases');
INSERT INTO app.purchases VALUES (6, 6);

-- dropping the table ends the capture, with an event
SELECT pg_current_wal_insert_lsn() AS start \gset
BEGIN;
DROP SCHEMA app CASCADE;
ROLLBACK;
SELECT relation FROM outbox.captures;
DROP TABLE app.purchases;
SELECT relation FROM outbox.captures;
SELECT ordinal, key, headers, schema > 0 AS has_schema FROM wal_peek(:'start');

-- a whole schema
CREATE TABLE app.one (id int PRIMARY KEY);
CREATE TABLE app.parted (id int PRIMARY KEY, t text) PARTITION BY RANGE (id);
CREATE TABLE app.parted1 PARTITION OF app.parted FOR VALUES FROM (0) TO (10);
CREATE TABLE app.tmp_one (id int);
CREATE UNLOGGED TABLE app.fast (id int);
SELECT outbox.capture_schema('app', exclude => '{tmp%}', options => '{"format": "json", "tombstones": false}');
SELECT relation, format, tombstones, as_root FROM outbox.captures ORDER BY 1;
SELECT outbox.capture_schema('app');
SELECT pg_current_wal_insert_lsn() AS start \gset
CREATE TABLE app.two (id int PRIMARY KEY, x text);
INSERT INTO app.two VALUES (1, 'x');
CREATE TABLE app.tmp_two (id int);
CREATE TABLE app.copy AS SELECT i AS id FROM generate_series(1, 3) i;
CREATE TABLE app.parted2 PARTITION OF app.parted FOR VALUES FROM (10) TO (20);
CREATE TABLE moved (id int PRIMARY KEY);
ALTER TABLE moved SET SCHEMA app;
INSERT INTO app.moved VALUES (1);
CREATE TABLE public.elsewhere (id int);
BEGIN;
CREATE TABLE app.undone (id int);
ROLLBACK;
SELECT relation, key FROM outbox.captures ORDER BY 1;
SELECT coalesce(key, '-') || ' ' || regexp_replace(convert_from(payload, 'UTF8'), ',"source":.*', '') FROM wal_peek(:'start');
SELECT outbox.uncapture_schema('app', keep_tables => true);
CREATE TABLE app.three (id int);
SELECT count(*) FROM outbox.captures;
SELECT outbox.uncapture_schema('app');
SELECT outbox.capture_schema('app', include => '{t%}', exclude => '{tmp%}');
SELECT relation FROM outbox.captures WHERE format = 'avro' ORDER BY 1;
SELECT outbox.uncapture_schema('app');
SELECT relation FROM outbox.captures ORDER BY 1;
SELECT outbox.capture_schema('app', options => '{"topic": "x"}');
SELECT outbox.capture_schema('app', options => '{"tombstones": "no"}');
SELECT outbox.capture_schema('app', options => '[]');
SELECT outbox.capture_schema('app', options => '{"mode": "x"}');
SELECT outbox.capture_schema('pg_catalog');
SELECT outbox.capture_schema('outbox');
SELECT outbox.capture_schema(NULL);

-- a captured schema that gets another name goes on being captured
BEGIN;
CREATE SCHEMA old_name;
SELECT outbox.capture_schema('old_name', options => '{"format": "json"}');
ALTER SCHEMA old_name RENAME TO new_name;
CREATE TABLE new_name.t (id int PRIMARY KEY);
SELECT relation, topic FROM outbox.captures WHERE relation::text LIKE '%name%';
CREATE SCHEMA old_name;
CREATE TABLE old_name.t (id int PRIMARY KEY);
SELECT namespace FROM outbox.captured_schema;
DROP SCHEMA new_name CASCADE;
SELECT namespace FROM outbox.captured_schema;
ROLLBACK;

-- without a captured table the gate says nothing; the extension can go
DROP EXTENSION pg_walinspect;
SET client_min_messages = error;
DROP EXTENSION outbox CASCADE;
CREATE TABLE app.after (id int PRIMARY KEY);
INSERT INTO app.copy VALUES (4);
DROP SCHEMA app CASCADE;
