
-- What the release that never was did not have, or had otherwise.
DROP FUNCTION outbox.uuid_v7();
DROP INDEX outbox.parked_event_lane_idx;
ALTER TABLE outbox.secret DROP COLUMN created_at;
ALTER TABLE outbox.secret ENABLE TRIGGER invalidate_caches;
ALTER TABLE outbox.subject_default DROP CONSTRAINT subject_default_mode_check;
COMMENT ON FUNCTION outbox.new_identity() IS 'as it was';
ALTER FUNCTION outbox.new_identity() RESET search_path;
GRANT EXECUTE ON FUNCTION outbox.published_lsn() TO PUBLIC;
REVOKE EXECUTE ON FUNCTION outbox.published_lsn() FROM outbox_monitor;
ALTER SEQUENCE outbox.schema_id_seq NO CYCLE;
SELECT pg_catalog.pg_extension_config_dump('outbox.subject_default', 'WHERE false');
