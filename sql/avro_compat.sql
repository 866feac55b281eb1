-- Compatibility of schemas as SQL: levels, directions, versions, exact errors.
\pset format unaligned
\pset tuples_only on
\set VERBOSITY default

CREATE FUNCTION r(fields text) RETURNS text LANGUAGE sql AS
$$ SELECT '{"type": "record", "name": "shop.Item", "fields": [' || fields || ']}' $$;
CREATE TABLE v (n int, s text);
INSERT INTO v VALUES
	(1, r('{"name": "sku", "type": "string"}, {"name": "price", "type": "int"}')),
	(2, r('{"name": "sku", "type": "string"}, {"name": "price", "type": "long"}')),
	(3, r('{"name": "sku", "type": "string"}, {"name": "price", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": null}')),
	(4, r('{"name": "code", "aliases": ["sku"], "type": "string"}, {"name": "price", "type": "long"}, {"name": "note", "type": ["null", "string"], "default": null}'));

-- each version after all before it, at each level
SELECT n, level, version, direction, rule, path
FROM v, unnest('{NONE,BACKWARD,BACKWARD_TRANSITIVE,FORWARD,FORWARD_TRANSITIVE,FULL,FULL_TRANSITIVE}'::text[]) WITH ORDINALITY l(level, o),
	LATERAL outbox.check_compatibility(s, (SELECT coalesce(array_agg(s ORDER BY n), '{}') FROM v b WHERE b.n < v.n), level) WITH ORDINALITY c
ORDER BY n, o, c.ordinality;

-- every column
SELECT * FROM outbox.check_compatibility(
	r('{"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
		{"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
		{"name": "unit", "type": {"type": "enum", "name": "Unit", "symbols": ["kg"]}},
		{"name": "tags", "type": {"type": "map", "values": "int"}}]}}},
	   {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
	   {"name": "who", "type": ["null", "string"]}'),
	ARRAY[r('{"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [
		{"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
		{"name": "unit", "type": {"type": "enum", "name": "Unit", "symbols": ["kg", "m", "s"]}},
		{"name": "tags", "type": {"type": "map", "values": "string"}}]}}},
	   {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}')], 'BACKWARD');

-- the default level; lower case; nothing before
SELECT count(*) FROM outbox.check_compatibility('"long"', '{"\"int\""}');
SELECT count(*) FROM outbox.check_compatibility('"long"', '{"\"int\""}', 'full');
SELECT count(*) FROM outbox.check_compatibility('"long"', '{}', 'FULL_TRANSITIVE');

-- a long list is cut
SELECT count(*) FROM outbox.check_compatibility(
	r((SELECT string_agg(format('{"name": "f%s", "type": "int"}', n), ',') FROM generate_series(1, 1200) n)),
	ARRAY[r('')]);

-- errors
SELECT * FROM outbox.check_compatibility(NULL, '{}', 'NONE');
SELECT * FROM outbox.check_compatibility('"int"', NULL, 'NONE');
SELECT * FROM outbox.check_compatibility('"int"', '{}', NULL);
SELECT * FROM outbox.check_compatibility('"int"', '{NULL}', 'NONE');
SELECT * FROM outbox.check_compatibility('"int"', '{}', 'Backward');
SELECT * FROM outbox.check_compatibility('"strong"', '{}', 'BACKWARD');
SELECT * FROM outbox.check_compatibility('"int"', '{"\"int\"","\"strong\""}', 'BACKWARD');

-- anybody may ask; names of unknown logical types keep their letters
CREATE ROLE compat_nobody;
GRANT USAGE ON SCHEMA outbox TO compat_nobody;
GRANT EXECUTE ON FUNCTION outbox.check_compatibility TO compat_nobody;
SET ROLE compat_nobody;
SELECT rule, message FROM outbox.check_compatibility('{"type": "int", "logicalType": "größe"}', '{"\"int\""}');
RESET ROLE;
DROP OWNED BY compat_nobody;
DROP ROLE compat_nobody;
