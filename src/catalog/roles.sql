/*
 * Three roles, by which privileges are given away:
 *
 *		outbox_admin	configures and controls: everything that is not the
 *						extension's own business; every event type
 *		outbox_emitter	may call emit(); what it may emit is granted per event
 *						type, with grant_emit()
 *		outbox_monitor	status, statistics and check(); no payload
 *
 * Each room grants what it has to them, beside its definitions; nothing is
 * granted to PUBLIC.  Roles belong to the cluster: the first database that gets
 * the extension makes them, the others find them, and DROP EXTENSION leaves
 * them.  One of that name that was there before is taken as it is, with its
 * members: outbox.check() names those of outbox_admin.
 */
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['outbox_admin', 'outbox_emitter', 'outbox_monitor'] LOOP
		BEGIN
			IF pg_catalog.to_regrole(name) IS NULL THEN
				EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', name);
			END IF;
		EXCEPTION WHEN duplicate_object OR unique_violation THEN
			NULL;	-- another database got the extension at the same moment
		END;
	END LOOP;
END
$$;
GRANT USAGE ON SCHEMA outbox TO outbox_admin, outbox_emitter, outbox_monitor;
