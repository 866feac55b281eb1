-- Who this installation is: one row, and the first key of the MAC.
CREATE FUNCTION outbox.new_secret() RETURNS bytea
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_new_secret';
REVOKE ALL ON FUNCTION outbox.new_secret() FROM PUBLIC;

-- Schema ids go on from a random place: one of 2^21 blocks of 1024.
CREATE FUNCTION outbox.new_schema_ids() RETURNS integer
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT setval('outbox.schema_id_seq',
		(get_byte(r, 0) << 23) | (get_byte(r, 1) << 15) | (get_byte(r, 2) << 7 & 31744) | 1,
		false)::integer
	FROM outbox.new_secret() r
$$;
REVOKE ALL ON FUNCTION outbox.new_schema_ids() FROM PUBLIC;
COMMENT ON FUNCTION outbox.new_schema_ids() IS
	'let ids of new schemas go on from a random place (part of new_identity)';

CREATE FUNCTION outbox.new_identity() RETURNS uuid
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_id uuid := gen_random_uuid();
BEGIN
	DELETE FROM outbox.instance;
	INSERT INTO outbox.instance (instance_id, database_oid)
		SELECT new_id, d.oid FROM pg_database d
		WHERE d.datname = current_database();
	-- What was written before was written for somebody else.
	DELETE FROM outbox.server;
	INSERT INTO outbox.server (system_id, closed_writes)
		SELECT c.system_identifier, CASE WHEN NOT w.is_called THEN 0 END
		FROM pg_control_system() c, outbox.server_writes w;
	-- Older keys stay: what was signed with them may still be in WAL.
	INSERT INTO outbox.secret (key_id, key)
		SELECT coalesce(max(s.key_id), 0) + 1, outbox.new_secret()
		FROM outbox.secret s;
	PERFORM outbox.new_schema_ids();
	-- Those are the other one's, whose database this is a copy of.
	UPDATE outbox.parked_event SET discarded_at = now(),
		discarded_by = current_user,
		discard_reason = 'parked by another instance', lane = NULL
	WHERE discarded_at IS NULL AND published_at IS NULL;
	TRUNCATE outbox.log, outbox.log_dropped;
	UPDATE outbox.snapshot_job SET wanted = 'cancel' WHERE wanted <> 'cancel';
	RETURN new_id;
END
$$;
REVOKE ALL ON FUNCTION outbox.new_identity() FROM PUBLIC;
COMMENT ON FUNCTION outbox.new_identity() IS
	'make this database a new instance with a new signing key (as CREATE EXTENSION does)';

DO $$ BEGIN PERFORM outbox.new_identity(); END $$;
