-- Rows to Avro: every type straight from Datums; what fits is decided when the plan is made.
\pset format unaligned
\pset tuples_only on
SET datestyle = 'German, DMY';
SET intervalstyle = 'postgres_verbose';
SET timezone = 'Asia/Kathmandu';

CREATE FUNCTION err(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE sql INTO hint;
	RETURN 'no error: ' || coalesce(hint, 'null');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN sqlstate || ' ' || sqlerrm || CASE WHEN hint <> '' THEN ' | ' || hint ELSE '' END;
END $$;
-- one column f of a PostgreSQL type under an Avro type: bytes, and decoded again
CREATE FUNCTION one(avro text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	schema text := format('{"type":"record","name":"R","fields":[{"name":"f","type":%s}]}', avro);
BEGIN
	RETURN err(format('SELECT encode(e, ''hex'') || '' '' || (outbox.avro_decode(%1$L, e)->''f'')::text FROM
		(SELECT outbox.avro_encode(%1$L, r) e FROM (SELECT %2$s AS f) r OFFSET 0) x', schema, value));
END $$;

-- numbers
SELECT one('"boolean"', 'true'), one('"int"', '1::smallint'), one('"int"', '-2147483648'), one('"long"', '5'), one('"long"', '9223372036854775807'), one('"long"', '4294967295::oid');
SELECT one('"int"', '2147483647::bigint'), one('"int"', '2147483648::bigint'), one('"int"', '4294967295::oid');
SET extra_float_digits = 0;
SELECT one('"string"', '0.1::float8 + 0.2::float8');
SELECT one('"float"', '1.1::real'), one('"double"', '1.5::real'), one('"double"', '0.1::float8'), one('"float"', '1::float8'), one('"float"', '7::smallint'), one('"float"', '7');
SELECT one('"double"', '9007199254740992::bigint'), one('"double"', '9007199254740993::bigint'), one('"double"', '''NaN''::float8'), one('"float"', '''-inf''::real');
SELECT one('"int"', '1.5'), one('"int"', '15.0'), one('"long"', '1e18::numeric'), one('"double"', '0.1'), one('"string"', '1.50'), one('"string"', '''NaN''::numeric'), one('"string"', '''infinity''::numeric');
SELECT one('"boolean"', '1'), one('"int"', 'true'), one('"int"', '''1''::text'), one('"long"', '1.0::real');
\set dec '{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}'
SELECT one(:'dec', '1.10::numeric(6,2)'), one(:'dec', '-9999.99'), one(:'dec', '10000'), one(:'dec', '1.001'), one(:'dec', '''NaN''::numeric'), one(:'dec', '5'), one(:'dec', '10000::bigint'), one(:'dec', '1::real');
SELECT one('{"type":"fixed","name":"D","size":3,"logicalType":"decimal","precision":6,"scale":2}', '-1.1');

-- text and bytes
SELECT one('"string"', '''x''::text'), one('"string"', '''x''::varchar'), one('"string"', '''x''::char(3)'), one('"string"', '''x''::name'), one('"string"', '''x''::"char"'), one('"string"', '''<a/>''::xml');
SELECT one('"string"', '''{"a": 1}''::json'), one('"string"', '''{"b":1,"a":2}''::jsonb'), one('"string"', '''10.0.0.1''::inet'), one('"string"', 'daterange(''2024-01-02'', ''2024-02-03'')'), one('"string"', '''t''::bool');
SELECT one('"bytes"', '''\x00ff''::bytea'), one('{"type":"fixed","name":"F","size":2}', '''\x00ff''::bytea'), one('{"type":"fixed","name":"F","size":3}', '''\x00ff''::bytea'), one('"string"', '''\x00ff''::bytea'), one('"bytes"', '''x''::text');
\set uuid '''00112233-4455-6677-8899-aabbccddeeff''::uuid'
SELECT one('{"type":"string","logicalType":"uuid"}', :'uuid'), one('{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}', :'uuid'), one('"string"', :'uuid'), one('"bytes"', :'uuid'), one('{"type":"string","logicalType":"uuid"}', '''x''::text');

-- dates and times, in ISO 8601 whatever DateStyle says
SELECT one('{"type":"int","logicalType":"date"}', x), one('"string"', x), one('"int"', x) FROM unnest(ARRAY['''2024-02-29''::date', '''0044-03-15 BC''::date', '''infinity''::date', '''-infinity''::date', '''5874897-12-31''::date']) x;
SELECT one('{"type":"long","logicalType":"time-micros"}', x), one('{"type":"int","logicalType":"time-millis"}', x), one('"string"', x) FROM unnest(ARRAY['''12:00:00.5''::time', '''23:59:59.999999''::time', '''24:00''::time']) x;
SELECT one('{"type":"long","logicalType":"timestamp-micros"}', x), one('{"type":"long","logicalType":"timestamp-millis"}', x), one('"string"', x) FROM unnest(ARRAY['''2024-02-29 12:00:00.5Z''::timestamptz', '''2024-02-29 12:00:00.000001Z''::timestamptz', '''infinity''::timestamptz', '''-infinity''::timestamptz', '''0001-01-01 BC 00:00Z''::timestamptz', '''294276-12-31 23:59:59Z''::timestamptz']) x;
SELECT one('{"type":"long","logicalType":"local-timestamp-micros"}', x), one('{"type":"long","logicalType":"local-timestamp-millis"}', x), one('"string"', x), one('{"type":"long","logicalType":"timestamp-micros"}', x) FROM unnest(ARRAY['''2024-02-29 12:00:00.5''::timestamp']) x;
SELECT one('{"type":"fixed","name":"D","size":12,"logicalType":"duration"}', x), one('"string"', x) FROM unnest(ARRAY['''1 year 2 days 03:04:05.006''::interval', '''-1 day''::interval', '''00:00:00.0000001''::interval', '''0.000001 s''::interval', '''1200:00:00''::interval', '''1194:00:00''::interval']) x;

-- null
SELECT one('"int"', 'NULL::int'), one('["null","int"]', 'NULL::int'), one('["int","null"]', 'NULL::int'), one('["int","null"]', '3'), one('["null","int"]', '3'), one('"null"', 'NULL::int');
-- the branch is chosen by the column's type
SELECT one('["null","string","int","long"]', '3'), one('["null","string","int","long"]', '3::bigint'), one('["null","string","int"]', '''3''::text'), one('["null","string",{"type":"int","logicalType":"date"}]', '''2024-01-01''::date'), one('["null","int","boolean"]', '''x''::text');

-- enums, arrays, domains
CREATE TYPE mood AS ENUM ('happy', 'so-so', '1st');
\set mood '{"type":"enum","name":"E","symbols":["_1st","so_so","happy"]}'
SELECT one(:'mood', '''happy''::mood'), one(:'mood', '''so-so''::mood'), one(:'mood', '''1st''::mood'), one('"string"', '''so-so''::mood'), one(:'mood', '''happy''::text'), one(:'mood', '''sad''::text'), one('{"type":"enum","name":"E","symbols":["happy"]}', '''1st''::mood');
SELECT one('{"type":"array","items":"int"}', 'ARRAY[1,2,3]'), one('{"type":"array","items":"int"}', '''{}''::int[]'), one('{"type":"array","items":["null","string"]}', 'ARRAY[''a'',NULL,''b'']'), one('{"type":"array","items":"int"}', 'ARRAY[1,NULL]'), one('{"type":"array","items":"int"}', 'ARRAY[[1],[2]]'), one('{"type":"array","items":"boolean"}', 'ARRAY[1]'), one('"string"', 'ARRAY[1]'), one('{"type":"array","items":"int"}', '1');
SELECT one('{"type":"array","items":"double"}', 'ARRAY[1.5,2.5]::float8[]'), one('{"type":"array","items":"int"}', '''[5:6]={1,2}''::int[]'), one('{"type":"array","items":"int"}', '''1 2''::int2vector'), one('{"type":"array","items":{"type":"int","logicalType":"date"}}', 'ARRAY[''2024-01-01''::date]');
CREATE DOMAIN amount AS numeric(6,2);
CREATE DOMAIN amounts AS amount[];
SELECT one(:'dec', '1::amount'), one(format('{"type":"array","items":%s}', :'dec'), '''{1,2}''::amounts');

-- json into Avro values
SELECT one('{"type":"map","values":"int"}', '''{"a":1}''::jsonb'), one('{"type":"map","values":"int"}', '''{"a":1}''::json'), one('["null",{"type":"map","values":"int"}]', '''{"a":1}''::jsonb'), one('["null",{"type":"map","values":"int"}]', 'NULL::jsonb'), one('["null","string"]', '''{"a":1}''::jsonb'), one('{"type":"map","values":"int"}', '''{"a":[1]}''::jsonb'), one('"int"', '''5''::jsonb');

-- nested rows
CREATE TYPE item AS (sku text, "unit price" numeric(8,2));
CREATE TYPE pack AS (i item, more item[]);
CREATE TABLE orders (id bigint NOT NULL, gone int, p pack, note text);
INSERT INTO orders VALUES (7, 1, ROW(ROW('a', 1.5), ARRAY[ROW('b', 2), NULL]::item[]), 'x'), (8, 2, NULL, NULL), (9, 3, ROW(NULL, NULL), repeat('long ', 1000));
SELECT outbox.avro_decode(s, outbox.avro_encode(s, o)) FROM orders o, outbox.avro_schema('orders') s WHERE id < 9;
ALTER TABLE orders DROP COLUMN gone;
SELECT outbox.avro_decode(s, outbox.avro_encode(s, o)) - 'note', length(outbox.avro_decode(s, outbox.avro_encode(s, o))->>'note') FROM orders o, outbox.avro_schema('orders') s;
-- a row type that changes while a plan is cached, also inside another type
CREATE FUNCTION show() RETURNS SETOF jsonb LANGUAGE plpgsql AS $$
DECLARE
	s text := '{"type":"record","name":"o","fields":[{"name":"id","type":"long"},{"name":"p","type":["null",{"type":"record","name":"pk","fields":[{"name":"i","type":["null",{"type":"record","name":"it","fields":[{"name":"sku","type":["null","string"]},{"name":"unit_price","type":["null","string"]},{"name":"extra","type":["null","int"],"default":null}]}]},{"name":"more","type":["null",{"type":"array","items":["null","it"]}]}]}]},{"name":"note","type":["null","string"]}]}';
	o orders;
BEGIN
	SELECT * INTO o FROM orders WHERE id = 7;
	FOR i IN 1..3 LOOP
		RETURN NEXT outbox.avro_decode(s, outbox.avro_encode(s, o));
		IF i = 1 THEN
			ALTER TYPE item ADD ATTRIBUTE extra int;
		ELSIF i = 2 THEN
			SELECT id, ROW(ROW('a', 1.5, 5)::item, NULL)::pack, note INTO o FROM orders WHERE id = 7;
		END IF;
	END LOOP;
END $$;
SELECT show();
-- the same for rows without a named type, changing at one call site
SELECT encode(outbox.avro_encode('{"type":"record","name":"R","fields":[{"name":"column1","type":["null","long","string"]}]}', r), 'hex') FROM (SELECT CASE i WHEN 1 THEN t1 WHEN 2 THEN t2 END r FROM generate_series(1, 2) i, LATERAL (VALUES (1)) t1, LATERAL (VALUES (2)) t2) x;

-- columns and fields that do not meet
\set r '{"type":"record","name":"n.R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string","default":"none"}]}'
SELECT err(format('SELECT outbox.avro_encode(%L, r) FROM (%s) r', :'r', q)) FROM unnest(ARRAY['SELECT 1 AS a', 'SELECT 1 AS a, ''x'' AS b', 'SELECT ''x'' AS b, 1 AS a', 'SELECT 1 AS a, 2 AS c', 'SELECT ''x'' AS b', 'SELECT 1 AS a, 2 AS "A"', 'SELECT 1 AS "a ", 2 AS "a."', 'SELECT now() AS a', 'SELECT row(1) AS a']) q;
SELECT err($$SELECT outbox.avro_encode('{"type":"record","name":"R","fields":[{"name":"a_","type":"int"}]}', r) FROM (SELECT 1 AS "a ", 2 AS "a.") r$$);
SELECT err($$SELECT outbox.avro_encode('"int"', ROW(1))$$);
SELECT err($$SELECT outbox.avro_encode('{"type":"record","name":"E","fields":[]}', r) FROM (SELECT) r$$);
SELECT outbox.avro_encode('"int"', NULL::orders) IS NULL;
