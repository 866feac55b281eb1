/*
 * What became of an event.
 */

-- Rows of the event log and the dead letters with this id: one, unless an
-- application gave an id twice.
CREATE FUNCTION outbox.trace(event_id uuid)
	RETURNS TABLE (event_type text, state text, topic text, key text,
		"partition" integer, committed_at timestamptz, xid xid8, commit_lsn pg_lsn,
		ordinal bigint, schema_id integer, subject text, schema_version integer,
		dead_letter bigint, reason text, replays bigint[])
	LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH published AS (
		SELECT greatest((SELECT r.recorded_lsn FROM outbox.stat_relay r
				WHERE r.datname = current_database()),
			(SELECT i.floor_lsn FROM outbox.instance i)) AS lsn
	), seen AS (
		SELECT l.event_type, l.topic, l.key, l.partition, l.committed_at, l.xid,
			l.commit_lsn, l.ordinal,
			('x' || encode(substr(l.framed, 2, 4), 'hex'))::bit(32)::integer AS schema_id
		FROM outbox.logged_event l WHERE l.id = trace.event_id
		UNION ALL
		SELECT d.event_type, d.topic, d.key, d.partition, d.commit_time, NULL,
			d.commit_lsn, d.ordinal, d.schema_id
		FROM outbox.dead_letter d
		WHERE d.event_id = trace.event_id AND NOT EXISTS (
			SELECT FROM outbox.logged_event l
			WHERE l.id = trace.event_id AND l.commit_lsn = d.commit_lsn AND l.ordinal = d.ordinal)
	)
	SELECT s.event_type,
		CASE WHEN d.state = 'discarded' THEN 'discarded'
			WHEN d.state IN ('parked', 'retrying') THEN 'dead_letter'
			WHEN s.commit_lsn <= p.lsn THEN CASE WHEN j.jobs IS NULL THEN 'published' ELSE 'replayed' END
			ELSE 'waiting' END,
		s.topic, s.key, s.partition, s.committed_at, s.xid, s.commit_lsn, s.ordinal,
		s.schema_id, v.subject, v.version, d.id,
		coalesce(d.discard_reason, d.reason, CASE WHEN d.blocked_by IS NOT NULL
			THEN format('follows dead letter %s', d.blocked_by) END),
		j.jobs
	FROM seen s CROSS JOIN published p
		LEFT JOIN outbox.dead_letter d ON d.event_id = trace.event_id
			AND d.commit_lsn = s.commit_lsn AND d.ordinal = s.ordinal
		LEFT JOIN LATERAL (
			SELECT v.subject, v.version FROM outbox.schema_version v
				JOIN outbox.route r ON r.subject = v.subject AND r.event_type = s.event_type
			WHERE v.schema_id = s.schema_id ORDER BY v.version DESC LIMIT 1) v ON true
		LEFT JOIN LATERAL (
			SELECT array_agg(r.job_id ORDER BY r.job_id) AS jobs
			FROM outbox.replay_job r JOIN outbox.snapshot_progress g ON g.job_id = r.job_id
			WHERE g.state = 'done' AND s.committed_at BETWEEN r.from_time AND r.to_time
				AND (r.types IS NULL OR s.event_type = ANY (r.types))
				AND (r.key IS NULL OR r.key = s.key)) j ON true
	ORDER BY s.commit_lsn, s.ordinal
$$;
REVOKE ALL ON FUNCTION outbox.trace(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.trace(uuid) TO outbox_admin;
COMMENT ON FUNCTION outbox.trace(uuid) IS
	'what became of an event: waiting, published, dead_letter, discarded or replayed (by which jobs)';
