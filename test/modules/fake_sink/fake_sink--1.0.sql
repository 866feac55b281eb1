\echo Use "CREATE EXTENSION fake_sink" to load this file. \quit

-- Scan from restart, report what commits after position.  Runs until caught up
-- and, when follow_ms is given, for that long at least.  fail_at: the sink
-- raises an error at that message, counted from 1.  Contents come as they are
-- up to keep bytes, else as length and hash only.
CREATE FUNCTION fake_scan(restart pg_lsn, "position" pg_lsn,
	memory_kb int DEFAULT 65536, max_records int DEFAULT 1000,
	follow_ms int DEFAULT 0, fail_at bigint DEFAULT 0, keep int DEFAULT 100,
	prefix text DEFAULT 'outbox',
	OUT commit_end pg_lsn, OUT ordinal bigint, OUT xid xid, OUT lsn pg_lsn,
	OUT prepared bool, OUT len bigint, OUT hash bigint, OUT payload text)
RETURNS SETOF record LANGUAGE C STRICT AS 'MODULE_PATHNAME';

-- Every progress this session's last scan reported, in order; the last row is
-- the final one.
CREATE FUNCTION fake_progress(
	OUT n bigint, OUT scanned pg_lsn, OUT restart pg_lsn,
	OUT commit_start pg_lsn, OUT commit_crc bigint, OUT open_txns bigint,
	OUT memory bigint, OUT spilled bigint)
RETURNS SETOF record LANGUAGE C STRICT AS 'MODULE_PATHNAME';

-- Scan and throw away.  grown_kb: how much the process's private memory grew
-- above what it was before, at most; left_kb: and by how much when caught up.
CREATE FUNCTION fake_bench(restart pg_lsn, "position" pg_lsn, memory_kb int,
	OUT steps bigint, OUT txns bigint, OUT messages bigint, OUT bytes bigint,
	OUT peak_memory bigint, OUT spilled bigint, OUT ms float8,
	OUT grown_kb bigint, OUT left_kb bigint)
LANGUAGE C STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION fake_commit_crc(pg_lsn) RETURNS bigint
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_flushed(OUT lsn pg_lsn, OUT timeline int)
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_hash(bytea) RETURNS bigint
LANGUAGE C STRICT IMMUTABLE AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_descriptors() RETURNS int
LANGUAGE C STRICT AS 'MODULE_PATHNAME';

-- Checks of pending.c and merge.c in C; raises an error when one fails.
CREATE FUNCTION fake_pending_check() RETURNS int
LANGUAGE C STRICT AS 'MODULE_PATHNAME';

CREATE FUNCTION fake_slot_create(oid) RETURNS pg_lsn
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_slot_acquire(oid, OUT state text, OUT restart pg_lsn)
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_slot_advance(pg_lsn) RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_slot_release() RETURNS void
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_slot_drop(oid) RETURNS bool
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
CREATE FUNCTION fake_slot_databases(max int) RETURNS SETOF oid
LANGUAGE C STRICT AS 'MODULE_PATHNAME';
