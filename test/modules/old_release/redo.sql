\echo Use "ALTER EXTENSION outbox UPDATE" to load this file. \quit

CREATE FUNCTION outbox.uuid_v7() RETURNS uuid
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_uuid_v7';
REVOKE ALL ON FUNCTION outbox.uuid_v7() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.uuid_v7() TO outbox_admin, outbox_emitter;
CREATE INDEX parked_event_lane_idx ON outbox.parked_event (lane, id);
-- 0.0.2 forgets
COMMENT ON FUNCTION outbox.uuid_v7() IS
	'a UUID version 7, rising within a session, as event ids are';
ALTER TABLE outbox.secret ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE outbox.secret ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.subject_default ADD CONSTRAINT subject_default_mode_check
	CHECK (mode IN ('READWRITE', 'READONLY', 'READONLY_OVERRIDE', 'IMPORT'));
COMMENT ON FUNCTION outbox.new_identity() IS
	'make this database a new instance with a new signing key (as CREATE EXTENSION does)';
ALTER FUNCTION outbox.new_identity() SET search_path = pg_catalog, pg_temp;
REVOKE EXECUTE ON FUNCTION outbox.published_lsn() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.published_lsn() TO outbox_monitor;
ALTER SEQUENCE outbox.schema_id_seq CYCLE;
SELECT pg_catalog.pg_extension_config_dump('outbox.subject_default', '');
