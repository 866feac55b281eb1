/*
 * Latency: from a transaction's commit to its events being in Kafka.
 */

CREATE FUNCTION outbox.latency_rows(
	OUT datid oid, OUT transactions bigint, OUT mean_ms double precision,
	OUT p50_ms double precision, OUT p95_ms double precision,
	OUT p99_ms double precision, OUT stats_reset timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_latency_rows';
REVOKE ALL ON FUNCTION outbox.latency_rows() FROM PUBLIC;

CREATE FUNCTION outbox.latency_bucket_rows(
	OUT datid oid, OUT le double precision, OUT transactions bigint,
	OUT sum double precision)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_latency_bucket_rows';
REVOKE ALL ON FUNCTION outbox.latency_bucket_rows() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.latency_rows(), outbox.latency_bucket_rows()
	TO outbox_admin, outbox_monitor;

-- Null where nothing was published yet.
CREATE VIEW outbox.stat_latency AS
	SELECT d.datname, l.*
	FROM outbox.latency_rows() l
	LEFT JOIN pg_catalog.pg_database d ON d.oid = l.datid;
COMMENT ON VIEW outbox.stat_latency IS
	'how long commits take to be published, in ms, since the server started or outbox.reset_latency()';

-- Seconds: what took no longer than le, and the sum of all.
CREATE VIEW outbox.stat_latency_bucket AS
	SELECT d.datname, b.*
	FROM outbox.latency_bucket_rows() b
	LEFT JOIN pg_catalog.pg_database d ON d.oid = b.datid;
COMMENT ON VIEW outbox.stat_latency_bucket IS
	'the histogram behind outbox.stat_latency, in seconds, counted up to each bound';

CREATE FUNCTION outbox.reset_latency() RETURNS void
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_reset_latency';
REVOKE ALL ON FUNCTION outbox.reset_latency() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.reset_latency() TO outbox_admin;
GRANT SELECT ON outbox.stat_latency, outbox.stat_latency_bucket
	TO outbox_admin, outbox_monitor;
COMMENT ON FUNCTION outbox.reset_latency() IS
	'let the latencies of this database be counted anew';
