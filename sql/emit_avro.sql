-- Emit with format avro: values are encoded under the schema, in the caller.
\getenv abs_srcdir PG_ABS_SRCDIR
\set peek :abs_srcdir '/test/support/wal_peek.sql'
\set ECHO none
\i :peek
\set ECHO all
-- ids begin at a random place: what is shown is the place among all
CREATE FUNCTION nth(id bigint) RETURNS bigint LANGUAGE sql AS
$$ SELECT count(*) FROM outbox.schema s WHERE s.id <= $1 $$;
-- what a message says under the schema that it names
CREATE FUNCTION shown(start pg_lsn, OUT ordinal bigint, OUT route bigint, OUT schema bigint,
	OUT key text, OUT topic text, OUT payload jsonb)
RETURNS SETOF record LANGUAGE sql AS $$
	SELECT w.ordinal, w.route, nth(w.schema), w.key, w.topic, outbox.avro_decode(s.definition, w.payload)
	FROM wal_peek(start) w LEFT JOIN outbox.schema s ON s.id = w.schema
$$;

-- schemas: one rendering, one row
SELECT outbox.create_event_type('order.placed', key => 'id', schema => '{
	"type": "record", "name": "OrderPlaced", "namespace": "shop",
	"fields": [
		{"name": "id", "type": "long"},
		{"name": "items", "type": {"type": "array", "items": {"type": "record", "name": "Item", "fields": [
			{"name": "sku", "type": "string"},
			{"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}}]}}},
		{"name": "note", "type": ["null", "string"], "default": null}]}');
SELECT outbox.create_event_type('order.again', schema =>
	'{"namespace":"shop","name":"OrderPlaced","type":"record","fields":[{"type":"long","name":"id"},{"name":"items","type":{"type":"array","items":{"type":"record","name":"Item","fields":[{"name":"sku","type":"string"},{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}}]}}},{"name":"note","type":["null","string"],"default":null}]}');
SELECT name, nth(schema_id) AS schema, format, key, row_type FROM outbox.event_types ORDER BY name;
SELECT nth(id), fingerprint = sha256(convert_to(definition, 'UTF8')) AS fits FROM outbox.schema ORDER BY id;

SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('order.placed', '{"id": 1, "items": [{"sku": "a", "price": 1.50}]}') IS NOT NULL AS ok;
SELECT outbox.emit('order.placed', '{"id": 2, "items": [], "note": "née"}', key => 'k') IS NOT NULL AS ok;
INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)
	VALUES ('Order', '3', 'order.placed', '{"id": 3, "items": [], "note": {"string": "x"}}');
SELECT * FROM shown(:'start');

-- rows
CREATE TYPE item AS (sku text, price numeric(10,2));
CREATE TABLE orders (id bigint PRIMARY KEY, items item[], note text);
INSERT INTO orders VALUES (4, ARRAY[('b', 2)::item], NULL), (5, '{}', 'five');
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('order.placed', o) IS NOT NULL AS ok FROM orders o ORDER BY id;
SELECT * FROM shown(:'start');

-- a type from a row type
SELECT outbox.create_event_type('orders.row', row_type => 'orders', key => 'id');
SELECT outbox.create_event_type('item.row', row_type => 'item', format => 'json');
SELECT name, row_type, schema FROM outbox.event_types WHERE row_type IS NOT NULL ORDER BY name;
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('orders.row', o) IS NOT NULL AS ok FROM orders o ORDER BY id;
SELECT outbox.emit('orders.row', '{"id": 6, "items": [{"sku": "c", "price": 3}]}') IS NOT NULL AS ok;
-- format json under a schema: the text goes, if it fits
SELECT outbox.emit('item.row', '{"sku": "d", "price": 4}') IS NOT NULL AS ok;
SELECT outbox.emit('item.row', ROW('e', 5)::item) IS NOT NULL AS ok;
SELECT ordinal, schema, key, topic, payload FROM shown(:'start') WHERE schema <> 0;
SELECT schema, convert_from(payload, 'UTF8') FROM wal_peek(:'start') WHERE schema = 0;
SELECT outbox.emit('item.row', '{"sku": 1}');

-- Avro bytes: validated, the key is read from them
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit_avro('order.placed', outbox.avro_encode(t.schema, '{"id": 7, "items": []}'::jsonb)) IS NOT NULL AS ok
FROM outbox.event_types t WHERE t.name = 'order.placed';
SELECT outbox.emit_avro('order.again', '\x100000', key => 'explicit') IS NOT NULL AS ok;
SELECT * FROM shown(:'start');
SELECT outbox.emit_avro('order.placed', '\x');
SELECT outbox.emit_avro('order.placed', '\x1000');
SELECT outbox.emit_avro('order.placed', '\x10000000');
SELECT outbox.emit_avro('order.placed', '\x100004');
SELECT outbox.emit_avro('order.placed', '\xffffffffffffffffffffff');

-- what does not fit says where
\set SHOW_CONTEXT always
SELECT outbox.emit('order.placed', '{"id": "x", "items": []}');
SELECT outbox.emit('order.placed', '{"id": 1}');
SELECT outbox.emit('order.placed', '{"id": 1, "items": [{"sku": "a", "price": 1}, {"sku": "a", "price": "x"}]}');
SELECT outbox.emit('order.placed', '{"id": 1, "items": [{"sku": "a", "price": 1.005}]}');
SELECT outbox.emit('order.placed', '{"id": 1, "items": [], "unknown": 1}');
SELECT outbox.emit('order.placed', '[]');
SELECT outbox.emit('order.placed', 'null');
\set SHOW_CONTEXT errors
SELECT outbox.emit('order.placed', x) FROM (SELECT 1::bigint AS id) x;
SELECT outbox.emit('order.placed', x) FROM (SELECT 1::bigint AS id, '{}'::item[] AS items, 1 AS more) x;
SELECT outbox.emit('order.placed', ROW(1));
SELECT outbox.emit('order.placed', NULL::orders);
\set VERBOSITY terse
SELECT outbox.emit('order.placed', (repeat('{"id":', 10000) || '1' || repeat('}', 10000))::jsonb);
\set VERBOSITY default
-- schemas that are none
SELECT outbox.create_event_type('x', schema => 'no json');
SELECT outbox.create_event_type('x', schema => '"string"');
SELECT outbox.create_event_type('x', schema => '{"type": "record", "name": "X"}');
SELECT outbox.create_event_type('x', schema => '{"type": "record", "name": "X", "fields": []}', key => 'id');
SELECT outbox.create_event_type('x', row_type => 'int');
SELECT outbox.create_event_type('x', row_type => 'int[]');
SELECT outbox.create_event_type('x', row_type => 'orders', key => 'nope');
\set VERBOSITY sqlstate
SELECT outbox.create_event_type('x', schema => repeat('{"type":"array","items":', 10000) || '"int"' || repeat('}', 10000));
\set VERBOSITY default

-- altering the schema: older messages keep theirs
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('order.again', '{"id": 8, "items": []}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('order.again', schema => '{"type": "record", "name": "OrderPlaced", "namespace": "shop",
	"fields": [{"name": "id", "type": "long"}, {"name": "total", "type": "int", "default": 0}]}', key => 'id');
SELECT outbox.emit('order.again', '{"id": 9}') IS NOT NULL AS ok;
SELECT outbox.emit('order.again', '{"id": 9, "items": []}');
SELECT outbox.alter_event_type('order.again', schema => '{"type": "record", "name": "OrderPlaced", "namespace": "shop",
	"fields": [{"name": "other", "type": "long"}]}');
SELECT * FROM shown(:'start');
SELECT count(*) FROM outbox.schema;
-- to json and back
SELECT outbox.alter_event_type('order.again', format => 'json');
SELECT outbox.emit('order.again', '{"id": 10}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('order.again', format => 'avro');
SELECT outbox.emit('order.again', '{"id": 11}') IS NOT NULL AS ok;

-- altering the row type: schema and plan follow, a column the schema lacks is an error
ALTER TABLE orders ADD COLUMN extra int;
SELECT outbox.emit('order.placed', o) FROM orders o WHERE id = 4;
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('orders.row', o) IS NOT NULL AS ok FROM orders o WHERE id = 4;
ALTER TABLE orders DROP COLUMN extra;
SELECT outbox.emit('orders.row', o) IS NOT NULL AS ok FROM orders o WHERE id = 4;
SELECT ordinal, key, payload FROM shown(:'start');
DROP TABLE orders CASCADE;
SELECT outbox.emit('orders.row', '{"id": 12}') IS NOT NULL AS ok;
SELECT name, row_type IS NOT NULL AS has_row_type FROM outbox.event_types WHERE name = 'orders.row';

-- encoding a payload runs a user's code that alters the type and emits again
CREATE TYPE nested AS (id bigint, total int);
SELECT outbox.create_event_type('nested', format => 'json', key => 'id');
CREATE TYPE mood AS ENUM ('good');
CREATE TYPE moody AS (id int, mood mood);
CREATE FUNCTION mood_json(mood) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
	PERFORM outbox.alter_event_type('nested', topic => 'elsewhere');
	PERFORM outbox.emit('nested', '{"id": "inner"}');
	PERFORM outbox.emit('nested', ROW(2, 3)::nested);
	RETURN '"altered"';
END
$$;
CREATE CAST (mood AS json) WITH FUNCTION mood_json(mood);
SELECT pg_current_wal_insert_lsn() AS start \gset
SELECT outbox.emit('nested', ROW(1, 'good')::moody) IS NOT NULL AS ok;
SELECT ordinal, route, topic, key, convert_from(payload, 'UTF8') AS payload FROM wal_peek(:'start');

-- an outbox table with Avro bytes and one with rows
CREATE TABLE bytes (type text, aggregateid text, payload bytea);
CREATE TABLE rows (type text, aggregateid text, payload nested);
SELECT outbox.attach_table('bytes');
SELECT outbox.attach_table('rows');
SELECT pg_current_wal_insert_lsn() AS start \gset
INSERT INTO bytes VALUES ('order.again', 'b', '\x1e02');
INSERT INTO rows VALUES ('order.again', NULL, (16, 2));
INSERT INTO bytes VALUES ('order.again', 'b', '\x1e');
SELECT * FROM shown(:'start');
