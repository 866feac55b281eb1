-- Emit with format json: what is written, and every misuse.
\getenv abs_srcdir PG_ABS_SRCDIR
\set peek :abs_srcdir '/test/support/wal_peek.sql'
\set ECHO none
\i :peek
\set ECHO all
\set VERBOSITY default
SELECT outbox.create_event_type('t', format => 'json');
SELECT outbox.create_event_type('keyed', format => 'json', topic => 'fixed', key => 'id');
CREATE TYPE item AS (id int, name text, price numeric);

SELECT pg_current_wal_insert_lsn() AS start \gset
-- every form of payload, an untyped literal too
SELECT outbox.emit('t', '{"a": [1, 2.50, null, "é"]}') IS NOT NULL AS ok;
SELECT outbox.emit('t', '{"a": 1}'::jsonb) IS NOT NULL AS ok;
SELECT outbox.emit('t', '{"a": 1}'::json) IS NOT NULL AS ok;
SELECT outbox.emit('t', '{"a": 1}'::text) IS NOT NULL AS ok;
SELECT outbox.emit('t', row(1, 'pen', 2.50)::item) IS NOT NULL AS ok;
SELECT outbox.emit('t', x) IS NOT NULL AS ok FROM (SELECT 1 AS a, true AS b) x;
SELECT outbox.emit(type => 't', payload => '"text"') IS NOT NULL AS ok;
SELECT ordinal, route, schema, partition, timestamp, topic, key, headers, convert_from(payload, 'UTF8') AS payload
FROM wal_peek(:'start');

-- key, headers, id, traceparent
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('t', '{}', 'k') IS NOT NULL AS ok;
SELECT outbox.emit('t', '{}', key => '') IS NOT NULL AS ok;
SELECT outbox.emit('t', '{}', key => 'schlüssel') IS NOT NULL AS ok;
SELECT outbox.emit('t', '{}', headers => '{"s": "x", "n": 1.50, "t": true, "f": false, "nil": null, "ü": "ß"}') IS NOT NULL AS ok;
SELECT outbox.emit('t', '{}', headers => '{}') IS NOT NULL AS ok;
SELECT outbox.emit('t', '{}', id => '12345678-9abc-4def-8123-456789abcdef');
SET outbox.traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
SELECT outbox.emit('t', '{}') IS NOT NULL AS ok;
SELECT outbox.emit('t', '{}', headers => '{"traceparent": "mine"}') IS NOT NULL AS ok;
SET outbox.traceparent = '';
SELECT outbox.emit('t', '{}') IS NOT NULL AS ok;
SELECT outbox.emit('keyed', '{"id": 7}') IS NOT NULL AS ok;
SELECT outbox.emit('keyed', '{"id": 7.0}') IS NOT NULL AS ok;
SELECT outbox.emit('keyed', '{"id": "seven"}') IS NOT NULL AS ok;
SELECT outbox.emit('keyed', '{"id": true}') IS NOT NULL AS ok;
SELECT outbox.emit('keyed', '{"id": 7}', key => 'other') IS NOT NULL AS ok;
SELECT outbox.emit('keyed', '{}', key => 'other') IS NOT NULL AS ok;
SELECT outbox.emit('keyed', row(8, 'pen', 1)::item) IS NOT NULL AS ok;
SELECT topic, key, headers, CASE WHEN id::text LIKE '12345678-%' THEN id END AS id, convert_from(payload, 'UTF8') AS payload
FROM wal_peek(:'start');

-- ids: version 7, variant 2, rising
SELECT count(*), count(DISTINCT id), bool_and(substr(id::text, 15, 1) = '7'),
	bool_and(substr(id::text, 20, 1) IN ('8', '9', 'a', 'b')), bool_and(rising)
FROM (SELECT id, id > lag(id, 1, '00000000-0000-0000-0000-000000000000') OVER (ORDER BY n) AS rising
	FROM (SELECT n, outbox.uuid_v7() AS id FROM generate_series(1, 1000) n) x) y;
SELECT abs(extract(epoch FROM now()) * 1000 -
	('x' || translate(substr(outbox.uuid_v7()::text, 1, 13), '-', ''))::bit(48)::bigint) < 60000 AS is_now;

-- ordinals rise over savepoints and functions; a new transaction begins anew
SELECT pg_current_wal_insert_lsn() AS start \gset
BEGIN;
SELECT outbox.emit('t', '1') IS NOT NULL AS ok;
SAVEPOINT a;
SELECT outbox.emit('t', '2') IS NOT NULL AS ok;
ROLLBACK TO a;
SELECT outbox.emit('t', '3') IS NOT NULL AS ok;
DO $$
BEGIN
	PERFORM outbox.emit('t', '4');
	BEGIN
		PERFORM outbox.emit('t', '5');
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN
		PERFORM outbox.emit('t', '6');
	END;
END
$$;
COMMIT;
SELECT outbox.emit('t', n::text) IS NOT NULL AS ok FROM generate_series(7, 8) n;
BEGIN;
SELECT outbox.emit('t', '9') IS NOT NULL AS ok;
PREPARE TRANSACTION 'outbox_regress';
SELECT outbox.emit('t', '10') IS NOT NULL AS ok;
COMMIT PREPARED 'outbox_regress';
SELECT ordinal, convert_from(payload, 'UTF8') AS payload FROM wal_peek(:'start');

-- misuse
SELECT outbox.emit(NULL, '{}');
SELECT outbox.emit('t', NULL);
SELECT outbox.emit('t', NULL::jsonb);
SELECT outbox.emit('t', NULL::item);
SELECT outbox.emit('unknown', '{}');
SELECT outbox.emit('T', '{}');
SELECT outbox.emit(repeat('ü', 300), '{}');
SELECT outbox.emit('', '{}');
SELECT outbox.emit('t', '{"a": }');
SELECT outbox.emit('t', '{"a": "\u0000"}');
SELECT outbox.emit('t', U&'{"a": "\D83D"}');
SELECT outbox.emit('t', E'{"a": "\xff"}');
SELECT outbox.emit('t', '{}', key => E'a\x00b');
SELECT outbox.emit('t', '{}', key => E'a\xc3');
SELECT outbox.emit('t', '{}', key => repeat('k', 32769));
SELECT outbox.emit('keyed', '{"ID": 7}');
SELECT outbox.emit('keyed', '{"id": null}');
SELECT outbox.emit('keyed', '{"id": {"a": 1}}');
SELECT outbox.emit('keyed', '[1]');
SELECT outbox.emit('keyed', row(NULL, 'pen', 1)::item);
SELECT outbox.emit('keyed', x) FROM (SELECT 1 AS other) x;
SELECT outbox.emit('t', '{}', headers => '[]');
SELECT outbox.emit('t', '{}', headers => '"x"');
SELECT outbox.emit('t', '{}', headers => 'null');
SELECT outbox.emit('t', '{}', headers => '{"a": {"b": 1}}');
SELECT outbox.emit('t', '{}', headers => '{"a": [1]}');
SELECT outbox.emit('t', '{}', headers => '{"": 1}');
SELECT outbox.emit('t', '{}', headers => '{"id": "x"}');
SELECT outbox.emit('t', '{}', headers => '{"outbox.split": "x"}');
SELECT outbox.emit('t', '{}', headers => '{"a\tb": "x"}');
SELECT outbox.emit('t', '{}', headers => jsonb_build_object(repeat('h', 256), 1));
SELECT outbox.emit('t', '{}', headers => (SELECT jsonb_object_agg('h' || n, n) FROM generate_series(1, 101) n));
SELECT outbox.emit('t', '{}', headers => (SELECT jsonb_object_agg('h' || n, n) FROM generate_series(1, 100) n)) IS NOT NULL AS ok;
SELECT outbox.emit_avro('t', '\x00');
SELECT outbox.emit_avro('t', NULL);
-- depth
SELECT outbox.emit('t', (repeat('[', 512) || repeat(']', 512))::jsonb) IS NOT NULL AS ok;
SELECT outbox.emit('t', (repeat('[', 513) || repeat(']', 513))::jsonb);
SELECT outbox.emit('t', jsonb_build_object('a', repeat('[{', 10000), 'b', '\"[')) IS NOT NULL AS ok;
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT outbox.emit('t', (repeat('{"a":', 10000) || '1' || repeat('}', 10000))::jsonb);
SELECT outbox.emit('t', (repeat('[', 10000) || repeat(']', 10000)));
\set VERBOSITY default
\set SHOW_CONTEXT errors
-- size: key, headers and value together
SELECT outbox.emit('t', to_jsonb(repeat('x', 999998))) IS NOT NULL AS ok;
SELECT outbox.emit('t', to_jsonb(repeat('x', 999999)));
SELECT outbox.emit('t', to_jsonb(repeat('x', 999998)), key => 'k');
SELECT outbox.emit('t', to_jsonb(repeat('x', 999987)), headers => '{"h": "vw"}') IS NOT NULL AS ok;
SELECT outbox.emit('t', to_jsonb(repeat('x', 999987)), headers => '{"h": "vwx"}');
SET outbox.max_event_size = 1024;
SELECT outbox.emit('t', to_jsonb(repeat('x', 1023)));
SELECT outbox.emit('t', to_jsonb(repeat('x', 1022))) IS NOT NULL AS ok;
\set VERBOSITY sqlstate
SET outbox.max_event_size = 10;
SET outbox.max_event_size = '1GB';
\set VERBOSITY default
RESET outbox.max_event_size;
-- topic from data
SELECT outbox.create_event_type('not a topic', format => 'json');
SELECT outbox.emit('not a topic', '{}');
-- trace context
SET outbox.traceparent = 'x';
SET outbox.traceparent = '00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01';
SET outbox.traceparent = E'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nx: y';
-- state of the server
BEGIN READ ONLY;
SELECT outbox.emit('t', '{}');
ROLLBACK;
SET outbox.max_event_size TO DEFAULT;
-- an event written after an error in the same session
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('t', '"still works"') IS NOT NULL AS ok;
SELECT ordinal, topic, key, headers, convert_from(payload, 'UTF8') AS payload FROM wal_peek(:'start');

-- many events in one statement, one of them wrong: none
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT count(outbox.emit('keyed', jsonb_build_object('id', n))) FROM generate_series(1, 1000) n;
SELECT count(*), min(ordinal), max(ordinal), count(DISTINCT id) FROM wal_peek(:'start');
