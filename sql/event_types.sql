-- Event types: creation, options, alteration, routes that never change.
\set VERBOSITY default
\set SHOW_CONTEXT errors
SELECT outbox.create_event_type('order.placed', format => 'json', key => 'order_id');
SELECT outbox.create_event_type('order.audit', format => 'json', topic => 'audit', partitions => 3);
SELECT outbox.create_event_type('order.region', format => 'json', topic => 'eu.${aggregatetype}.v1');
SELECT name, topic, format, key, on_error, partitions, schema, schema_id, row_type, owner
FROM outbox.event_types ORDER BY name;

-- misuse
SELECT outbox.create_event_type('order.placed', format => 'json');
SELECT outbox.create_event_type(NULL, format => 'json');
SELECT outbox.create_event_type('', format => 'json');
SELECT outbox.create_event_type(repeat('x', 201), format => 'json');
SELECT outbox.create_event_type(E'a\nb', format => 'json');
SELECT outbox.create_event_type('t', format => 'protobuf');
SELECT outbox.create_event_type('t');
SELECT outbox.create_event_type('t', schema => '{}', row_type => 'pg_class');
SELECT outbox.create_event_type('t', format => 'json', on_error => 'skip');
SELECT outbox.create_event_type('t', format => 'json', partitions => 0);
SELECT outbox.create_event_type('t', format => 'json', partitions => -3);
SELECT outbox.create_event_type('t', format => 'json', topic => '');
SELECT outbox.create_event_type('t', format => 'json', topic => 'a b');
SELECT outbox.create_event_type('t', format => 'json', topic => '..');
SELECT outbox.create_event_type('t', format => 'json', topic => 'träger');
SELECT outbox.create_event_type('t', format => 'json', topic => repeat('x', 250));
SELECT outbox.create_event_type('t', format => 'json', topic => '__consumer_offsets');
SELECT outbox.create_event_type('t', format => 'json', topic => 'outbox.position.x');
SELECT outbox.create_event_type('t', format => 'json', topic => '${aggregatetype}.${aggregatetype}');
SELECT outbox.create_event_type('t', format => 'json', topic => '${type}');
SELECT outbox.alter_event_type('nobody', topic => 'x');
SELECT outbox.drop_event_type('nobody');
SELECT outbox.drop_event_type(NULL);
SELECT count(*) FROM outbox.route;

-- altering the route adds a row; nothing else does
SELECT outbox.alter_event_type('order.audit', topic => 'audit.v2');
SELECT outbox.alter_event_type('order.audit', topic => 'audit.v2');
SELECT outbox.alter_event_type('order.audit', partitions => 6);
SELECT outbox.alter_event_type('order.audit', key => 'k');
SELECT outbox.alter_event_type('order.audit', key => '');
SELECT outbox.alter_event_type('order.audit', format => 'avro');
SELECT outbox.alter_event_type('order.audit', partitions => 0);
SELECT id, event_type, topic, format, on_error, partitions FROM outbox.route ORDER BY id;
SELECT name, topic, key, partitions FROM outbox.event_types ORDER BY name;

-- a route outlives its type; a new type of that name is another one
SELECT outbox.drop_event_type('order.audit');
SELECT outbox.emit('order.audit', '{}');
SELECT outbox.create_event_type('order.audit', format => 'json', topic => 'audit.v3');
SELECT d.id, r.topic FROM outbox.event_type_def d JOIN outbox.route r ON r.id = d.route_id
WHERE d.name = 'order.audit';
SELECT count(*) FROM outbox.route;

-- rolled back: as if it had never been
BEGIN;
SELECT outbox.create_event_type('gone', format => 'json');
SELECT outbox.emit('gone', '{}') IS NOT NULL AS emitted;
SAVEPOINT s;
SELECT outbox.drop_event_type('gone');
SAVEPOINT t;
SELECT outbox.emit('gone', '{}');
ROLLBACK TO s;
SELECT outbox.emit('gone', '{}') IS NOT NULL AS emitted;
ROLLBACK;
SELECT outbox.emit('gone', '{}');

-- the prefix belongs to default topics at creation
ALTER SYSTEM SET outbox.topic_prefix = 'bad prefix';
ALTER SYSTEM SET outbox.topic_prefix = 'shop.';
SELECT pg_reload_conf();
SELECT pg_sleep(1);
\c
SHOW outbox.topic_prefix;
SELECT outbox.create_event_type('prefixed', format => 'json');
SELECT outbox.create_event_type('unprefixed', format => 'json', topic => 'plain');
SELECT name, topic FROM outbox.event_types WHERE name LIKE '%prefixed' ORDER BY name;
ALTER SYSTEM RESET outbox.topic_prefix;
SELECT pg_reload_conf();
SET outbox.topic_prefix = 'x';

-- nothing of the extension's own tables is for others
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'v', 'S', 'm')
	AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0)
ORDER BY 1;
-- what everybody may execute (needs USAGE on the schema as well)
SELECT p.proname FROM pg_proc p
WHERE p.pronamespace = 'outbox'::regnamespace
	AND p.proname IN ('create_event_type', 'alter_event_type', 'drop_event_type', 'grant_emit',
		'revoke_emit', 'emit', 'emit_avro', 'event_insert', 'table_insert', 'table_update',
		'attach_table', 'detach_table', 'create_outbox_table', 'new_identity', 'new_secret',
		'invalidate_caches')
	AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))
ORDER BY 1;
