/*
 * Status and control.
 */

-- The slot holds WAL from this moment on; see src/admin/control.c.
CREATE FUNCTION outbox.create_instance_slot() RETURNS pg_lsn
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_create_instance_slot';
REVOKE ALL ON FUNCTION outbox.create_instance_slot() FROM PUBLIC;
DO $$ BEGIN PERFORM outbox.create_instance_slot(); END $$;

CREATE FUNCTION outbox.relay_rows(
	OUT datid oid, OUT state text, OUT state_since timestamptz,
	OUT pid integer, OUT child_pid integer,
	OUT published_lsn pg_lsn, OUT recorded_lsn pg_lsn,
	OUT restart_lsn pg_lsn, OUT scanned_lsn pg_lsn,
	OUT lag_bytes bigint, OUT lag_ms double precision,
	OUT events bigint, OUT transactions bigint, OUT kafka_transactions bigint,
	OUT bytes bigint, OUT forged_messages bigint,
	OUT split_transactions bigint, OUT open_transactions bigint,
	OUT spilled_transactions bigint, OUT scanner_memory bigint,
	OUT last_published_at timestamptz, OUT last_commit_time timestamptz,
	OUT caught_up_at timestamptz, OUT incarnation bigint,
	OUT failures integer, OUT last_error text, OUT last_error_code integer,
	OUT last_error_at timestamptz, OUT next_retry_at timestamptz,
	OUT parked bigint, OUT last_parked_at timestamptz,
	OUT retried bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_relay_rows';
REVOKE ALL ON FUNCTION outbox.relay_rows() FROM PUBLIC;

CREATE FUNCTION outbox.topic_rows(
	OUT topic text, OUT events bigint, OUT bytes bigint,
	OUT last_published_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_topic_rows';
REVOKE ALL ON FUNCTION outbox.topic_rows() FROM PUBLIC;

-- Counters since the server started; sizes in bytes, lag in bytes of WAL and
-- in milliseconds since the commit of the oldest unpublished event.
CREATE VIEW outbox.stat_relay AS
	SELECT d.datname, r.*
	FROM outbox.relay_rows() r
	LEFT JOIN pg_catalog.pg_database d ON d.oid = r.datid;

CREATE VIEW outbox.stat_topic AS
	SELECT * FROM outbox.topic_rows();
GRANT EXECUTE ON FUNCTION outbox.relay_rows(), outbox.topic_rows() TO outbox_admin, outbox_monitor;
GRANT SELECT ON outbox.stat_relay, outbox.stat_topic TO outbox_admin, outbox_monitor;

-- Bytes of WAL a second, smoothed over a minute.
CREATE FUNCTION outbox.wal_rate() RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_wal_rate';
REVOKE ALL ON FUNCTION outbox.wal_rate() FROM PUBLIC;

-- One row: how this database's relay is.
CREATE FUNCTION outbox.status(
	OUT state text, OUT state_since timestamptz, OUT reason text,
	OUT published_lsn pg_lsn, OUT lag_bytes bigint, OUT lag_ms double precision,
	OUT events bigint, OUT transactions bigint, OUT last_published_at timestamptz,
	OUT last_error text, OUT last_error_at timestamptz,
	OUT next_retry_at timestamptz, OUT retained_wal_bytes bigint,
	OUT pid integer, OUT child_pid integer,
	OUT dead_letters bigint, OUT dead_letters_since timestamptz,
	OUT max_retained_wal_bytes bigint, OUT wal_bytes_per_second bigint,
	OUT wal_budget_eta interval)
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r record;
BEGIN
	IF pg_is_in_recovery() THEN
		state := 'standby';
		reason := 'a standby does not publish; its primary does';
		RETURN;
	END IF;
	SELECT * INTO r FROM outbox.relay_rows() x
	WHERE x.datid = (SELECT d.oid FROM pg_database d
							WHERE d.datname = current_database());
	IF r.datid IS NULL THEN
		state := 'stopped';
		reason := 'no relay is registered for this database';
	END IF;
	IF (r.datid IS NULL OR (r.pid IS NULL AND r.state = 'stopped'))
		AND NOT EXISTS (SELECT FROM pg_stat_activity a
						WHERE a.backend_type = 'outbox launcher') THEN
		reason := 'the launcher is not running; if that lasts, raise max_worker_processes and restart the server';
	END IF;
	SELECT count(*), min(p.parked_at) INTO dead_letters, dead_letters_since
	FROM outbox.parked_event p
	WHERE p.discarded_at IS NULL AND p.published_at IS NULL;
	IF r.datid IS NULL THEN
		RETURN;
	END IF;
	state := r.state;
	state_since := r.state_since;
	IF reason IS NOT NULL THEN
		NULL;
	ELSIF state = 'waiting_for_standby' THEN
		reason := 'a commit is not flushed by its synchronous standby yet';
	ELSIF state NOT IN ('streaming', 'paused') THEN
		reason := r.last_error;
	END IF;
	published_lsn := r.published_lsn;
	lag_bytes := r.lag_bytes;
	lag_ms := r.lag_ms;
	events := r.events;
	transactions := r.transactions;
	last_published_at := r.last_published_at;
	last_error := r.last_error;
	last_error_at := r.last_error_at;
	next_retry_at := r.next_retry_at;
	SELECT max(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), s.restart_lsn))::bigint
		INTO retained_wal_bytes
	FROM pg_replication_slots s
	WHERE s.slot_name IN ('outbox_' || r.datid, 'outbox_events_' || r.datid);
	max_retained_wal_bytes := pg_size_bytes(nullif(current_setting('outbox.max_retained_wal', true), '-1'));
	wal_bytes_per_second := outbox.wal_rate();
	IF wal_bytes_per_second > 0 THEN
		wal_budget_eta := make_interval(secs => greatest(max_retained_wal_bytes - retained_wal_bytes, 0)::double precision
			/ wal_bytes_per_second);
	END IF;
	pid := r.pid;
	child_pid := r.child_pid;
END
$$;
REVOKE ALL ON FUNCTION outbox.status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.status() TO outbox_admin, outbox_monitor;

CREATE FUNCTION outbox.notify_relay() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_notify_relay';
REVOKE ALL ON FUNCTION outbox.notify_relay() FROM PUBLIC;

-- Stop publishing after the transactions under way; survives a restart.
CREATE FUNCTION outbox.pause() RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE outbox.instance SET paused = true WHERE NOT paused;
	PERFORM outbox.notify_relay();
END
$$;
REVOKE ALL ON FUNCTION outbox.pause() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.pause() TO outbox_admin;

CREATE FUNCTION outbox.resume() RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE outbox.instance SET paused = false WHERE paused;
	PERFORM outbox.notify_relay();
END
$$;
REVOKE ALL ON FUNCTION outbox.resume() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.resume() TO outbox_admin;

-- The refusing state that this database's relay left, to look again, and has
-- not yet got over; null when there is none.
CREATE FUNCTION outbox.refused_state() RETURNS text
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_refused_state';
REVOKE ALL ON FUNCTION outbox.refused_state() FROM PUBLIC;

-- Accept what a refusing state complains about, and go on publishing.
CREATE FUNCTION outbox.adopt(reason text) RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	current text;
	why text;
BEGIN
	IF coalesce(adopt.reason, '') = '' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'a reason must be given',
			HINT = 'It is kept in outbox.instance beside the time of adoption.';
	END IF;
	SELECT s.state, s.reason INTO current, why FROM outbox.status() s;
	-- After restart() or resume() a relay looks again, perhaps for long.
	IF current IN ('stopped', 'starting', 'connecting', 'taking_over') THEN
		current := coalesce(outbox.refused_state(), current);
	END IF;
	IF current NOT IN ('position_unreadable', 'other_instance', 'diverged',
					   'gap', 'kafka_lost', 'clone', 'fenced') THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('there is nothing to adopt in state "%s"', current),
			HINT = 'See outbox.status().';
	END IF;
	UPDATE outbox.instance SET adopt_pending = true,
		adopt_reason = format('%s (%s: %s)', adopt.reason, current, why);
	PERFORM outbox.notify_relay();
	RETURN format('adopting state "%s": %s', current, why);
END
$$;
REVOKE ALL ON FUNCTION outbox.adopt(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.adopt(text) TO outbox_admin;

-- Over a gap: publish what the event log still has behind the position, then go
-- on from WAL.  What is lost for good is in outbox.gap then.
CREATE FUNCTION outbox.recover(reason text) RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	current text := (SELECT s.state FROM outbox.status() s);
BEGIN
	IF coalesce(outbox.refused_state(), current) <> 'gap' THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('there is no gap to recover from in state "%s"', current),
			HINT = 'outbox.adopt() is for the other states; see outbox.status().';
	END IF;
	RETURN outbox.adopt(reason);
END
$$;
REVOKE ALL ON FUNCTION outbox.recover(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.recover(text) TO outbox_admin;
GRANT SELECT ON outbox.gap TO outbox_admin, outbox_monitor;
COMMENT ON FUNCTION outbox.recover(text) IS
	'over a gap: publish what the event log still has, then go on from WAL; what is lost is in outbox.gap';

-- End the relay's process and start another at once.
CREATE FUNCTION outbox.restart() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_restart';
REVOKE ALL ON FUNCTION outbox.restart() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.restart() TO outbox_admin;

-- Every commit up to here is in Kafka.  Null until known after a start.
CREATE FUNCTION outbox.published_lsn() RETURNS pg_lsn
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_published_lsn';
REVOKE ALL ON FUNCTION outbox.published_lsn() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.published_lsn() TO outbox_admin, outbox_monitor;

-- Wait until all that this session has committed is in Kafka; false when the
-- timeout came first.  Null waits for ever.
CREATE FUNCTION outbox.wait_published(timeout interval DEFAULT NULL)
	RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_wait_published';
REVOKE ALL ON FUNCTION outbox.wait_published(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.wait_published(interval) TO outbox_admin, outbox_emitter, outbox_monitor;
