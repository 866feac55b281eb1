/*
 * The event log: what was published or is to be, in commit order.
 */

-- Blocks of consecutive committed messages (src/record/log_block.h).  Written by
-- the log writer alone (src/eventlog/writer.c).  Not dumped: what was published
-- elsewhere is no history of a restored copy.
--
-- Places are (commit end, messages of the transaction behind it): a block holds
-- all from (from_lsn, from_part) on up to (to_lsn, to_part).  Where a block's
-- from is not the last one's to, something is missing: it was never logged.
CREATE TABLE outbox.log (
	id bigint PRIMARY KEY,			-- without holes, but at the old end
	from_lsn pg_lsn NOT NULL,
	from_part bigint NOT NULL,
	to_lsn pg_lsn NOT NULL,
	to_part bigint NOT NULL,
	restart_lsn pg_lsn NOT NULL,	-- where WAL has to be read from to go on
	commit_lsn pg_lsn,				-- start of the last commit record <= to_lsn
	commit_crc bigint,				-- and its xl_crc; null: none seen
	first_commit timestamptz,		-- of its messages; null: has none
	last_commit timestamptz,
	transactions integer NOT NULL,	-- that end in it
	events integer NOT NULL,
	left_out integer NOT NULL,		-- messages of types that are not logged
	raw_bytes integer NOT NULL,		-- of body, before compression
	routes integer[] NOT NULL,		-- of its events, each once
	route_events integer[] NOT NULL,	-- and how many of each
	expires_at timestamptz,			-- no event in it is to be kept after; null: none
	written_at timestamptz NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX log_last_commit_idx ON outbox.log (last_commit);
CREATE INDEX log_to_lsn_idx ON outbox.log (to_lsn);
ALTER TABLE outbox.log ALTER body SET STORAGE EXTENDED;
DO $$
BEGIN
	ALTER TABLE outbox.log ALTER body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
	NULL;	-- this server was built without it
END
$$;
