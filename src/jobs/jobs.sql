/*
 * Snapshots: the rows of captured tables as events.
 */

CREATE FUNCTION outbox.snapshot("table" regclass, row_filter text DEFAULT NULL,
	rate_limit integer DEFAULT NULL, chunk_rows integer DEFAULT 10000)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_snapshot';
COMMENT ON FUNCTION outbox.snapshot(regclass, text, integer, integer) IS
	'publish all present rows of a captured table; returns the job''s number';

CREATE FUNCTION outbox.rebuild_topic("table" regclass,
	rate_limit integer DEFAULT NULL, chunk_rows integer DEFAULT 10000)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_rebuild_topic';
COMMENT ON FUNCTION outbox.rebuild_topic(regclass, integer, integer) IS
	'publish all present rows of a captured table, then tombstones of keys that the topic has and the table has not; returns the job''s number';

-- What capture(snapshot => true) does, as the extension's owner.
CREATE FUNCTION outbox.capture_snapshot(relation regclass) RETURNS bigint
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT outbox.snapshot(relation) $$;
REVOKE ALL ON FUNCTION outbox.capture_snapshot(regclass) FROM PUBLIC;

CREATE FUNCTION outbox.set_snapshot(job bigint, wanted text) RETURNS void
	LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_set_snapshot';
COMMENT ON FUNCTION outbox.set_snapshot(bigint, text) IS
	'what pause_snapshot(), resume_snapshot() and cancel_snapshot() do';

CREATE FUNCTION outbox.pause_snapshot(job bigint) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT outbox.set_snapshot(job, 'pause') $$;
COMMENT ON FUNCTION outbox.pause_snapshot(bigint) IS
	'stop a snapshot after the rows under way; it remembers its place';

CREATE FUNCTION outbox.resume_snapshot(job bigint) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT outbox.set_snapshot(job, 'run') $$;
COMMENT ON FUNCTION outbox.resume_snapshot(bigint) IS
	'go on with a paused snapshot, or try a blocked one at once';

CREATE FUNCTION outbox.cancel_snapshot(job bigint) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT outbox.set_snapshot(job, 'cancel') $$;
COMMENT ON FUNCTION outbox.cancel_snapshot(bigint) IS
	'end a snapshot; what it has published stays published';

REVOKE ALL ON FUNCTION
	outbox.snapshot(regclass, text, integer, integer),
	outbox.rebuild_topic(regclass, integer, integer),
	outbox.set_snapshot(bigint, text),
	outbox.pause_snapshot(bigint),
	outbox.resume_snapshot(bigint),
	outbox.cancel_snapshot(bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
	outbox.snapshot(regclass, text, integer, integer),
	outbox.rebuild_topic(regclass, integer, integer),
	outbox.set_snapshot(bigint, text),
	outbox.pause_snapshot(bigint),
	outbox.resume_snapshot(bigint),
	outbox.cancel_snapshot(bigint)
TO outbox_admin;

-- Those of tables that the current user owns, and of dropped ones; all, to
-- members of outbox_admin and outbox_monitor.
CREATE VIEW outbox.stat_snapshot WITH (security_barrier) AS
	SELECT j.id AS job, j.relation,
		CASE WHEN p.finished_at IS NULL AND j.wanted = 'cancel' THEN 'cancelling'
			ELSE coalesce(p.state, 'waiting') END AS state,
		p.reason, coalesce(p."rows", 0) AS "rows", p.superseded, p.reread,
		p.estimated,
		CASE WHEN p.state = 'done' THEN 100
			WHEN p.estimated > 0 THEN least(round(100.0 * p."rows" / p.estimated, 1), 99.9)
			END AS percent,
		p.rows_per_second,
		CASE WHEN p.state = 'running' AND p.rows_per_second > 0
				AND p.estimated > p."rows"
			THEN pg_catalog.make_interval(secs =>
				(p.estimated - p."rows") / p.rows_per_second) END AS eta,
		j.row_filter, j.rate_limit, j.chunk_rows, j.created_by, j.created_at,
		p.started_at, p.updated_at, p.finished_at, j.topic, p.removed, p.pass
	FROM outbox.snapshot_job j
	LEFT JOIN outbox.snapshot_progress p ON p.job_id = j.id
	LEFT JOIN pg_catalog.pg_class c ON c.oid = j.relation
	WHERE j.relation IS NOT NULL	-- else a replay
		AND (c.oid IS NULL OR pg_catalog.pg_has_role(c.relowner, 'USAGE')
			OR EXISTS (
				SELECT FROM pg_catalog.pg_roles a
				WHERE a.rolname IN ('outbox_admin', 'outbox_monitor')
					AND pg_catalog.pg_has_role(a.oid, 'USAGE')));
GRANT SELECT ON outbox.stat_snapshot TO outbox_admin, outbox_monitor;
COMMENT ON VIEW outbox.stat_snapshot IS
	'snapshots of tables that the current user owns or watches, also finished ones';
