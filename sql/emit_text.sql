-- Payloads as JSON text: what the fast way takes, and what it leaves to
-- jsonb_in(), is written as the same jsonb would be.
\getenv abs_srcdir PG_ABS_SRCDIR
\set peek :abs_srcdir '/test/support/wal_peek.sql'
\set ECHO none
\i :peek
\set ECHO all
\set VERBOSITY default
SELECT outbox.create_event_type('j', format => 'json');
SELECT outbox.create_event_type('a', schema => '{"type": "record", "name": "A", "fields": [{"name": "v", "type":
	{"type": "map", "values": ["null", "boolean", "double", "string", {"type": "array", "items": ["double", "string"]},
		{"type": "map", "values": "string"}]}}]}');
SELECT outbox.create_event_type('r', key => 'id', schema => '{"type": "record", "name": "R", "fields": [
	{"name": "id", "type": "string"}, {"name": "n", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}}]}');

CREATE TABLE texts (n int GENERATED ALWAYS AS IDENTITY, t text);
INSERT INTO texts (t) VALUES
	('{}'),
	(E' {\t"a" :\r\n"b" } '),
	('{"bb": 1, "a": 2, "ab": 3, "": 4, "é": 5, "zzz": 6}'),
	-- of equal keys the last counts
	('{"a": 1, "b": 2, "a": "x", "c": 3, "b": null, "a": true}'),
	('{"i": 0, "j": -0, "k": 42, "l": -7, "m": 999999999999999999, "n": -123456789012345678901234567890}'),
	('{"i": 0.10, "j": -1.50, "k": 1e3, "l": 12E-2, "m": 1.5e+2, "n": 100000000}'),
	('{"t": true, "f": false, "n": null}'),
	-- escapes; \u is not taken
	('{"q\"q": "\\ \/ \b \f \n \r \t", "end": "\\", "": "\""}'),
	('{"u": "\u00e9\ud83d\ude00", "\u0061": "b"}'),
	('{"a": [], "b": [1, "x", 2.5, "y"], "c": {}, "d": {"y": "1", "x": "2", "y": "3"}}'),
	('{"a": [0.1, "' || repeat('é', 200) || '", 1]}');
-- more members than fit in the first list, more than one stretch of entries
INSERT INTO texts (t)
SELECT '{' || string_agg(format('"k%s": %s', n * 7919 % n_all, CASE n % 3 WHEN 0 THEN '"s"' WHEN 1 THEN '[1, "a"]' ELSE n::text END), ', ') || '}'
FROM (VALUES (31), (32), (33), (64), (100), (1000)) v (n_all), generate_series(1, n_all) n GROUP BY n_all;
-- deep, and too deep for it
INSERT INTO texts (t) SELECT repeat('{"a": ', d) || '1' || repeat('}', d) FROM unnest(ARRAY[31, 32, 33, 200]) d;
-- not an object
INSERT INTO texts (t) VALUES ('[1, 2]'), ('"s"'), ('1'), ('null'), ('true');
-- large, and too large for it
INSERT INTO texts (t) SELECT '{"a": "' || repeat('x', size) || '"}' FROM unnest(ARRAY[100000, 900000]) size;
SET outbox.max_event_size = '8MB';
INSERT INTO texts (t) SELECT '{"a": "' || repeat('x', 1100000) || '"}';

-- format json: every text, three ways
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT count(outbox.emit('j', t)), count(outbox.emit('j', t::json)), count(outbox.emit('j', t::jsonb)) FROM texts;
SELECT count(*), count(*) FILTER (WHERE payload = convert_to(t::jsonb::text, 'UTF8')) AS alike
FROM wal_peek(:'start') JOIN texts ON n = (ordinal + 2) / 3;

-- Avro: those that fit the schema
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT count(outbox.emit('a', v)), count(outbox.emit('a', v::jsonb))
FROM (SELECT '{"v": ' || t || '}' AS v FROM texts WHERE n <= 17) w;
SELECT count(*), count(DISTINCT payload) AS values, count(*) FILTER (WHERE texts = 2) AS alike
FROM (SELECT payload, count(*) OVER (PARTITION BY (ordinal + 1) / 2, payload) AS texts FROM wal_peek(:'start')) p;

-- the key from the payload
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('r', '{"n": 12.5, "id": "A\n1"}') IS NOT NULL AS ok;
SELECT key = E'A\n1' AS key, encode(payload, 'hex') AS payload FROM wal_peek(:'start');

-- what is no JSON is refused in jsonb's words
CREATE FUNCTION try(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	words text;
BEGIN
	BEGIN
		PERFORM t::jsonb;
	EXCEPTION WHEN OTHERS THEN
		words := SQLSTATE || ' ' || SQLERRM;
	END;
	PERFORM outbox.emit('j', t);
	RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
	RETURN CASE WHEN words = SQLSTATE || ' ' || SQLERRM THEN 'alike' ELSE 'differs: ' || SQLERRM END;
END
$$;
SELECT try(t), count(*) FROM unnest(ARRAY['', ' ', '{', '{"a"', '{"a":', '{"a": 1', '{"a": 1,', '{"a": 1,}', '{"a": 1}}', '{"a": 1} x',
	'{"a" 1}', '{a: 1}', '{1: 1}', '{"a": }', '{"a": 01}', '{"a": 1.}', '{"a": .5}', '{"a": 1e}', '{"a": -}', '{"a": +1}',
	'{"a": nul}', '{"a": nullx}', '{"a": truee}', '{"a": "b}', '{"a": "b\"}', '{"a": "\x"}', '{"a": "\', '{"a": "\u00"}',
	'{"a": "\u0000"}', '{"a": "\ud800"}', E'{"a": "b\nc"}', E'{"a": "\\n\tc"}', '{"a": [1, 2}', '{"a": [1,]}', '{"a": [1 2]}',
	'{"a": 1e1000000}', '{"a": NaN}', '{"a": 1 /* */}', '{''a'': 1}', '{"a": {"b": 1}']) t GROUP BY 1;
