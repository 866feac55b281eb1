/*
 * The caller's side: event types, emit, the view outbox.event.
 *
 * Functions that manage event types run with their caller's rights and check
 * them themselves (emit/owner.c).  grant_emit() opens schema, functions and
 * view to a role; what may be emitted through them is decided per event type.
 */

-- Event types --------------------------------------------------------------
CREATE FUNCTION outbox.create_event_type(
	name text,
	schema text DEFAULT NULL,
	row_type regtype DEFAULT NULL,
	topic text DEFAULT NULL,
	key text DEFAULT NULL,
	format text DEFAULT 'avro',
	on_error text DEFAULT 'block',
	partitions integer DEFAULT NULL,
	subject_name_strategy text DEFAULT 'TopicRecordName',
	compatibility text DEFAULT NULL,
	retention interval DEFAULT NULL)
	RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_create_event_type';
COMMENT ON FUNCTION outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval) IS
	'declare an event type; returns its id';

CREATE FUNCTION outbox.alter_event_type(
	name text,
	schema text DEFAULT NULL,
	row_type regtype DEFAULT NULL,
	topic text DEFAULT NULL,
	key text DEFAULT NULL,
	format text DEFAULT NULL,
	on_error text DEFAULT NULL,
	partitions integer DEFAULT NULL,
	subject_name_strategy text DEFAULT NULL,
	compatibility text DEFAULT NULL,
	retention interval DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_alter_event_type';
COMMENT ON FUNCTION outbox.alter_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval) IS
	'change an event type for events to come; null keeps, key '''' and a negative retention remove';

CREATE FUNCTION outbox.drop_event_type(name text)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_drop_event_type';
COMMENT ON FUNCTION outbox.drop_event_type(text) IS
	'forget an event type; events already written are still published';

CREATE FUNCTION outbox.grant_emit(name text, role name)
	RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_grant_emit';
COMMENT ON FUNCTION outbox.grant_emit(text, name) IS
	'let a role (or "public") emit events of this type';

CREATE FUNCTION outbox.revoke_emit(name text, role name)
	RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_revoke_emit';
COMMENT ON FUNCTION outbox.revoke_emit(text, name) IS
	'take back what grant_emit gave';

-- The event types that the current user may emit; all, to members of outbox_admin.
CREATE VIEW outbox.event_types WITH (security_barrier) AS
	SELECT d.name, r.topic, r.format, d.key_field AS key, r.on_error,
		r.partitions, s.definition AS schema, d.schema_id, d.row_type, d.owner,
		r.subject_name_strategy, r.subject, r.retention
	FROM outbox.event_type_def d
		JOIN outbox.route r ON r.id = d.route_id
		LEFT JOIN outbox.schema s ON s.id = d.schema_id
	WHERE pg_catalog.pg_has_role(d.owner::oid, 'USAGE')
		OR EXISTS (
			SELECT FROM outbox.event_type_grant g
			WHERE g.event_type_id = d.id
				AND (g.grantee = 0::regrole
					OR pg_catalog.pg_has_role(g.grantee::oid, 'USAGE')))
		OR EXISTS (
			SELECT FROM pg_catalog.pg_roles a
			WHERE a.rolname = 'outbox_admin'
				AND pg_catalog.pg_has_role(a.oid, 'USAGE'));
COMMENT ON VIEW outbox.event_types IS
	'event types that the current user may emit, or as an administrator manage';

-- Emit -----------------------------------------------------------------------
CREATE FUNCTION outbox.emit(type text, payload jsonb, key text DEFAULT NULL,
	headers jsonb DEFAULT NULL, id uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_emit_jsonb';
COMMENT ON FUNCTION outbox.emit(text, jsonb, text, jsonb, uuid) IS
	'write an event into this transaction; returns its id';

CREATE FUNCTION outbox.emit(type text, payload text, key text DEFAULT NULL,
	headers jsonb DEFAULT NULL, id uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_emit_text';
COMMENT ON FUNCTION outbox.emit(text, text, text, jsonb, uuid) IS
	'write an event, payload as JSON text';

CREATE FUNCTION outbox.emit(type text, payload json, key text DEFAULT NULL,
	headers jsonb DEFAULT NULL, id uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_emit_text';
COMMENT ON FUNCTION outbox.emit(text, json, text, jsonb, uuid) IS
	'write an event, payload as json';

CREATE FUNCTION outbox.emit(type text, payload record, key text DEFAULT NULL,
	headers jsonb DEFAULT NULL, id uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_emit_row';
COMMENT ON FUNCTION outbox.emit(text, record, text, jsonb, uuid) IS
	'write an event from a row of a table or composite type';

CREATE FUNCTION outbox.emit_avro(type text, payload bytea, key text DEFAULT NULL,
	headers jsonb DEFAULT NULL, id uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_emit_avro';
COMMENT ON FUNCTION outbox.emit_avro(text, bytea, text, jsonb, uuid) IS
	'write an event whose payload is already Avro, without any frame';

CREATE FUNCTION outbox.uuid_v7() RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_uuid_v7';
COMMENT ON FUNCTION outbox.uuid_v7() IS
	'a UUID version 7, rising within a session, as event ids are';

-- The view to insert into ------------------------------------------------------
-- What it shows is the event log, of the types that the current user owns; all,
-- to members of outbox_admin.  The columns of INSERT come first.
CREATE VIEW outbox.event AS
	SELECT NULL::text AS aggregatetype,
		l.key AS aggregateid,
		l.event_type AS type,
		coalesce(l.json::jsonb, outbox.decode(l.framed)) AS payload,
		l.id,
		l.headers,
		l.partition,
		l."timestamp",
		l.topic, l.committed_at, l.xid, l.commit_lsn, l.ordinal
	FROM outbox.logged_event l;
COMMENT ON VIEW outbox.event IS
	'INSERT writes an event into this transaction; SELECT reads the event log';
COMMENT ON COLUMN outbox.event.aggregatetype IS
	'replaces ${aggregatetype} in the topic; null: the event type';
COMMENT ON COLUMN outbox.event.aggregateid IS
	'key of the event; null: the key field of its type';
COMMENT ON COLUMN outbox.event.type IS 'name of the event type';
COMMENT ON COLUMN outbox.event.id IS 'event id; null: a new UUID version 7';
COMMENT ON COLUMN outbox.event.headers IS 'object of strings, numbers, booleans or nulls';
COMMENT ON COLUMN outbox.event.partition IS 'null: chosen by key';
COMMENT ON COLUMN outbox.event."timestamp" IS 'null: the time of the commit';
COMMENT ON COLUMN outbox.event.topic IS 'where it was published, or is to be; not for INSERT';
COMMENT ON COLUMN outbox.event.ordinal IS 'rising within the transaction; not for INSERT';

CREATE FUNCTION outbox.event_insert() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'outbox_event_insert';
CREATE TRIGGER event_insert INSTEAD OF INSERT ON outbox.event
	FOR EACH ROW EXECUTE FUNCTION outbox.event_insert();

-- Tables of the application ------------------------------------------------------
CREATE FUNCTION outbox.create_outbox_table(name text)
	RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_create_outbox_table';
COMMENT ON FUNCTION outbox.create_outbox_table(text) IS
	'create a table with the columns of Debezium''s EventRouter and attach it';

CREATE FUNCTION outbox.attach_table(relation regclass,
	columns jsonb DEFAULT '{}', headers text[] DEFAULT '{}')
	RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_attach_table';
COMMENT ON FUNCTION outbox.attach_table(regclass, jsonb, text[]) IS
	'rows inserted into this table become events, emitted as its owner';

CREATE FUNCTION outbox.detach_table(relation regclass)
	RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_detach_table';
COMMENT ON FUNCTION outbox.detach_table(regclass) IS 'undo attach_table';

CREATE FUNCTION outbox.table_insert() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'outbox_table_insert';
CREATE FUNCTION outbox.table_update() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'outbox_table_update';

REVOKE ALL ON FUNCTION
	outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval),
	outbox.alter_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval),
	outbox.drop_event_type(text),
	outbox.grant_emit(text, name),
	outbox.revoke_emit(text, name),
	outbox.emit(text, jsonb, text, jsonb, uuid),
	outbox.emit(text, text, text, jsonb, uuid),
	outbox.emit(text, json, text, jsonb, uuid),
	outbox.emit(text, record, text, jsonb, uuid),
	outbox.emit_avro(text, bytea, text, jsonb, uuid),
	outbox.uuid_v7(),
	outbox.event_insert(),
	outbox.create_outbox_table(text),
	outbox.attach_table(regclass, jsonb, text[]),
	outbox.detach_table(regclass),
	outbox.table_insert(),
	outbox.table_update()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
	outbox.emit(text, jsonb, text, jsonb, uuid),
	outbox.emit(text, text, text, jsonb, uuid),
	outbox.emit(text, json, text, jsonb, uuid),
	outbox.emit(text, record, text, jsonb, uuid),
	outbox.emit_avro(text, bytea, text, jsonb, uuid),
	outbox.uuid_v7(),
	outbox.create_outbox_table(text),
	outbox.attach_table(regclass, jsonb, text[]),
	outbox.detach_table(regclass)
TO outbox_admin, outbox_emitter;
GRANT SELECT, INSERT ON outbox.event TO outbox_admin, outbox_emitter;
GRANT SELECT ON outbox.event_types TO outbox_admin, outbox_emitter;
GRANT EXECUTE ON FUNCTION
	outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval),
	outbox.alter_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval),
	outbox.drop_event_type(text),
	outbox.grant_emit(text, name),
	outbox.revoke_emit(text, name)
TO outbox_admin;
