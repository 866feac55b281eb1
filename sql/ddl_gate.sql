-- The DDL gate: every kind of DDL on a row type, at every level.
\set SHOW_CONTEXT never
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('ok', 'sad');
CREATE DOMAIN shop.price AS numeric(10,2);
CREATE TYPE shop.addr AS (street text, no int);
CREATE TYPE shop.pt AS (x int, y int);
CREATE TABLE shop.item (id int PRIMARY KEY, old bigint, name text, note text NOT NULL, n int NOT NULL, m shop.mood NOT NULL,
	p shop.price, a shop.addr, pts shop.pt[], v varchar(10));
CREATE TABLE shop.other (id int);
SELECT outbox.create_event_type('item', row_type => 'shop.item', key => 'id', topic => 't', compatibility => 'NONE') IS NOT NULL AS ok;
-- so that transitive levels have something to look at: "old" was a bigint once
ALTER TABLE shop.item DROP COLUMN old;
SELECT subject, version, statement FROM outbox.schema_versions ORDER BY version;

CREATE TABLE ddl (n serial, statement text);
INSERT INTO ddl (statement) VALUES
	('ALTER TABLE shop.item ADD COLUMN x int'),
	('ALTER TABLE shop.item ADD COLUMN x int NOT NULL DEFAULT 7'),
	('ALTER TABLE shop.item ADD COLUMN x int GENERATED ALWAYS AS IDENTITY'),
	('ALTER TABLE shop.item ADD COLUMN x numeric(4,1) NOT NULL DEFAULT 1.5'),
	('ALTER TABLE shop.item ADD COLUMN x numeric(4,1) NOT NULL DEFAULT round(1.5)'),
	('ALTER TABLE shop.item ADD COLUMN old bigint'),
	('ALTER TABLE shop.item ADD COLUMN old int'),
	('ALTER TABLE shop.item ADD COLUMN old text'),
	('ALTER TABLE shop.item DROP COLUMN name'),
	('ALTER TABLE shop.item DROP COLUMN note'),
	('ALTER TABLE shop.item DROP COLUMN name, ADD COLUMN name text'),
	('ALTER TABLE shop.item DROP COLUMN name, ADD COLUMN name int'),
	('ALTER TABLE shop.item RENAME COLUMN name TO title'),
	('ALTER TABLE shop.item RENAME COLUMN note TO remark'),
	('ALTER TABLE shop.item RENAME COLUMN id TO nr'),
	('ALTER TABLE shop.item DROP COLUMN id'),
	('ALTER TABLE shop.item ALTER COLUMN n TYPE bigint'),
	('ALTER TABLE shop.item ALTER COLUMN n TYPE smallint'),
	('ALTER TABLE shop.item ALTER COLUMN n TYPE double precision'),
	('ALTER TABLE shop.item ALTER COLUMN n TYPE text'),
	('ALTER TABLE shop.item ALTER COLUMN v TYPE varchar(20)'),
	('ALTER TABLE shop.item ALTER COLUMN v TYPE text'),
	('ALTER TABLE shop.item ALTER COLUMN n DROP NOT NULL'),
	('ALTER TABLE shop.item ALTER COLUMN name SET NOT NULL'),
	('ALTER TABLE shop.item ALTER COLUMN n SET DEFAULT 1'),
	('ALTER TABLE shop.item ALTER COLUMN n SET STATISTICS 10'),
	('ALTER TABLE shop.item ADD CHECK (n > 0)'),
	('ALTER TABLE shop.item DROP CONSTRAINT item_pkey'),
	('ALTER TABLE shop.item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (id, name)'),
	('ALTER TABLE shop.item RENAME TO article'),
	('ALTER TABLE shop.item SET SCHEMA public'),
	('ALTER TABLE shop.item ENABLE ROW LEVEL SECURITY'),
	('ALTER SCHEMA shop RENAME TO store'),
	('ALTER TYPE shop.addr ADD ATTRIBUTE city text'),
	('ALTER TYPE shop.addr DROP ATTRIBUTE no'),
	('ALTER TYPE shop.addr RENAME ATTRIBUTE no TO number'),
	('ALTER TYPE shop.addr RENAME TO address'),
	('ALTER TYPE shop.pt ADD ATTRIBUTE z int'),
	('ALTER TYPE shop.mood ADD VALUE ''glad'''),
	('ALTER TYPE shop.mood RENAME VALUE ''sad'' TO ''bad'''),
	('ALTER TYPE shop.mood RENAME TO humour'),
	('ALTER DOMAIN shop.price SET DEFAULT 0'),
	('ALTER DOMAIN shop.price ADD CHECK (value > 0)'),
	('ALTER DOMAIN shop.price RENAME TO amount'),
	('ALTER TABLE shop.item ALTER COLUMN p TYPE numeric(12,2)'),
	('ALTER TABLE shop.item ALTER COLUMN p TYPE numeric(12,4)'),
	('COMMENT ON COLUMN shop.item.n IS ''how many'''),
	('COMMENT ON TABLE shop.item IS ''an item'''),
	('COMMENT ON TYPE shop.mood IS ''how it is'''),
	('DROP TYPE shop.mood CASCADE'),
	('DROP DOMAIN shop.price CASCADE'),
	('DROP TABLE shop.item'),
	('ALTER TABLE shop.other ADD COLUMN x int NOT NULL DEFAULT 1'),
	('DROP TABLE shop.other');

-- what happens, and that plan_ddl() foretold it; rolled back
CREATE FUNCTION happens(ddl text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	planned text;
	result text;
	before int := (SELECT count(*) FROM outbox.schema_versions);
BEGIN
	SELECT string_agg(DISTINCT coalesce(p.rule, p.verdict), ' ' ORDER BY coalesce(p.rule, p.verdict)) INTO planned
	FROM outbox.plan_ddl(ddl) p;
	IF (SELECT count(*) FROM outbox.schema_versions) <> before THEN
		RETURN 'plan_ddl() left something';
	END IF;
	BEGIN
		EXECUTE ddl;
		result := CASE WHEN (SELECT count(*) FROM outbox.schema_versions) > before THEN 'new' ELSE '-' END;
		RAISE SQLSTATE 'ZZZZZ';
	EXCEPTION
		WHEN SQLSTATE 'ZZZZZ' THEN NULL;
		WHEN SQLSTATE 'OB900' THEN result := 'no';
		WHEN dependent_objects_still_exist THEN result := 'dep';
	END;
	IF (CASE result WHEN 'new' THEN planned = 'compatible' WHEN '-' THEN planned IS NULL
			ELSE planned <> 'compatible' END) THEN
		RETURN result;
	END IF;
	RETURN format('%s, but planned %s', result, planned);
END $$;
CREATE FUNCTION at_level(level text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM outbox.set_compatibility('t-shop.item', level);
	RETURN happens(statement);
END $$;
SET client_min_messages = warning;
SELECT statement, at_level('NONE', statement) AS none, at_level('BACKWARD', statement) AS back,
	at_level('BACKWARD_TRANSITIVE', statement) AS back_t, at_level('FORWARD', statement) AS forw,
	at_level('FORWARD_TRANSITIVE', statement) AS forw_t, at_level('FULL', statement) AS "full",
	at_level('FULL_TRANSITIVE', statement) AS full_t
FROM ddl ORDER BY n;
RESET client_min_messages;

-- rule, path, both sides, what to do; and in one transaction with the change
SELECT outbox.set_compatibility('t-shop.item', NULL);
ALTER TYPE shop.pt DROP ATTRIBUTE y, ADD ATTRIBUTE y text;
ALTER TABLE shop.item ADD COLUMN x int GENERATED ALWAYS AS IDENTITY;
ALTER TABLE shop.item DROP COLUMN id;
DROP TABLE shop.item;
SELECT event_type, subject, verdict, rule, path, message FROM outbox.plan_ddl('ALTER TABLE shop.item ADD COLUMN x int GENERATED ALWAYS AS IDENTITY, ADD COLUMN y int GENERATED ALWAYS AS IDENTITY');
SELECT event_type, subject, verdict, rule, path, message FROM outbox.plan_ddl('ALTER TABLE shop.item DROP COLUMN id');
SELECT event_type, subject, verdict, rule, path, message FROM outbox.plan_ddl('DROP TABLE shop.item');
SELECT event_type, subject, verdict, rule, path, schema FROM outbox.plan_ddl('ALTER TABLE shop.item RENAME COLUMN name TO title; ALTER TABLE shop.item DROP COLUMN title');
SELECT * FROM outbox.plan_ddl('ALTER TABLE shop.other ADD COLUMN x int');
BEGIN;
SAVEPOINT s;
ALTER TABLE shop.item ADD COLUMN x int;
SELECT outbox.emit('item', ROW(1, 'n', 'note', 2, 'ok', 1.5, NULL, NULL, 'v', 3)::shop.item) IS NOT NULL AS ok;
SELECT max(version) FROM outbox.schema_versions;
ROLLBACK TO s;
SELECT max(version) FROM outbox.schema_versions;
SELECT outbox.emit('item', ROW(1, 'n', 'note', 2, 'ok', 1.5, NULL, NULL, 'v')::shop.item) IS NOT NULL AS ok;
COMMIT;

-- what cannot be planned
SELECT * FROM outbox.plan_ddl('SELECT 1');
SELECT * FROM outbox.plan_ddl('ALTER TABLE shop.item ADD COLUMN x int; DELETE FROM shop.item');
SELECT * FROM outbox.plan_ddl('COMMIT');
SELECT * FROM outbox.plan_ddl('DROP DATABASE regression');
SELECT * FROM outbox.plan_ddl('ALTER TABLE nobody ADD COLUMN x int');
SELECT * FROM outbox.plan_ddl('no statement');
SELECT * FROM outbox.plan_ddl(NULL);
SELECT * FROM outbox.plan_ddl('');
-- an error within leaves things as they were
DO $$
BEGIN
	PERFORM outbox.plan_ddl('ALTER TABLE nobody ADD COLUMN x int');
EXCEPTION WHEN undefined_table THEN
	PERFORM outbox.plan_ddl('ALTER TABLE shop.item ADD COLUMN x int');
END $$;
ALTER TABLE shop.item ADD COLUMN x int GENERATED ALWAYS AS IDENTITY;

-- renames become aliases, as long as the name is free; the key goes along
ALTER TABLE shop.item RENAME COLUMN name TO title;
ALTER TABLE shop.item RENAME COLUMN title TO heading;
ALTER TABLE shop.item RENAME COLUMN id TO nr;
ALTER TABLE shop.item ADD COLUMN title text;
SELECT f->>'name' AS name, f->'aliases' AS aliases FROM outbox.event_types, jsonb_array_elements(schema::jsonb->'fields') f
WHERE f->>'name' IN ('heading', 'nr', 'title');
SELECT key FROM outbox.event_types;
-- and are kept by what is done to the event type
SELECT outbox.alter_event_type('item', row_type => 'shop.item');
SELECT f->>'name' AS name, f->'aliases' AS aliases FROM outbox.event_types, jsonb_array_elements(schema::jsonb->'fields') f
WHERE f->>'name' IN ('heading', 'nr', 'title');
-- a new record name is another subject, which takes over the level
SELECT outbox.set_compatibility('t-shop.item', 'BACKWARD_TRANSITIVE');
ALTER TABLE shop.item RENAME TO article;
SELECT name, subject, schema::jsonb->'aliases' AS aliases FROM outbox.event_types;
SELECT subject, compatibility, versions FROM outbox.subjects ORDER BY subject;
SELECT outbox.set_compatibility('t-shop.article', 'FULL');
ALTER TABLE shop.article RENAME TO thing;
SELECT outbox.set_compatibility('t-shop.article', NULL);
ALTER TABLE shop.article SET SCHEMA public;
ALTER TYPE shop.addr SET SCHEMA public;
SELECT name, subject, schema::jsonb->'aliases' AS aliases, jsonb_path_query_array(schema::jsonb, '$.**.aliases') AS all_aliases FROM outbox.event_types;
ALTER TABLE article SET SCHEMA shop;
ALTER TYPE addr SET SCHEMA shop;

-- one that was there before keeps its own
ALTER TABLE shop.article RENAME TO widget;
SELECT outbox.set_compatibility('t-shop.widget', 'NONE');
ALTER TABLE shop.widget RENAME TO article;
SELECT subject, compatibility FROM outbox.subjects WHERE subject IN ('t-shop.article', 't-shop.widget') ORDER BY subject;

-- a table's children, typed tables, views, domains and arrays of row types
CREATE TABLE shop.parent (id int);
CREATE TABLE shop.child (c int) INHERITS (shop.parent);
CREATE TABLE shop.typed OF shop.pt;
CREATE VIEW shop.view AS SELECT heading FROM shop.article;
CREATE DOMAIN shop.dpt AS shop.pt;
CREATE TABLE shop.arrays (ds shop.dpt[]);
SELECT outbox.create_event_type('child', row_type => 'shop.child') IS NOT NULL, outbox.create_event_type('typed', row_type => 'shop.typed') IS NOT NULL,
	outbox.create_event_type('view', row_type => 'shop.view') IS NOT NULL, outbox.create_event_type('arrays', row_type => 'shop.arrays') IS NOT NULL,
	outbox.create_event_type('json', row_type => 'shop.arrays', format => 'json') IS NOT NULL AS ok;
ALTER TABLE shop.parent ADD COLUMN x int;
ALTER TABLE shop.parent RENAME COLUMN x TO y;
ALTER TYPE shop.pt ADD ATTRIBUTE z int CASCADE;
CREATE OR REPLACE VIEW shop.view AS SELECT heading, title FROM shop.article;
ALTER VIEW shop.view RENAME COLUMN title TO t;
SELECT name, schema FROM outbox.event_types WHERE name NOT IN ('item') ORDER BY name;
SELECT e.name, v.versions FROM outbox.event_types e LEFT JOIN outbox.subjects v USING (subject) WHERE name NOT IN ('item') ORDER BY name;

-- dropping: refused, or with CASCADE the event type keeps what it has
DROP VIEW shop.view;
DROP TYPE shop.pt CASCADE;
SELECT outbox.drop_event_type('view'), outbox.drop_event_type('arrays'), outbox.drop_event_type('json');
DROP VIEW shop.view;
DROP TABLE shop.child;
DROP TABLE shop.parent;
SET client_min_messages = warning;
DROP TABLE shop.parent CASCADE;
RESET client_min_messages;
SELECT name, row_type, schema FROM outbox.event_types WHERE name = 'child';
SELECT outbox.emit('child', '{"id": 1}') IS NOT NULL AS ok;

-- whoever may alter the table need not own the event type; accepting what breaks it takes that
CREATE ROLE regress_gate_table;
CREATE ROLE regress_gate_event;
CREATE TABLE shop.own (id int);
GRANT USAGE ON SCHEMA shop, outbox TO regress_gate_table, regress_gate_event;
GRANT CREATE ON SCHEMA shop TO regress_gate_table;
ALTER TABLE shop.own OWNER TO regress_gate_table;
GRANT EXECUTE ON FUNCTION outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval)
	TO regress_gate_event;
SET ROLE regress_gate_event;
SELECT outbox.create_event_type('own', row_type => 'shop.own') IS NOT NULL AS ok;
SET ROLE regress_gate_table;
ALTER TABLE shop.own ADD COLUMN x int;
ALTER TABLE shop.own ADD COLUMN y int GENERATED ALWAYS AS IDENTITY;
SET outbox.allow_incompatible_schema = on;
ALTER TABLE shop.own ADD COLUMN y int GENERATED ALWAYS AS IDENTITY;
SELECT * FROM outbox.plan_ddl('ALTER TABLE shop.own ADD COLUMN y int');
RESET outbox.allow_incompatible_schema;
RESET ROLE;
SELECT version, created_by, statement FROM outbox.schema_versions WHERE subject = 'outbox.event.own-shop.own' ORDER BY version;
BEGIN;
SET LOCAL outbox.allow_incompatible_schema = on;
SELECT event_type, verdict, rule, path FROM outbox.plan_ddl('ALTER TABLE shop.own ADD COLUMN y int GENERATED ALWAYS AS IDENTITY');
ALTER TABLE shop.own ADD COLUMN y int GENERATED ALWAYS AS IDENTITY;
COMMIT;
SELECT max(version) FROM outbox.schema_versions WHERE subject = 'outbox.event.own-shop.own';
SET ROLE regress_gate_event;
SELECT event_type, verdict FROM outbox.plan_ddl('ALTER TABLE shop.own ADD COLUMN z int');
RESET ROLE;

-- what slipped past is noticed when a row is encoded, and can be repaired
SELECT outbox.emit('own', ROW(1, 2, 3)::shop.own) IS NOT NULL AS ok;
SET session_replication_role = replica;
ALTER TABLE shop.own ADD COLUMN slipped int;
ALTER TABLE shop.own RENAME COLUMN x TO renamed;
RESET session_replication_role;
SELECT outbox.emit('own', ROW(1, 2, 3, 4)::shop.own);
SELECT outbox.emit('own', '{"id": 1, "x": 2, "y": 3}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('own', row_type => 'shop.own');
SELECT outbox.emit('own', ROW(1, 2, 3, 4)::shop.own) IS NOT NULL AS ok;
SELECT schema FROM outbox.event_types WHERE name = 'own';
ALTER EVENT TRIGGER outbox_ddl_gate DISABLE;
COMMENT ON COLUMN shop.own.y IS 'why';
ALTER EVENT TRIGGER outbox_ddl_gate ENABLE;
SELECT schema LIKE '%why%' AS documented FROM outbox.event_types WHERE name = 'own';
-- or by the next DDL on its columns
ALTER TABLE shop.own ADD CHECK (id > 0);
SELECT schema LIKE '%why%' AS documented FROM outbox.event_types WHERE name = 'own';
ALTER TABLE shop.own ALTER COLUMN id SET DEFAULT 1;
SELECT schema LIKE '%why%' AS documented FROM outbox.event_types WHERE name = 'own';

-- a schema given as text has no row type to follow
SELECT outbox.create_event_type('text', schema => '{"type":"record","name":"shop.own","fields":[]}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('own', schema => (SELECT schema FROM outbox.event_types WHERE name = 'own'));
ALTER TABLE shop.own DROP COLUMN id;
SELECT outbox.emit('own', ROW(2, 3, 4)::shop.own) IS NOT NULL AS ok;

DROP EXTENSION outbox;
DROP SCHEMA shop CASCADE;
DROP OWNED BY regress_gate_table, regress_gate_event;
DROP ROLE regress_gate_table, regress_gate_event;
