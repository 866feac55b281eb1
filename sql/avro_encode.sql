-- jsonb to Avro and back: every type, use and misuse.
\pset format unaligned
\pset tuples_only on

CREATE FUNCTION enc(schema text, value jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	RETURN encode(outbox.avro_encode(schema, value), 'hex');
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN sqlstate || ' ' || sqlerrm || CASE WHEN hint <> '' THEN ' | ' || hint ELSE '' END;
END $$;
CREATE FUNCTION dcd(schema text, hex text, avro_json boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	RETURN outbox.avro_decode(schema, decode(hex, 'hex'), avro_json);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN sqlstate || ' ' || sqlerrm || CASE WHEN hint <> '' THEN ' | ' || hint ELSE '' END;
END $$;
-- a value there and back
CREATE FUNCTION trip(schema text, value jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT enc(schema, value) || ' ' || coalesce(outbox.avro_decode(schema, outbox.avro_encode(schema, value))::text, '') $$;

-- primitives
SELECT trip('"null"', 'null'), trip('"boolean"', 'true'), trip('"boolean"', 'false');
SELECT v, trip('"int"', v) FROM unnest(ARRAY['0', '-1', '1', '63', '64', '-64', '-65', '2147483647', '-2147483648', '1.000', '1e3']::jsonb[]) v;
SELECT v, enc('"int"', v) FROM unnest(ARRAY['2147483648', '-2147483649', '0.5', '1e30', '"1"', 'true', 'null', '[]', '{}']::jsonb[]) v;
SELECT v, trip('"long"', v) FROM unnest(ARRAY['9223372036854775807', '-9223372036854775808', '10000', '99999999', '100000000']::jsonb[]) v;
SELECT left(v::text, 30), enc('"long"', v) FROM unnest(ARRAY['9223372036854775808', '-9223372036854775809', '1e-10', '1e100000']::jsonb[]) v;
SELECT v, trip('"float"', v) FROM unnest(ARRAY['0', '1.1', '-3.4028235e38', '16777217', '1e-45', '"NaN"', '"Infinity"', '"-Infinity"']::jsonb[]) v;
SELECT v, enc('"float"', v) FROM unnest(ARRAY['3.5e38', '1e-60', '"nan"', '"1"', 'false']::jsonb[]) v;
SELECT v, trip('"double"', v) FROM unnest(ARRAY['0', '0.1', '1e22', '1e23', '123456789.123456789', '9007199254740993', '5e-324', '1.7976931348623157e308', '"NaN"']::jsonb[]) v;
SELECT left(v::text, 30), enc('"double"', v) FROM unnest(ARRAY['1e309', '1e-400', '"x"']::jsonb[]) v;
SELECT v, trip('"string"', v) FROM unnest(ARRAY['""', '"a"', '"é€😀"', '"\"\\\n"']::jsonb[]) v;
SELECT v, enc('"string"', v) FROM unnest(ARRAY['1', 'null', '{}']::jsonb[]) v;
-- bytes and fixed are base64, in Avro's tagged form too
SELECT v, trip('"bytes"', v) FROM unnest(ARRAY['""', '"AA=="', '"AP8="', '"AP8A"']::jsonb[]) v;
SELECT v, enc('"bytes"', v) FROM unnest(ARRAY['"A"', '"AP9="', '"AP8"', '"A P8="', '"\u00ff"', '5', '"===="']::jsonb[]) v;
SELECT v, enc('{"type":"fixed","name":"n.F","size":2}', v) FROM unnest(ARRAY['"AP8="', '"AP8A"', '1']::jsonb[]) v;
SELECT v, enc('["null","bytes"]', v) FROM unnest(ARRAY['"AP8="', '{"bytes":"AP8="}', '{"bytes":"\u00ff"}', 'null']::jsonb[]) v;
SELECT v, enc('{"type":"enum","name":"n.E","symbols":["A","BB"]}', v) FROM unnest(ARRAY['"A"', '"BB"', '"B"', '"BBB"', '""', '1']::jsonb[]) v;

-- containers
SELECT trip('{"type":"array","items":"int"}', '[1, 2, 3]'), trip('{"type":"array","items":"int"}', '[]');
SELECT enc('{"type":"array","items":"int"}', '[1, "x"]'), enc('{"type":"array","items":"int"}', '{}');
SELECT trip('{"type":"map","values":"int"}', '{"a": 1, "é": 2}'), trip('{"type":"map","values":"int"}', '{}');
SELECT enc('{"type":"map","values":"int"}', '{"a b": "x"}'), enc('{"type":"map","values":"int"}', '[]');
\set order '{"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"note","type":["null","string"],"default":null},{"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"sku","type":"string"},{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":8,"scale":2}},{"name":"qty","type":"int","default":1}]}},"default":[]}]}'
SELECT trip(:'order', '{"id": 5, "note": "x", "items": [{"sku": "a", "price": 1.10}, {"sku": "b", "price": -2, "qty": 7}]}');
SELECT trip(:'order', '{"id": 5}');
SELECT v, enc(:'order', v) FROM unnest(ARRAY['{}', '{"id": null}', '{"id": 1, "Note": "x"}', '{"id": 1, "zzzzzzzzzz": 1}', '{"id": 1, "items": [{"sku": "a", "price": 1}, {"sku": "b", "price": 1.001}]}',
	'{"id": 1, "items": [{"sku": "a", "price": 1234567}]}', '{"id": 1, "items": [{"price": 1}]}', '{"id": 1, "items": {"a": 1}}', '[]', '1']::jsonb[]) v;
-- a recursive record, and one with many fields
SELECT trip('{"type":"record","name":"T","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","T"],"default":null}]}', '{"v": 1, "next": {"v": 2, "next": {"T": {"v": 3}}}}');
SELECT outbox.avro_decode(s, outbox.avro_encode(s, v)) = v, length(outbox.avro_encode(s, v)) FROM
	(SELECT format('{"type":"record","name":"W","fields":[%s]}', string_agg(format('{"name":"f%s","type":"int"}', i), ',')) s,
		jsonb_object_agg('f' || i, i) v FROM generate_series(1, 200) i) w;

-- unions: natural form
\set u '["null","int","long","double","string","boolean",{"type":"array","items":"int"},{"type":"enum","name":"E","symbols":["A"]},"bytes"]'
SELECT v, enc(:'u', v) FROM unnest(ARRAY['null', '5', '3000000000', '5.5', '"A"', '"x"', 'true', '[1]', '1e30']::jsonb[]) v;
-- tagged
SELECT v, enc(:'u', v) FROM unnest(ARRAY['{"int": 5}', '{"long": 5}', '{"double": 5}', '{"E": "A"}', '{"bytes": "AA=="}', '{"array": [1]}', '{"null": null}', '{"int": "x"}', '{"float": 1}', '{"int": 1, "long": 2}', '{}']::jsonb[]) v;
SELECT v, enc('["double","int"]', v) FROM unnest(ARRAY['5', '5.5', 'null']::jsonb[]) v;
SELECT v, enc('["long","int"]', v) FROM unnest(ARRAY['5']::jsonb[]) v;
SELECT v, enc('["double",{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}]', v) FROM unnest(ARRAY['5', '5.25', '5.255', '500']::jsonb[]) v;
SELECT v, enc('["string",{"type":"int","logicalType":"date"}]', v) FROM unnest(ARRAY['"2024-01-01"', '5']::jsonb[]) v;
SELECT v, enc('["bytes",{"type":"int","logicalType":"date"},{"type":"string","logicalType":"uuid"}]', v) FROM unnest(ARRAY['"2024-01-01"', '"AAAA"', '"00112233-4455-6677-8899-AABBCCDDEEFF"', '"?"']::jsonb[]) v;
SELECT v, enc('["int","string"]', v) FROM unnest(ARRAY['null', '1.5', '[]', 'true']::jsonb[]) v;
-- objects: tag first, then the one record that fits, then map
\set o '["null",{"type":"record","name":"n.A","fields":[{"name":"x","type":"int"}]},{"type":"record","name":"n.B","fields":[{"name":"y","type":"int"},{"name":"z","type":"int","default":9}]},{"type":"map","values":"int"}]'
SELECT v, enc(:'o', v) FROM unnest(ARRAY['{"x": 1}', '{"y": 1}', '{"y": 1, "z": 2}', '{"q": 1}', '{}', '{"n.A": {"x": 1}}', '{"map": {"x": 1}}', '{"map": 1}', '{"n.B": {"x": 1}}']::jsonb[]) v;
\set a '[{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]},{"type":"record","name":"B","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":0}]}]'
SELECT v, enc(:'a', v) FROM unnest(ARRAY['{"x": 1}', '{"x": 1, "y": 2}', '{"A": {"x": 1}}', '{"A": 1, "B": 2}', '"x"']::jsonb[]) v;

-- decimal
\set d '{"type":"bytes","logicalType":"decimal","precision":38,"scale":3}'
SELECT v, trip(:'d', v) FROM unnest(ARRAY['0', '-0.001', '0.127', '0.128', '-0.128', '-0.129', '1', '12345678901234567890123456789012345.678', '-99999999999999999999999999999999999.999', '1e34', '1.5e2']::jsonb[]) v;
SELECT v, enc(:'d', v) FROM unnest(ARRAY['1e35', '0.0001', '"1"', 'true']::jsonb[]) v;
SELECT v, trip('{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9,"scale":4}', v) FROM unnest(ARRAY['0', '-0.0001', '99999.9999', '-99999.9999']::jsonb[]) v;
SELECT enc('{"type":"fixed","name":"F","size":4,"logicalType":"decimal","precision":9,"scale":4}', '100000');
-- numeric's digits are read in place: compare with its own text over a range
SELECT count(*), count(*) FILTER (WHERE outbox.avro_decode(s, outbox.avro_encode(s, to_jsonb(n)))::text::numeric = n) AS same FROM
	(SELECT '{"type":"bytes","logicalType":"decimal","precision":1000,"scale":500}' s) x,
	(SELECT sign * (mantissa::numeric * power(10::numeric, e)) n FROM unnest(ARRAY[1, -1]) sign,
		unnest(ARRAY[0, 1, 9, 10, 9999, 10000, 10001, 99990000, 123456789, 1000000000000]) mantissa, generate_series(-40, 60) e) y;
SELECT count(*), count(*) FILTER (WHERE outbox.avro_decode('"double"', outbox.avro_encode('"double"', to_jsonb(n)))::text::float8 = n::float8) AS same,
	count(*) FILTER (WHERE outbox.avro_decode('"float"', outbox.avro_encode('"float"', to_jsonb(n)))::text::float4 = n::float4) AS same4 FROM
	(SELECT sign * (mantissa::numeric * power(10::numeric, e)) n FROM unnest(ARRAY[1, -1]) sign,
		unnest(ARRAY[0, 1, 3, 9, 9999, 10001, 16777217, 123456789, 9007199254740993, 8999999999999999]) mantissa, generate_series(-22, 20) e) y;

-- dates, times, timestamps, uuid, duration
SELECT v, trip('{"type":"int","logicalType":"date"}', v) FROM unnest(ARRAY['"1970-01-01"', '"1969-12-31"', '"2024-02-29"', '"0000-01-01"', '"-0044-03-15"', '"+12345-01-01"', '19782', '-2147483648', '2147483647']::jsonb[]) v;
SELECT v, enc('{"type":"int","logicalType":"date"}', v) FROM unnest(ARRAY['"2023-02-29"', '"2024-13-01"', '"infinity"', '"24-01-01"', '"2024-01-01T00:00"', '"999999999-01-01"', '1.5', '2147483648', 'true']::jsonb[]) v;
SELECT v, trip('{"type":"int","logicalType":"time-millis"}', v) FROM unnest(ARRAY['"00:00"', '"23:59:59.999"', '"12:34:56.7"', '"01:02:03.100000"', '1000']::jsonb[]) v;
SELECT v, enc('{"type":"int","logicalType":"time-millis"}', v) FROM unnest(ARRAY['"24:00:00"', '"12:34:56.0001"', '"1:2"', '"12:60"', '86400000', '-1', '"12:34Z"']::jsonb[]) v;
SELECT v, trip('{"type":"long","logicalType":"time-micros"}', v) FROM unnest(ARRAY['"23:59:59.999999"', '"00:00:00.000001"']::jsonb[]) v;
SELECT dcd('{"type":"long","logicalType":"time-micros"}', '01'), dcd('{"type":"int","logicalType":"time-millis"}', '80f0b252');
SELECT v, trip('{"type":"long","logicalType":"timestamp-millis"}', v) FROM unnest(ARRAY['"1970-01-01T00:00:00Z"', '"2024-02-29T12:00:00.5+02:00"', '"2024-02-29 12:00-0330"', '"1969-12-31T23:59:59.999Z"', '"2024-02-29T12:00:00+05:45:30"', '-9223372036854775808', '9223372036854775807']::jsonb[]) v;
SELECT v, enc('{"type":"long","logicalType":"timestamp-millis"}', v) FROM unnest(ARRAY['"2024-02-29T12:00:00"', '"2024-02-29T12:00:00.0005Z"', '"2024-02-30T12:00:00Z"', '"2024-02-29"', '"2024-02-29T12:00:00+99"', '"now"', '"999999999-01-01T00:00:00Z"', '0.5']::jsonb[]) v;
SELECT v, trip('{"type":"long","logicalType":"timestamp-micros"}', v) FROM unnest(ARRAY['"2024-02-29T12:00:00.123456Z"', '"294247-01-10T04:00:54.775807Z"', '"-290308-12-21T19:59:05.224192Z"']::jsonb[]) v;
SELECT v, enc('{"type":"long","logicalType":"timestamp-micros"}', v) FROM unnest(ARRAY['"294247-01-10T04:00:54.775808Z"', '"2024-02-29T12:00:00.1234567Z"']::jsonb[]) v;
SELECT v, trip('{"type":"long","logicalType":"local-timestamp-millis"}', v) FROM unnest(ARRAY['"2024-02-29T12:00:00.5"']::jsonb[]) v;
SELECT v, enc('{"type":"long","logicalType":"local-timestamp-micros"}', v) FROM unnest(ARRAY['"2024-02-29T12:00:00.5Z"', '"2024-02-29T12:00:00.5"']::jsonb[]) v;
-- what PostgreSQL puts into JSON is understood
SET timezone = 'Asia/Kathmandu';
SELECT trip('{"type":"long","logicalType":"timestamp-micros"}', to_jsonb('2024-02-29 12:00:00.123456+00'::timestamptz));
SELECT trip('{"type":"long","logicalType":"local-timestamp-micros"}', to_jsonb('2024-02-29 12:00:00.123456'::timestamp));
SELECT trip('{"type":"int","logicalType":"date"}', to_jsonb('2024-02-29'::date)), trip('{"type":"long","logicalType":"time-micros"}', to_jsonb('12:00:01'::time));
RESET timezone;
SELECT v, trip('{"type":"string","logicalType":"uuid"}', v), trip('{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}', v) FROM unnest(ARRAY['"00112233-4455-6677-8899-aabbccddeeff"']::jsonb[]) v;
SELECT v, enc('{"type":"string","logicalType":"uuid"}', v), enc('{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}', v) FROM unnest(ARRAY['"00112233445566778899aabbccddeeff"', '"x"', '1']::jsonb[]) v;
\set dur '{"type":"fixed","name":"D","size":12,"logicalType":"duration"}'
SELECT v, trip(:'dur', v) FROM unnest(ARRAY['{"months": 1, "days": 2, "milliseconds": 4294967295}', '{}', '{"days": 3}']::jsonb[]) v;
SELECT v, enc(:'dur', v) FROM unnest(ARRAY['{"months": -1}', '{"days": 1.5}', '{"weeks": 1}', '{"days": 4294967296}', '{"days": "1"}', '"P1D"', '5']::jsonb[]) v;

-- defaults are written as the schema says
SELECT enc('{"type":"record","name":"R","fields":[{"name":"a","type":"bytes","default":"\u00ff\u0000"},{"name":"b","type":["int","null"],"default":-1},{"name":"c","type":{"type":"map","values":"string"},"default":{"k":"v"}},{"name":"d","type":{"type":"enum","name":"E","symbols":["X","Y"]},"default":"Y"},{"name":"e","type":"double","default":1.5},{"name":"f","type":{"type":"record","name":"S","fields":[{"name":"g","type":"int","default":3}]},"default":{}}]}', '{}');

-- decoding what is not right
SELECT h, dcd('"int"', h) FROM unnest(ARRAY['', '80', '8080808080', '808080808001', 'ffffffff1f', '0000', 'feffffff0f']) h;
SELECT h, dcd('"long"', h) FROM unnest(ARRAY['ffffffffffffffffff01', 'feffffffffffffffff01', 'ffffffffffffffffff02', 'ffffffffffffffffffff01']) h;
SELECT h, dcd('"string"', h) FROM unnest(ARRAY['04', '0461', '01', '02ff', '04c3a9', '06eda080', '0200', 'feffffffffffffffff01']) h;
SELECT h, dcd('"boolean"', h) FROM unnest(ARRAY['02', '', '01']) h;
SELECT h, dcd('"double"', h) FROM unnest(ARRAY['00000000000000', '000000000000f87f', '000000000000f0ff']) h;
SELECT h, dcd('{"type":"array","items":"int"}', h) FROM unnest(ARRAY['00', '0202', '0302020400', '03feffff0f0200', 'ffffffffffffffffff01', 'feffffffffffffffff0100', '020200', '02020202040000']) h;
SELECT h, left(dcd('{"type":"array","items":"null"}', h), 80) FROM unnest(ARRAY['0600', 'feffffffffffffffff0100', '80897a00', '82897a00']) h;
SELECT h, dcd('{"type":"map","values":"int"}', h) FROM unnest(ARRAY['0202610200', '02026180', '0202ff0200']) h;
SELECT h, dcd('["null","int"]', h) FROM unnest(ARRAY['00', '0202', '04', '01']) h;
SELECT h, dcd('{"type":"enum","name":"E","symbols":["A"]}', h) FROM unnest(ARRAY['00', '02', '01']) h;
SELECT h, dcd('{"type":"bytes","logicalType":"decimal","precision":3,"scale":1}', h) FROM unnest(ARRAY['00', '0203e7', '0403e7', '0403e8', '080000007f', '04ff80', '80100000']) h;
SELECT dcd('{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":{"type":"record","name":"S","fields":[{"name":"b","type":"string"}]}}}]}', '04026102ff00');
SELECT left(dcd('{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}', ''), 80);
SELECT dcd('{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}', repeat('02', 511) || '00') = repeat('{"r": ', 512) || 'null' || repeat('}', 512);
SELECT left(dcd('{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}', repeat('02', 512) || '00'), 80);
-- the same limit for writing
SELECT left(enc('{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}', (repeat('{"r": ', 512) || 'null' || repeat('}', 512))::jsonb), 30);
SELECT left(enc('{"type":"record","name":"R","fields":[{"name":"r","type":["null","R"]}]}', (repeat('{"r": ', 513) || 'null' || repeat('}', 513))::jsonb), 80);

-- Avro's own JSON encoding
SELECT dcd('{"type":"record","name":"n.R","fields":[{"name":"u","type":["null","int",{"type":"fixed","name":"F","size":1}]},{"name":"b","type":"bytes"},{"name":"d","type":{"type":"int","logicalType":"date"}},{"name":"f","type":["null","F"]},{"name":"n","type":["null","int"]}]}', '0202' || '04ff41' || '02' || '0280' || '00', true);

-- jsonb has no \u0000
SELECT dcd('"bytes"', '0200'), dcd('"bytes"', '0200', true);

-- framed
INSERT INTO outbox.schema (definition, fingerprint) VALUES ('"string"', '\x01'), ('{"type":"array","items":"long"}', '\x02');
SELECT s.id IS NOT NULL, outbox.decode('\x00'::bytea || int4send(s.id) || outbox.avro_encode(s.definition, v)) FROM outbox.schema s
	JOIN (VALUES ('\x01'::bytea, '"text"'::jsonb), ('\x02', '[1,2]')) v(f, v) ON v.f = s.fingerprint ORDER BY s.fingerprint;
SELECT outbox.decode('\x0000000000');
SELECT outbox.decode('\x00ffffffff00');
SELECT outbox.decode('\x0100000001');
SELECT outbox.decode('\x');
-- everybody may
CREATE ROLE avro_nobody;
GRANT USAGE ON SCHEMA outbox TO avro_nobody;
GRANT EXECUTE ON FUNCTION outbox.decode TO avro_nobody;
SET ROLE avro_nobody;
SELECT outbox.decode('\x0000000000');
RESET ROLE;
REVOKE USAGE ON SCHEMA outbox FROM avro_nobody;
REVOKE EXECUTE ON FUNCTION outbox.decode FROM avro_nobody;
DROP ROLE avro_nobody;

-- JSON as text: a literal without a type, a column
SELECT outbox.avro_encode('"int"', '5'), outbox.avro_encode('["null","string"]', 'null');
SELECT outbox.avro_decode('"string"', outbox.avro_encode('"string"', v)) FROM (VALUES ('"x"'::text), ('"\u00e4"')) t(v);
SELECT outbox.avro_encode('"int"', 'five');
SELECT outbox.avro_encode('"int"', '1.5');
SELECT outbox.avro_encode('"int"', NULL) IS NULL;

-- NULL in, NULL out; schemas that change from row to row
SELECT outbox.avro_encode(NULL, '1'::jsonb) IS NULL, outbox.avro_decode('"int"', NULL) IS NULL, outbox.decode(NULL) IS NULL;
SELECT count(DISTINCT outbox.avro_encode(format('{"type":"fixed","name":"F%s","size":%s}', i % 40, i % 40), to_jsonb(translate(encode(decode(repeat('00', i % 40), 'hex'), 'base64'), E'\n', '')))) FROM generate_series(1, 400) i;
