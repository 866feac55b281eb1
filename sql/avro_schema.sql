-- Schemas: what is accepted, canonical form, fingerprints, exact errors.
\pset format unaligned
\pset tuples_only on
\set VERBOSITY default

CREATE FUNCTION err(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
	detail text;
BEGIN
	EXECUTE sql;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ' ' || sqlerrm
		|| CASE WHEN detail <> '' THEN ' | ' || detail ELSE '' END
		|| CASE WHEN hint <> '' THEN ' | ' || hint ELSE '' END;
END $$;
CREATE FUNCTION bad(schema text) RETURNS text LANGUAGE sql AS
$$ SELECT err(format('SELECT outbox.avro_canonical(%L)', schema)) $$;

-- canonical form: the specification's transformations
SELECT outbox.avro_canonical('"string"');
SELECT outbox.avro_canonical(' { "type" : "string", "avro.java.string": "String" } ');
SELECT outbox.avro_canonical('{"type":"fixed","size":"007","name":"Md5","namespace":"org.x","aliases":["A"]}');
SELECT outbox.avro_canonical($${
	"type": "record", "name": "a.b.R", "doc": "text", "aliases": ["Old", "c.Older"], "fields": [
		{"name": "self", "type": ["null", "R"], "default": null, "doc": "x"},
		{"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "A"}},
		{"name": "e2", "type": {"type": "map", "values": {"type": "array", "items": "a.b.E"}}},
		{"name": "u", "order": "ignore", "type": {"type": "string", "logicalType": "uuid"}},
		{"name": "q", "type": {"type": "record", "name": "Q", "namespace": "", "fields": []}}
	]}$$);
SELECT outbox.avro_canonical('{"type":"int"}') = outbox.avro_canonical('"int"');
SELECT outbox.avro_canonical('{"type":"record","name":"\u0041","fields":[]}');

-- fingerprints: values of the specification and of Java's SchemaNormalization
SELECT encode(outbox.avro_fingerprint('"null"', 'crc64'), 'hex');
SELECT encode(outbox.avro_fingerprint('"int"', 'crc64'), 'hex');
SELECT encode(outbox.avro_fingerprint('"int"'), 'hex');
SELECT encode(outbox.avro_fingerprint('{"type":"int","doc":"ignored"}', 'sha256'), 'hex');
SELECT outbox.avro_fingerprint('"int"') = sha256('"int"');
SELECT err($$SELECT outbox.avro_fingerprint('"int"', 'md5')$$);

-- not JSON
SELECT bad('');
SELECT bad('{"type": }');
SELECT bad('{"type": "int"');
SELECT bad('"int" x');
SELECT bad('{"type": "int", "type": "long"}');
SELECT bad('"\ud800"');
SELECT bad('"\uZZZZ"');
SELECT bad('{"\u0000": 1}');
SELECT bad('"a\u0000b"');

-- JSON, but no schema
SELECT bad('1');
SELECT bad('null');
SELECT bad('"strong"');
SELECT bad('{}');
SELECT bad('{"type": ["null", "int"]}');
SELECT bad('{"type": {"type": "int"}}');
SELECT bad('{"type": "record", "fields": []}');
SELECT bad('{"type": "record", "name": "1a", "fields": []}');
SELECT bad('{"type": "record", "name": "a..b", "fields": []}');
SELECT bad('{"type": "record", "name": "Ä", "fields": []}');
SELECT bad('{"type": "record", "name": "int", "fields": []}');
SELECT bad('{"type": "record", "name": "R", "namespace": "a-b", "fields": []}');
SELECT bad('{"type": "record", "name": "R", "namespace": 5, "fields": []}');
SELECT bad('{"type": "record", "name": "R", "doc": 5, "fields": []}');
SELECT bad('{"type": "record", "name": "R", "aliases": "x", "fields": []}');
SELECT bad('{"type": "record", "name": "R", "aliases": ["a b"], "fields": []}');
SELECT bad('{"type": "record", "name": "R"}');
SELECT bad('{"type": "record", "name": "R", "fields": [5]}');
SELECT bad('{"type": "record", "name": "R", "fields": [{"type": "int"}]}');
SELECT bad('{"type": "record", "name": "R", "fields": [{"name": "x.y", "type": "int"}]}');
SELECT bad('{"type": "record", "name": "R", "fields": [{"name": "x"}]}');
SELECT bad('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "int", "order": "up"}]}');
SELECT bad('{"type": "record", "name": "R", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "int"}, {"name": "x", "type": "long"}]}');
SELECT bad('{"type": "record", "name": "R", "fields": [{"name": "x", "type": {"type": "array", "items": {"type": "map", "values": "S"}}}]}');
SELECT bad('{"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "enum", "name": "R", "symbols": []}}]}');
SELECT bad('{"type": "enum", "name": "E"}');
SELECT bad('{"type": "enum", "name": "E", "symbols": ["A", "B", "A"]}');
SELECT bad('{"type": "enum", "name": "E", "symbols": ["A", "b c"]}');
SELECT bad('{"type": "enum", "name": "E", "symbols": ["A"], "default": "B"}');
SELECT bad('{"type": "fixed", "name": "F"}');
SELECT bad('{"type": "fixed", "name": "F", "size": -1}');
SELECT bad('{"type": "fixed", "name": "F", "size": 99999999999}');
SELECT bad('{"type": "array"}');
SELECT bad('{"type": "map", "items": "int"}');
SELECT bad('[]');
SELECT bad('["int", "int"]');
SELECT bad('["string", {"type": "string", "logicalType": "uuid"}]');
SELECT bad('["null", ["int"]]');
SELECT bad('[{"type":"fixed","name":"a.F","size":1},{"type":"fixed","name":"b.F","size":1},"a.F"]');

-- two named types of one kind are fine
SELECT outbox.avro_canonical('[{"type":"fixed","name":"a.F","size":1},{"type":"fixed","name":"b.F","size":1}]');

-- defaults against their types
CREATE FUNCTION with_default(type text, value text) RETURNS text LANGUAGE sql AS
$$ SELECT format('{"type":"record","name":"R","fields":[{"name":"f","type":%s,"default":%s}]}', type, value) $$;
SELECT type, value, bad(with_default(type, value)) FROM (VALUES
	(1, '"null"', 'null'), (2, '"null"', '0'), (3, '"boolean"', 'true'), (4, '"boolean"', '"true"'),
	(5, '"int"', '2147483647'), (6, '"int"', '2147483648'), (7, '"int"', '1.0'), (8, '"int"', '"1"'),
	(9, '"long"', '-9223372036854775808'), (10, '"long"', '9223372036854775808'),
	(11, '"float"', '1.5'), (12, '"float"', '1e39'), (13, '"double"', '1e308'), (14, '"double"', '1e309'),
	(15, '"bytes"', '"\u0000\u00ff"'), (16, '"bytes"', '"\u0100"'), (17, '"bytes"', '[1]'),
	(18, '"string"', '"x"'), (19, '"string"', 'null'),
	(20, '{"type":"fixed","name":"F","size":2}', '"ab"'), (21, '{"type":"fixed","name":"F","size":2}', '"abc"'),
	(22, '{"type":"enum","name":"E","symbols":["A"]}', '"A"'), (23, '{"type":"enum","name":"E","symbols":["A"]}', '"B"'),
	(24, '{"type":"array","items":"int"}', '[]'), (25, '{"type":"array","items":"int"}', '[1,"x"]'),
	(26, '{"type":"map","values":"int"}', '{"a":1}'), (27, '{"type":"map","values":"int"}', '{"a b":null}'),
	(28, '["null","int"]', 'null'), (29, '["null","int"]', '1'), (30, '["int","null"]', '1'), (31, '["int","null"]', 'null'),
	(32, '{"type":"record","name":"S","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":7}]}', '{"a":1}'),
	(33, '{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}', '{}'),
	(34, '{"type":"record","name":"S","fields":[{"name":"a","type":"int"}]}', '{"a":1,"z":2}'),
	(35, '["null","R"]', 'null'), (36, '"R"', '{}'), (37, '{"type":"array","items":"R"}', '[{}]')
	) v(n, type, value) ORDER BY n;
-- an unterminated default through two records
SELECT bad('{"type":"record","name":"A","fields":[{"name":"b","type":{"type":"record","name":"B","fields":[{"name":"a","type":["A","null"],"default":{}}]},"default":{}}]}');
-- doubling at each level: worked out once each, and bounded
SELECT bad('{"type":"record","name":"R0","fields":[{"name":"z","type":{"type":"array","items":"int"},"default":[1,2,3]}]}');
SELECT bad(string_agg(format('{"type":"record","name":"R%s","fields":[{"name":"b","type":', i), '' ORDER BY i DESC) || '"long"'
	|| string_agg(CASE WHEN i = 1 THEN ',"default":5},{"name":"a","type":"long","default":1' ELSE format(',"default":{}},{"name":"a","type":"R%s","default":{}', i - 1) END || '}]}', '' ORDER BY i))
	FROM generate_series(1, 30) i;

-- logical types that do not fit are ignored and kept (avro_encode takes the plain type)
SELECT outbox.avro_encode('{"type":"string","logicalType":"date"}', '"x"'::jsonb);
SELECT outbox.avro_encode('{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}', '"AAE="'::jsonb);
SELECT outbox.avro_encode('{"type":"bytes","logicalType":"decimal","precision":0}', '"AAE="'::jsonb);
SELECT outbox.avro_encode('{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":3}', '"AA=="'::jsonb);
SELECT outbox.avro_encode('{"type":"long","logicalType":"no-such"}', '5'::jsonb);

-- depth: bounded in JSON and in types
SELECT bad(repeat('[', 10000) || repeat(']', 10000));
SELECT bad(repeat('{"type":"array","items":', 600) || '"int"' || repeat('}', 600));
SELECT left(outbox.avro_canonical(repeat('{"type":"array","items":', 500) || '"int"' || repeat('}', 500)), 50);

-- schemas of PostgreSQL's types
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('happy', 'so-so', '1st');
CREATE DOMAIN shop.email AS varchar(80) NOT NULL CHECK (value LIKE '%@%');
CREATE TYPE shop.address AS (street text, "zip code" text);
CREATE TABLE shop.customer (
	id bigint PRIMARY KEY, gone text, small smallint, i int, ok boolean NOT NULL, r real, d double precision,
	price numeric(12,2), n numeric, neg numeric(3,-2), frac numeric(2,5), t text, v varchar(5), c char(3), b bytea,
	u uuid, da date, ti time, ts timestamp, tz timestamptz, iv interval, j json, jb jsonb, m shop.mood, m2 shop.mood,
	e shop.email, a shop.address, aa shop.address[], ia int[], na numeric(5,1)[] NOT NULL, o oid, ip inet, rg int4range);
ALTER TABLE shop.customer DROP COLUMN gone;
COMMENT ON TABLE shop.customer IS 'who buys';
COMMENT ON COLUMN shop.customer.price IS 'in "EUR"';
COMMENT ON COLUMN shop.customer.i IS E'two\nlines';
SELECT regexp_replace(outbox.avro_schema('shop.customer'), '(,\{"name")', E'\n\\1', 'g');
SELECT outbox.avro_canonical(outbox.avro_schema('shop.address', 'Address', 'com.shop'));
SELECT outbox.avro_schema('shop.address', 'com.shop.Address');
SELECT outbox.avro_schema('shop.address', 'Address', '');
SELECT outbox.avro_schema('shop.mood[]', 'Mood');
SELECT outbox.avro_schema('numeric'), outbox.avro_schema('shop.email'), outbox.avro_schema('date'), outbox.avro_schema(NULL);
SELECT err($$SELECT outbox.avro_schema('shop.address', 'no name')$$);
SELECT err($$SELECT outbox.avro_schema('shop.address', 'R', 'a b')$$);
SELECT err($$SELECT outbox.avro_schema('record')$$);
SELECT err($$SELECT outbox.avro_schema('anyelement')$$);
SELECT err($$SELECT outbox.avro_schema(999999::oid::regtype)$$);
CREATE TYPE clash AS ("a-b" int, "a b" int);
SELECT err($$SELECT outbox.avro_schema('clash')$$);
CREATE TYPE clash_labels AS ENUM ('a-b', 'a b');
SELECT err($$SELECT outbox.avro_schema('clash_labels')$$);
CREATE TYPE mood AS ENUM ('x');
CREATE TYPE two AS (a mood, b shop.mood);
SELECT outbox.avro_canonical(outbox.avro_schema('two'));
SELECT err($$SELECT outbox.avro_schema('two', 'Two', 'com.shop')$$);
CREATE TYPE empty AS ();
SELECT outbox.avro_schema('empty');
