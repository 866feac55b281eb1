-- Captured rows: every built-in type, values that Avro types cannot hold, keys,
-- masks, filters, envelopes; by way of capture_preview().
SET timezone = 'UTC';
CREATE FUNCTION row_schema(t regclass) RETURNS TABLE (field text, type text) LANGUAGE sql AS $$
	SELECT f->>'name', (f->'type')::text
	FROM outbox.captures c JOIN outbox.capture_def d USING (relation) JOIN outbox.schema s ON s.id = d.schema_id,
		jsonb_array_elements(s.definition::jsonb->'fields'->0->'type'->1->'fields') WITH ORDINALITY x(f, n)
	WHERE c.relation = t ORDER BY n
$$;
CREATE TYPE mood AS ENUM ('ok', 'not-ok');
CREATE TYPE part AS (x int, d date, tags text[]);
CREATE DOMAIN price AS numeric(8,2) CHECK (VALUE >= 0);
CREATE DOMAIN ints AS int[][];
CREATE TYPE odd_range AS RANGE (subtype = bytea);

-- the mapping
CREATE TABLE every (
	id int PRIMARY KEY, b bool, i2 int2, i8 int8, f4 float4, f8 float8, n numeric, n82 numeric(8,2), p price, nneg numeric(3,-2),
	cash money, t text, vc varchar(3), c5 char(5), c1 "char", nm name, by bytea, u uuid, d date, tm time, tmtz timetz, ts timestamp,
	tstz timestamptz, iv interval, j json, jb jsonb, x xml, m mood, co part, bi bit(4), vb bit varying, ip inet, ci cidr, ma macaddr,
	ma8 macaddr8, po point, ln line, ls lseg, bx box, pa path, pg polygon, cl circle, tv tsvector, tq tsquery, ir int4range,
	tr tstzrange, mr nummultirange, ob odd_range, o oid, rc regclass, lsn pg_lsn, x8 xid8, ti tid, jp jsonpath,
	a1 text[], a2 int[][], ad ints, ac part[], iv2 int2vector, "odd näme" int, "1st" int);
SELECT outbox.capture('every') IS NOT NULL AS ok;
SELECT * FROM row_schema('every');
INSERT INTO every VALUES (1, true, -32768, 9223372036854775807, 1.1, 1e300, 123456789012345678901234567890.5, 1.5, 2, 12345,
	'$-1,234.56', E'tab\t"quote"', 'abc', 'ab', 'x', 'nm', '\x00ff', '12345678-9abc-4def-8123-456789abcdef', '0044-03-15 BC', '23:59:59.999999',
	'12:00:00+05:30', '2024-02-29 12:00:00.000001', '2024-02-29 12:00:00+02', '1 year -2 days 03:04:05.6', '{"b":1, "a":2}', '{"b":1,"a":2}',
	'<a>1</a>', 'not-ok', ROW(1, '2024-01-01', '{a,NULL}'), B'1010', B'101', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03',
	'08:00:2b:01:02:03:04:05', '(1,2.5)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),1.1>',
	'a:1 b:2', 'a & b', '[1,5)', '[2024-01-01 00:00+00,)', '{[1,2),[3,4]}', '[\x00,\xff]', 4294967295, 'pg_class', '0/16B3748', '18446744073709551615',
	'(1,2)', '$.a', '{a,NULL,"c d"}', '{{1,2},{3,NULL}}', '{{1},{2}}', '{"(1,,)",NULL}', '1 2 3', 7, 8);
INSERT INTO every (id) VALUES (2);
-- the same whatever the session says
SET timezone = 'America/New_York'; SET datestyle = 'German'; SET intervalstyle = 'sql_standard'; SET extra_float_digits = -10; SET bytea_output = 'escape'; SET lc_monetary = 'C';
SELECT jsonb_pretty(value->'after') AS row FROM every, outbox.capture_preview('every', every) WHERE id = 1;
CREATE TEMP TABLE seen AS SELECT value->'after' AS row FROM every, outbox.capture_preview('every', every);
RESET ALL;
SET timezone = 'UTC';
SELECT count(*) AS same FROM every, outbox.capture_preview('every', every), seen WHERE value->'after' = seen.row;
SELECT jsonb_strip_nulls(value->'after') AS row FROM every, outbox.capture_preview('every', every) WHERE id = 2;
SELECT outbox.alter_capture('every', format => 'json');
SELECT jsonb_pretty(value->'after') AS row FROM every, outbox.capture_preview('every', every) WHERE id = 1;
DROP TABLE every;

-- names of objects do not depend on search_path
CREATE TABLE named (id int PRIMARY KEY, c regclass, p regprocedure);
SELECT outbox.capture('named') IS NOT NULL AS ok;
INSERT INTO named VALUES (1, 'named', 'row_schema(regclass)');
SELECT value->'after' AS row FROM named, outbox.capture_preview('named', named);
SET search_path = '';
SELECT value->'after' AS row FROM public.named, outbox.capture_preview('public.named', named);
RESET search_path;
DROP TABLE named;

-- what an Avro type cannot hold: null and a header (default), text, or an error
CREATE TABLE special (id int PRIMARY KEY, d date NOT NULL, tm time, ts timestamp, tz timestamptz, n numeric(5,2), a int[], f float8);
INSERT INTO special VALUES (1, 'infinity', '24:00', '-infinity', '294276-12-31 23:59:59.999999Z', 'NaN', '{{1,2}}', 'NaN'),
	(2, '5874897-12-31', '00:00', '4713-01-01 BC', 'infinity', 999.99, '[0:1]={1,2}', '-Infinity');
SELECT outbox.capture('special') IS NOT NULL AS ok;
SELECT * FROM row_schema('special') WHERE field IN ('d', 'a');
SELECT value->'after' AS row, headers->>'outbox.special' AS special FROM special, outbox.capture_preview('special', special);
SELECT outbox.alter_capture('special', special => 'text', compatibility => 'NONE');
SELECT * FROM row_schema('special') WHERE field IN ('d', 'a');
SELECT value->'after' AS row, headers FROM special, outbox.capture_preview('special', special);
SELECT outbox.alter_capture('special', special => 'error');
SELECT * FROM row_schema('special') WHERE field IN ('d', 'a');
SELECT outbox.capture_preview('special', ROW(1, 'infinity', NULL, NULL, NULL, NULL, NULL, NULL)::special);
SELECT outbox.capture_preview('special', ROW(1, now(), '24:00', NULL, NULL, NULL, NULL, NULL)::special);
SELECT outbox.capture_preview('special', ROW(1, now(), NULL, NULL, NULL, 'NaN', NULL, NULL)::special);
SELECT outbox.capture_preview('special', ROW(1, now(), NULL, NULL, NULL, NULL, '{{1}}', NULL)::special);
-- and the writer hears of it
UPDATE special SET f = 1 WHERE id = 1;
DROP TABLE special;

-- keys
CREATE TABLE keyed (a int, b timestamptz, c text, PRIMARY KEY (b, a));
SELECT outbox.capture('keyed') IS NOT NULL AS ok;
SELECT key, value->>'op' AS op, headers FROM outbox.capture_preview('keyed', ROW(1, '2024-01-01Z', 'x')::keyed, ROW(1, '2023-01-01Z', 'x')::keyed);
SELECT outbox.alter_capture('keyed', key_format => 'record');
SELECT definition FROM outbox.schema WHERE definition LIKE '%"Key"%';
SELECT key, value->>'op' AS op, headers, get_byte(raw_key, 0) AS magic, length(raw_key) FROM outbox.capture_preview('keyed', ROW(1, '2024-01-01Z', 'x')::keyed, ROW(1, 'infinity', 'x')::keyed);
SELECT outbox.alter_capture('keyed', key_format => 'none');
SELECT key, value->>'op' AS op FROM outbox.capture_preview('keyed', NULL, ROW(1, 'infinity', 'x')::keyed);
SELECT outbox.alter_capture('keyed', key_format => 'plain', tombstones => false);
SELECT key, value->>'op' AS op FROM outbox.capture_preview('keyed', NULL, ROW(1, 'infinity', 'x')::keyed);
DROP TABLE keyed;

-- masks
CREATE TABLE masked (id int PRIMARY KEY, a text NOT NULL, b date, c text, d int);
SELECT outbox.capture('masked', mask => '{"a": {"mask": "hash"}, "b": {"mask": "truncate", "length": 4}, "c": {"mask": "null"}, "d": {"mask": "constant", "value": "x"}}') IS NOT NULL AS ok;
SELECT * FROM row_schema('masked');
SELECT jsonb_set(value->'after', '{a}', to_jsonb(length(value->'after'->>'a'))) AS row,
	value->'after'->>'a' = encode(sha256((SELECT salt FROM outbox.capture_salt) || 'secret'), 'hex') AS hashed
FROM outbox.capture_preview('masked', ROW(1, 'secret', '2024-02-29', 'secret', NULL)::masked);
SELECT outbox.alter_capture('masked', mask => '{"id": {"mask": "hash"}}');
SELECT outbox.alter_capture('masked', mask => '{"e": {"mask": "hash"}}');
SELECT outbox.alter_capture('masked', mask => '{"a": {"mask": "rot13"}}');
SELECT outbox.alter_capture('masked', mask => '{"a": {"mask": "truncate"}}');
DROP TABLE masked;

-- filters: what enters is created, what leaves is deleted
CREATE FUNCTION own(int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 > 0';
CREATE TABLE filtered (id int PRIMARY KEY, n int, t text);
SELECT outbox.capture('filtered', row_filter => 'n > 10 AND lower(t) IN (''a'', ''b'')') IS NOT NULL AS ok;
SELECT b, a, array_agg(value->>'op') FROM (VALUES (1, 1), (1, 11), (11, 1), (11, 12), (NULL, 11), (11, NULL)) v(b, a),
	LATERAL outbox.capture_preview('filtered', ROW(1, a, 'A')::filtered, ROW(1, b, 'A')::filtered) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT outbox.alter_capture('filtered', row_filter => 'own(n)');
SELECT outbox.alter_capture('filtered', row_filter => 'n > random()');
SELECT outbox.alter_capture('filtered', row_filter => 'n > (SELECT 1)');
SELECT outbox.alter_capture('filtered', row_filter => 'true; DELETE FROM filtered');
SELECT outbox.alter_capture('filtered', row_filter => 'n');
SELECT outbox.alter_capture('filtered', row_filter => 'm > 1');
SELECT outbox.alter_capture('filtered', row_filter => 'ctid IS NULL');
DROP TABLE filtered;

-- flat
CREATE TABLE flat (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED, gone int, t text NOT NULL);
ALTER TABLE flat DROP COLUMN gone;
SELECT outbox.capture('flat', envelope => 'flat', columns => '{id,g}') IS NOT NULL AS ok;
SELECT s.definition FROM outbox.capture_def d JOIN outbox.schema s ON s.id = d.schema_id WHERE d.relation = 'flat'::regclass;
INSERT INTO flat VALUES (3, DEFAULT, 'x');
SELECT key, value - '__ts_ms' AS value FROM flat, outbox.capture_preview('flat', flat);
SELECT key, value - '__ts_ms' AS value FROM flat, outbox.capture_preview('flat', NULL, flat);
SELECT key, value - '__ts_ms' AS value FROM outbox.capture_preview('flat');
SELECT outbox.alter_capture('flat', format => 'json');
SELECT key, value - '__ts_ms' AS value FROM flat, outbox.capture_preview('flat', NULL, flat);
DROP TABLE flat;

-- a constant default is the field's
CREATE TABLE defaults (id int PRIMARY KEY DEFAULT 7, s text NOT NULL DEFAULT 'a"b', f float8 NOT NULL DEFAULT 1.5, x float8 NOT NULL DEFAULT 'NaN', u uuid NOT NULL DEFAULT gen_random_uuid(),
	by bytea NOT NULL DEFAULT '\x41ff', m mood NOT NULL DEFAULT 'not-ok', z int NOT NULL DEFAULT 1 + 1, b bigint NOT NULL DEFAULT 5, n int DEFAULT 3, j jsonb NOT NULL DEFAULT '{}');
SELECT f->>'name' AS field, f->'default' AS "default" FROM jsonb_array_elements(outbox.avro_schema('defaults')::jsonb->'fields') f;

-- names, and who may look
CREATE TABLE clash ("a-b" int PRIMARY KEY, "a b" int);
SELECT outbox.capture('clash');
SELECT outbox.capture_preview('clash');
SELECT outbox.capture_preview('pg_class');
CREATE ROLE regress_outbox_nobody;
SELECT outbox.capture('defaults') IS NOT NULL AS ok;
GRANT USAGE ON SCHEMA outbox TO regress_outbox_nobody;
GRANT EXECUTE ON FUNCTION outbox.capture_preview TO regress_outbox_nobody;
SET ROLE regress_outbox_nobody;
SELECT outbox.capture_preview('defaults');
RESET ROLE;
SELECT outbox.capture_preview('defaults', ROW(1)::record);
REVOKE USAGE ON SCHEMA outbox FROM regress_outbox_nobody;
REVOKE EXECUTE ON FUNCTION outbox.capture_preview FROM regress_outbox_nobody;
DROP ROLE regress_outbox_nobody;

-- as many columns as there can be
DO $$ BEGIN
	EXECUTE (SELECT 'CREATE TABLE wide (id int PRIMARY KEY, ' || string_agg('c' || n || ' int', ', ') || ')' FROM generate_series(2, 1600) n);
END $$;
SELECT outbox.capture('wide') IS NOT NULL AS ok;
INSERT INTO wide (id, c2, c1600) VALUES (1, 2, 1600);
SELECT jsonb_strip_nulls(value->'after'), (SELECT count(*) FROM jsonb_object_keys(value->'after')) FROM wide, outbox.capture_preview('wide', wide);
