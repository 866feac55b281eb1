/*
 * The event log for people: events as rows, and what the log holds.
 */

CREATE FUNCTION outbox.log_fdw_handler() RETURNS fdw_handler
	LANGUAGE c STRICT VOLATILE
	AS 'MODULE_PATHNAME', 'outbox_log_fdw_handler';
REVOKE ALL ON FUNCTION outbox.log_fdw_handler() FROM PUBLIC;
CREATE FOREIGN DATA WRAPPER outbox_log HANDLER outbox.log_fdw_handler NO VALIDATOR;
CREATE SERVER outbox_log FOREIGN DATA WRAPPER outbox_log;

-- Events of the event log, as they are in Kafka but for what a registry adds.
-- Shows those of event types and captures that the current user owns; all, to
-- members of outbox_admin (src/eventlog/fdw.c).
CREATE FOREIGN TABLE outbox.logged_event (
	event_type text,
	topic text,
	key text,				-- of a key that is an Avro record, its bytes in hex
	id uuid,
	headers jsonb,
	partition integer,		-- null: chosen by key
	"timestamp" timestamptz,
	framed bytea,			-- format avro: as decode() takes it, with our schema id
	json text,				-- format json
	committed_at timestamptz,
	xid xid8,
	commit_lsn pg_lsn,		-- end of the commit record
	ordinal bigint			-- in the transaction
) SERVER outbox_log;

CREATE FUNCTION outbox.log_rows(
	OUT datid oid, OUT pid integer, OUT written_lsn pg_lsn,
	OUT restart_lsn pg_lsn, OUT scanned_lsn pg_lsn, OUT releasable_lsn pg_lsn,
	OUT blocks bigint, OUT events bigint, OUT bytes bigint,
	OUT left_out bigint, OUT dropped_blocks bigint, OUT holes bigint,
	OUT last_written_at timestamptz, OUT failing boolean, OUT last_error text,
	OUT last_error_at timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_log_rows';
REVOKE ALL ON FUNCTION outbox.log_rows() FROM PUBLIC;

-- Counters since the server started.
CREATE VIEW outbox.stat_log AS
	SELECT d.datname, r.*
	FROM outbox.log_rows() r
	LEFT JOIN pg_catalog.pg_database d ON d.oid = r.datid;
COMMENT ON VIEW outbox.stat_log IS
	'the writers of the event logs: one row per database';
COMMENT ON COLUMN outbox.stat_log.written_lsn IS
	'every commit up to here is in the log, on disk';
COMMENT ON COLUMN outbox.stat_log.bytes IS 'of records, before compression';
COMMENT ON COLUMN outbox.stat_log.left_out IS
	'events of types whose retention is 0';
COMMENT ON COLUMN outbox.stat_log.holes IS
	'times that WAL was gone before it was in the log';

-- What the log of this database holds.  Blocks go when all their events may, so
-- there can be older ones than a type''s retention says.
CREATE VIEW outbox.log_usage AS
	SELECT r.event_type, pg_catalog.sum(u.events)::bigint AS events,
		pg_catalog.sum(u.bytes)::bigint AS bytes,
		pg_catalog.min(l.first_commit) AS oldest,
		pg_catalog.max(l.last_commit) AS newest
	FROM outbox.log l
		CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(l.routes),
			pg_catalog.unnest(l.route_events), pg_catalog.unnest(l.route_bytes))
			u (route_id, events, bytes)
		JOIN outbox.route r ON r.id = u.route_id
	GROUP BY r.event_type;
COMMENT ON VIEW outbox.log_usage IS
	'events that the event log holds, by event type; bytes before compression';
GRANT EXECUTE ON FUNCTION outbox.log_rows() TO outbox_admin, outbox_monitor;
GRANT SELECT ON outbox.stat_log, outbox.log_usage TO outbox_admin, outbox_monitor;
GRANT SELECT ON outbox.logged_event TO outbox_admin;
