/*
 * The DDL gate: schemas of event types and of captured tables follow their row
 * types, or the DDL fails.  At the end of the script, so that they do not fire on it.
 */

CREATE FUNCTION outbox.plan_ddl(statement text,
	OUT event_type text, OUT subject text, OUT verdict text,
	OUT rule text, OUT path text, OUT message text, OUT schema text)
	RETURNS SETOF record
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_plan_ddl';
REVOKE ALL ON FUNCTION outbox.plan_ddl(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.plan_ddl(text) TO outbox_admin;
COMMENT ON FUNCTION outbox.plan_ddl(text) IS
	'what DDL would mean for event types: run and rolled back; no row: nothing';

CREATE FUNCTION outbox.ddl_gate() RETURNS event_trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_ddl_gate';
REVOKE ALL ON FUNCTION outbox.ddl_gate() FROM PUBLIC;

CREATE EVENT TRIGGER outbox_ddl_gate ON ddl_command_end
	WHEN TAG IN ('ALTER DOMAIN', 'ALTER FOREIGN TABLE', 'ALTER MATERIALIZED VIEW',
		'ALTER SCHEMA', 'ALTER TABLE', 'ALTER TYPE', 'ALTER VIEW', 'COMMENT',
		'CREATE TABLE', 'CREATE TABLE AS', 'CREATE VIEW', 'SELECT INTO')
	EXECUTE FUNCTION outbox.ddl_gate();
CREATE EVENT TRIGGER outbox_drop_gate ON sql_drop
	EXECUTE FUNCTION outbox.ddl_gate();
