/*
 * Replay: events of the event log, published again.
 */

-- Publish again what was committed from "from" to "to" (inclusive; now, if null):
-- events of these types (null: all), with this key (null: any), in the order of
-- their commits, to the topics that they went to or to another one.  One row
-- with the job''s number; with dry_run nothing is published, and a row for each
-- type and topic says how many events it would be.
CREATE FUNCTION outbox.replay("from" timestamptz, "to" timestamptz DEFAULT NULL,
	types text[] DEFAULT NULL, key text DEFAULT NULL, topic text DEFAULT NULL,
	rate_limit integer DEFAULT NULL, dry_run boolean DEFAULT false)
	RETURNS TABLE (job bigint, event_type text, to_topic text, events bigint)
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	until timestamptz := coalesce(replay."to", clock_timestamp());
	unknown text;
	dropped timestamptz;
	earliest timestamptz;
BEGIN
	IF replay."from" IS NULL OR NOT isfinite(replay."from") OR NOT isfinite(until) OR replay."from" > until THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('there is no time from %s to %s', coalesce(replay."from"::text, 'null'), until),
			HINT = 'Both ends are times of commits, and belong to the range.';
	END IF;
	SELECT t INTO unknown FROM unnest(replay.types) t
	WHERE NOT EXISTS (SELECT FROM outbox.route r WHERE r.event_type = t) LIMIT 1;
	IF FOUND THEN
		RAISE undefined_object USING
			MESSAGE = format('event type "%s" does not exist', coalesce(unknown, 'null')),
			HINT = 'A captured table is called schema.table here; see outbox.log_usage.';
	END IF;
	IF replay.topic !~ '^[A-Za-z0-9._-]{1,249}$' OR replay.topic ~ '^(__|outbox[.]position[.]|[.]{1,2}$)' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('invalid topic "%s"', replay.topic),
			HINT = 'A topic has letters, digits, ".", "_" and "-", at most 249 of them.';
	END IF;
	IF replay.rate_limit < 1 THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'rate_limit must be positive',
			HINT = 'It is events per second; null: as fast as it goes.';
	END IF;
	SELECT max(d.last_commit) INTO dropped
	FROM outbox.log_dropped d JOIN outbox.route r ON r.id = d.route_id
	WHERE d.last_commit >= replay."from"
		AND (replay.types IS NULL OR r.event_type = ANY (replay.types));
	IF dropped IS NOT NULL THEN
		SELECT min(l.first_commit) INTO earliest FROM outbox.log l
		WHERE l.first_commit > dropped;
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('events committed up to %s are not in the event log any more', dropped),
			DETAIL = format('The earliest time from which it has all of these types is %s.',
				coalesce(earliest, clock_timestamp())),
			HINT = 'Replay from there, or name only types that are kept longer.';
	END IF;
	IF dry_run THEN
		RETURN QUERY SELECT NULL::bigint, e.type, coalesce(replay.topic, e.topic), count(*)
		FROM outbox.event e
		WHERE e.committed_at >= replay."from" AND e.committed_at <= until
			AND (replay.types IS NULL OR e.type = ANY (replay.types))
			AND (replay.key IS NULL OR e.aggregateid = replay.key)
		GROUP BY 2, 3 ORDER BY 2, 3;
		RETURN;
	END IF;
	INSERT INTO outbox.snapshot_job AS j (token, chunk_rows, rate_limit, created_by)
		VALUES (('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 16))::bit(64)::bigint,
			10000, replay.rate_limit, session_user)
		RETURNING j.id INTO job;
	INSERT INTO outbox.replay_job (job_id, from_time, to_time, types, key, topic)
		VALUES (job, replay."from", until, replay.types, replay.key, replay.topic);
	PERFORM outbox.notify_relay();
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION outbox.replay(timestamptz, timestamptz, text[], text, text, integer, boolean) IS
	'publish logged events again, in their order; returns the job''s number, or with dry_run what it would be';

CREATE FUNCTION outbox.pause_replay(job bigint) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT outbox.set_snapshot(job, 'pause') $$;
COMMENT ON FUNCTION outbox.pause_replay(bigint) IS
	'stop a replay after the events under way; it remembers its place';

CREATE FUNCTION outbox.resume_replay(job bigint) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT outbox.set_snapshot(job, 'run') $$;
COMMENT ON FUNCTION outbox.resume_replay(bigint) IS
	'go on with a paused replay, or try a blocked one at once';

CREATE FUNCTION outbox.cancel_replay(job bigint) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT outbox.set_snapshot(job, 'cancel') $$;
COMMENT ON FUNCTION outbox.cancel_replay(bigint) IS
	'end a replay; what it has published stays published';

REVOKE ALL ON FUNCTION
	outbox.replay(timestamptz, timestamptz, text[], text, text, integer, boolean),
	outbox.pause_replay(bigint), outbox.resume_replay(bigint),
	outbox.cancel_replay(bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
	outbox.replay(timestamptz, timestamptz, text[], text, text, integer, boolean),
	outbox.pause_replay(bigint), outbox.resume_replay(bigint),
	outbox.cancel_replay(bigint)
TO outbox_admin;

CREATE VIEW outbox.stat_replay AS
	SELECT j.id AS job,
		CASE WHEN p.finished_at IS NULL AND j.wanted = 'cancel' THEN 'cancelling'
			ELSE coalesce(p.state, 'waiting') END AS state,
		p.reason, coalesce(p."rows", 0) AS events, p.estimated,
		CASE WHEN p.state = 'done' THEN 100
			WHEN p.estimated > 0 THEN least(round(100.0 * p."rows" / p.estimated, 1), 99.9)
			END AS percent,
		p.rows_per_second AS events_per_second,
		CASE WHEN p.state = 'running' AND p.rows_per_second > 0
				AND p.estimated > p."rows"
			THEN pg_catalog.make_interval(secs =>
				(p.estimated - p."rows") / p.rows_per_second) END AS eta,
		r.from_time, r.to_time, r.types, r.key, r.topic, j.rate_limit,
		j.created_by, j.created_at, p.started_at, p.updated_at, p.finished_at
	FROM outbox.replay_job r
		JOIN outbox.snapshot_job j ON j.id = r.job_id
		LEFT JOIN outbox.snapshot_progress p ON p.job_id = j.id;
COMMENT ON VIEW outbox.stat_replay IS 'replays, also finished ones';
COMMENT ON COLUMN outbox.stat_replay.estimated IS
	'at most: events of all blocks of the time that have any of the types';
GRANT SELECT ON outbox.stat_replay TO outbox_admin, outbox_monitor;
