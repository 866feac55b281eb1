/*
 * Change data capture: captured tables and their triggers.
 *
 * Functions run with their caller's rights and check them themselves: the
 * table's owner or a member of it.  Who may capture at all is granted on the
 * functions.
 */

CREATE FUNCTION outbox.capture(
	relation regclass,
	mode text DEFAULT 'trigger',
	topic text DEFAULT NULL,
	envelope text DEFAULT 'debezium',
	format text DEFAULT 'avro',
	key text[] DEFAULT NULL,
	key_format text DEFAULT 'plain',
	columns text[] DEFAULT NULL,
	row_filter text DEFAULT NULL,
	mask jsonb DEFAULT NULL,
	snapshot boolean DEFAULT false,
	toast text DEFAULT NULL,
	on_error text DEFAULT 'block',
	partitions integer DEFAULT NULL,
	tombstones boolean DEFAULT true,
	special text DEFAULT 'null',
	as_root boolean DEFAULT true,
	row_security boolean DEFAULT false,
	transaction_metadata boolean DEFAULT false,
	origin text DEFAULT 'any',
	subject_name_strategy text DEFAULT 'TopicName',
	compatibility text DEFAULT NULL,
	from_lsn pg_lsn DEFAULT NULL)
	RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_capture_sql';
COMMENT ON FUNCTION outbox.capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn) IS
	'publish every change of a table from now on; returns the capture''s id';

CREATE FUNCTION outbox.alter_capture(
	relation regclass,
	mode text DEFAULT NULL,
	topic text DEFAULT NULL,
	envelope text DEFAULT NULL,
	format text DEFAULT NULL,
	key text[] DEFAULT NULL,
	key_format text DEFAULT NULL,
	columns text[] DEFAULT NULL,
	row_filter text DEFAULT NULL,
	mask jsonb DEFAULT NULL,
	snapshot boolean DEFAULT NULL,
	toast text DEFAULT NULL,
	on_error text DEFAULT NULL,
	partitions integer DEFAULT NULL,
	tombstones boolean DEFAULT NULL,
	special text DEFAULT NULL,
	as_root boolean DEFAULT NULL,
	row_security boolean DEFAULT NULL,
	transaction_metadata boolean DEFAULT NULL,
	origin text DEFAULT NULL,
	subject_name_strategy text DEFAULT NULL,
	compatibility text DEFAULT NULL,
	from_lsn pg_lsn DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_alter_capture';
COMMENT ON FUNCTION outbox.alter_capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn) IS
	'change how changes to come are published; null keeps, an empty value removes';

CREATE FUNCTION outbox.uncapture(relation regclass)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_uncapture';
COMMENT ON FUNCTION outbox.uncapture(regclass) IS
	'publish no more changes of a table; what is written is still published';

-- Schemas all of whose tables are captured, also those to come.
CREATE TABLE outbox.captured_schema (
	namespace name PRIMARY KEY,		-- pg_upgrade keeps no oids of schemas
	include text[],					-- LIKE patterns of names; null: all
	exclude text[],					-- null: none
	options jsonb NOT NULL,			-- arguments of capture()
	owner regrole NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER invalidate_caches
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outbox.captured_schema
	FOR EACH STATEMENT EXECUTE FUNCTION outbox.invalidate_caches();
ALTER TABLE outbox.captured_schema ENABLE ALWAYS TRIGGER invalidate_caches;
SELECT pg_catalog.pg_extension_config_dump('outbox.captured_schema', '');

CREATE FUNCTION outbox.capture_schema(schema regnamespace,
	include text[] DEFAULT NULL, exclude text[] DEFAULT NULL,
	options jsonb DEFAULT '{}')
	RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_capture_schema';
COMMENT ON FUNCTION outbox.capture_schema(regnamespace, text[], text[], jsonb) IS
	'capture all tables of a schema, also those to come; returns how many there are';

CREATE FUNCTION outbox.uncapture_schema(schema regnamespace,
	keep_tables boolean DEFAULT false)
	RETURNS integer
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_uncapture_schema';
COMMENT ON FUNCTION outbox.uncapture_schema(regnamespace, boolean) IS
	'undo capture_schema; with keep_tables only tables to come are not captured';

-- In the conditions of the triggers, so for everybody who writes to a captured
-- table; refuses to be called from anywhere else.
CREATE FUNCTION outbox.capture_row(old_table oid, old_row tid, new_table oid, new_row tid)
	RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_capture_row';
COMMENT ON FUNCTION outbox.capture_row(oid, tid, oid, tid) IS
	'condition of the triggers of captured tables';

CREATE FUNCTION outbox.capture_change() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'outbox_capture_change';
CREATE FUNCTION outbox.capture_truncate() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'outbox_capture_truncate';

REVOKE ALL ON FUNCTION
	outbox.capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
	outbox.alter_capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
	outbox.uncapture(regclass),
	outbox.capture_schema(regnamespace, text[], text[], jsonb),
	outbox.uncapture_schema(regnamespace, boolean),
	outbox.capture_change(),
	outbox.capture_truncate()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
	outbox.capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
	outbox.alter_capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
	outbox.uncapture(regclass),
	outbox.capture_schema(regnamespace, text[], text[], jsonb),
	outbox.uncapture_schema(regnamespace, boolean)
TO outbox_admin;

-- Whether the triggers of a captured table fire; of mode log, whether decoding
-- has come to it.
CREATE FUNCTION outbox.capture_state(relation regclass, mode text, active_from pg_lsn)
	RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN mode = 'log' THEN
			CASE WHEN active_from IS NULL THEN 'starting' ELSE 'active' END
		WHEN 4 > (SELECT count(*) FROM pg_trigger t
			WHERE t.tgrelid = relation AND t.tgenabled IN ('A', 'O')
				AND t.tgname IN ('outbox_capture_insert', 'outbox_capture_update',
					'outbox_capture_delete', 'outbox_capture_truncate'))
			THEN 'disabled'
		ELSE 'active'
	END
$$;

REVOKE ALL ON FUNCTION outbox.capture_state(regclass, text, pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.capture_state(regclass, text, pg_lsn) TO outbox_admin, outbox_monitor;

-- The captured tables that the current user owns; all, to members of outbox_admin.
CREATE VIEW outbox.captures WITH (security_barrier) AS
	SELECT d.relation, d.mode, d.envelope, r.topic, r.format,
		d.key_format, d.key_columns AS key, d.columns, d.row_filter,
		d.masks AS mask, d.tombstones, d.special, d.toast, d.as_root,
		d.rls_ok AS row_security, d.transaction_metadata,
		r.on_error, r.partitions, r.subject, r.key_subject,
		r.subject_name_strategy, d.schema_id, d.key_schema_id,
		outbox.capture_state(d.relation, d.mode, d.active_from) AS state,
		d.active_from, d.created_at, f.from_lsn
	FROM outbox.capture_def d
		JOIN outbox.route r ON r.id = d.route_id
		LEFT JOIN outbox.capture_from f ON f.capture_id = d.id
		JOIN pg_catalog.pg_class c ON c.oid = d.relation
	WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE')
		OR EXISTS (
			SELECT FROM pg_catalog.pg_roles a
			WHERE a.rolname = 'outbox_admin'
				AND pg_catalog.pg_has_role(a.oid, 'USAGE'));
GRANT SELECT ON outbox.captures TO outbox_admin;
COMMENT ON VIEW outbox.captures IS
	'captured tables that the current user owns, or as an administrator may see';

-- All captured tables, with the counters of their topics (stat_topic).
CREATE VIEW outbox.stat_capture AS
	SELECT d.relation, d.mode,
		outbox.capture_state(d.relation, d.mode, d.active_from) AS state,
		r.topic, t.events, t.bytes, t.last_published_at
	FROM outbox.capture_def d
		JOIN outbox.route r ON r.id = d.route_id
		LEFT JOIN outbox.topic_rows() t ON t.topic = r.topic;
GRANT SELECT ON outbox.stat_capture TO outbox_admin, outbox_monitor;
COMMENT ON VIEW outbox.stat_capture IS
	'captured tables and what has gone to their topics since the server started';

-- The door to all of this; which tables go through it is for their owners.
CREATE FUNCTION outbox.grant_capture(role name) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IN ('outbox_admin', 'outbox_emitter', 'outbox_monitor') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('what role "%s" may do is not changed by this function', role),
			HINT = 'Give it to a role of your own.';
	END IF;
	EXECUTE format('GRANT USAGE ON SCHEMA outbox TO %I', role);
	EXECUTE format('GRANT SELECT ON outbox.captures, outbox.stat_snapshot TO %I', role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION
		outbox.capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
		outbox.alter_capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
		outbox.uncapture(regclass),
		outbox.capture_preview(regclass, record, record),
		outbox.capture_state(regclass, text, pg_lsn),
		outbox.capture_schema(regnamespace, text[], text[], jsonb),
		outbox.uncapture_schema(regnamespace, boolean),
		outbox.snapshot(regclass, text, integer, integer),
		outbox.rebuild_topic(regclass, integer, integer),
		outbox.set_snapshot(bigint, text),
		outbox.pause_snapshot(bigint),
		outbox.resume_snapshot(bigint),
		outbox.cancel_snapshot(bigint) TO %I', role);
END
$$;
COMMENT ON FUNCTION outbox.grant_capture(name) IS
	'let a role capture tables that it owns';

CREATE FUNCTION outbox.revoke_capture(role name) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IN ('outbox_admin', 'outbox_emitter', 'outbox_monitor') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('what role "%s" may do is not changed by this function', role),
			HINT = 'Give it to a role of your own.';
	END IF;
	EXECUTE format('REVOKE SELECT ON outbox.captures, outbox.stat_snapshot FROM %I', role);
	EXECUTE format('REVOKE EXECUTE ON FUNCTION
		outbox.capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
		outbox.alter_capture(regclass, text, text, text, text, text[], text, text[], text, jsonb, boolean, text, text, integer, boolean, text, boolean, boolean, boolean, text, text, text, pg_lsn),
		outbox.uncapture(regclass),
		outbox.capture_preview(regclass, record, record),
		outbox.capture_state(regclass, text, pg_lsn),
		outbox.capture_schema(regnamespace, text[], text[], jsonb),
		outbox.uncapture_schema(regnamespace, boolean),
		outbox.snapshot(regclass, text, integer, integer),
		outbox.rebuild_topic(regclass, integer, integer),
		outbox.set_snapshot(bigint, text),
		outbox.pause_snapshot(bigint),
		outbox.resume_snapshot(bigint),
		outbox.cancel_snapshot(bigint) FROM %I', role);
	-- the schema stays open to whom other things were granted
	IF 0 = (SELECT count(*) FROM outbox.event_type_def d WHERE d.owner = quote_ident(role)::regrole)
		+ (SELECT count(*) FROM outbox.event_type_grant g WHERE g.grantee = quote_ident(role)::regrole)
		AND NOT has_function_privilege(role, 'outbox.registry_version(text, text, boolean)', 'EXECUTE')
		AND NOT has_function_privilege(role,
			'outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval)', 'EXECUTE')
	THEN
		EXECUTE format('REVOKE USAGE ON SCHEMA outbox FROM %I', role);
	END IF;
END
$$;
COMMENT ON FUNCTION outbox.revoke_capture(name) IS
	'take back what grant_capture gave; what is captured stays so';

REVOKE ALL ON FUNCTION outbox.grant_capture(name), outbox.revoke_capture(name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.grant_capture(name), outbox.revoke_capture(name) TO outbox_admin;
