/*
 * Whoever else may create in the schema could have put functions there that are
 * taken for ours, or drop the schema.
 */
DO $$
BEGIN
	IF EXISTS (
		SELECT FROM pg_catalog.pg_namespace n, LATERAL (
				SELECT n.nspowner UNION ALL
				SELECT a.grantee FROM pg_catalog.aclexplode(n.nspacl) a
				WHERE a.privilege_type = 'CREATE' UNION ALL
				SELECT p.proowner FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid UNION ALL
				SELECT o.oprowner FROM pg_catalog.pg_operator o WHERE o.oprnamespace = n.oid) w (role)
			LEFT JOIN pg_catalog.pg_roles r ON r.oid = w.role
		WHERE n.nspname = 'outbox' AND r.rolsuper IS NOT TRUE)
	THEN
		RAISE insufficient_privilege USING
			MESSAGE = 'schema "outbox" is not the superusers'' alone',
			DETAIL = 'Somebody else owns it, may create in it, or has functions in it.',
			HINT = 'Rename or drop it, or have a superuser own it and what is in it, and revoke CREATE.';
	END IF;
END
$$;

/*
 * The extension's tables.  Nobody but the owner may read or write them; views
 * and functions of the other rooms are the way in, and see to it that what a
 * row refers to is there: foreign keys would make pg_restore --jobs fail, which
 * loads the tables in any order.
 */

-- One row: who this installation is.  Not dumped: a restored copy is another.
CREATE TABLE outbox.instance (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	instance_id uuid NOT NULL,
	database_oid oid NOT NULL,
	paused boolean NOT NULL DEFAULT false,
	floor_lsn pg_lsn,
	adopt_pending boolean NOT NULL DEFAULT false,	-- outbox.adopt(), not yet done
	adopt_reason text,
	adopted_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	log_from pg_lsn		-- commits after it are decoded; null: scanned
);

-- One row: in whose WAL the events are, and whether all that the server before
-- pg_upgrade had was published; see src/catalog/server.c.  Not dumped.
CREATE TABLE outbox.server (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	system_id bigint NOT NULL,		-- pg_control_system()'s
	closed_lsn pg_lsn,				-- position when all was published ...
	closed_writes bigint,			-- ... and server_writes then
	former_system bigint,			-- before pg_upgrade; null: settled, or none
	former_closed boolean,
	begins_at pg_lsn				-- after pg_upgrade events come behind it
);

-- Counted up by the first event of a server's life.
CREATE SEQUENCE outbox.server_writes AS bigint;

-- Keys of the MAC in our WAL messages.  Not dumped, replicated physically.
CREATE TABLE outbox.secret (
	key_id integer PRIMARY KEY,
	key bytea NOT NULL CHECK (octet_length(key) = 16),
	created_at timestamptz NOT NULL DEFAULT now()
);

-- Ids of schemas.  Not dumped, and begun at a random place for each identity
-- (new_identity), so that databases on one Kafka cluster do not give the same
-- id to different schemas; see docs/schemas.md.
CREATE SEQUENCE outbox.schema_id_seq AS integer CYCLE;

-- Every schema text ever used.  The id is what consumers find in the value.
-- Never changed, never deleted: an id means one schema for ever.
CREATE TABLE outbox.schema (
	id integer PRIMARY KEY DEFAULT pg_catalog.nextval('outbox.schema_id_seq')
		CHECK (id > 0),
	definition text NOT NULL,			-- in avro's one rendering
	fingerprint bytea NOT NULL UNIQUE,	-- SHA-256 of definition, then of refs
	refs jsonb,							-- [{name, subject, version}], null: none
	resolved text,						-- definition without refs; null: itself
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by name NOT NULL DEFAULT current_user,
	CHECK ((refs IS NULL) = (resolved IS NULL))
);
CREATE INDEX schema_refs_idx ON outbox.schema USING gin (refs jsonb_path_ops)
	WHERE refs IS NOT NULL;

-- What evolves: a line of schema versions under one compatibility level.
CREATE TABLE outbox.subject (
	name text COLLATE "C" PRIMARY KEY CHECK (name <> ''),
	compatibility text CHECK (compatibility IN ('NONE', 'BACKWARD',
		'BACKWARD_TRANSITIVE', 'FORWARD', 'FORWARD_TRANSITIVE', 'FULL',
		'FULL_TRANSITIVE')),			-- null: the default
	mode text CHECK (mode IN ('READWRITE', 'READONLY', 'READONLY_OVERRIDE',
		'IMPORT')),						-- null: the default
	last_version integer NOT NULL DEFAULT 0,	-- highest ever given
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by name NOT NULL DEFAULT current_user
);

-- What holds for subjects that say nothing; without a row here, the setting
-- outbox.compatibility and mode READWRITE.
CREATE TABLE outbox.subject_default (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	compatibility text CHECK (compatibility IN ('NONE', 'BACKWARD',
		'BACKWARD_TRANSITIVE', 'FORWARD', 'FORWARD_TRANSITIVE', 'FULL',
		'FULL_TRANSITIVE')),
	mode text CHECK (mode IN ('READWRITE', 'READONLY', 'READONLY_OVERRIDE',
		'IMPORT'))
);

-- A number is never given twice within a subject, also not after a delete.
CREATE TABLE outbox.schema_version (
	subject text COLLATE "C" NOT NULL,
	version integer NOT NULL CHECK (version > 0),
	schema_id integer NOT NULL,
	deleted boolean NOT NULL DEFAULT false,		-- softly
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by name NOT NULL DEFAULT current_user,
	statement text,						-- the SQL that made it, null: unknown
	PRIMARY KEY (subject, version)
);
CREATE INDEX schema_version_schema_id_idx ON outbox.schema_version (schema_id);

-- Ids that an external registry gave to our schemas; kept for ever.
CREATE TABLE outbox.registry_id (
	registry text COLLATE "C" NOT NULL,
	subject text COLLATE "C" NOT NULL,
	schema_id integer NOT NULL,
	external_id integer NOT NULL,
	registered_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (registry, subject, schema_id)
);

-- Where events go.  Immutable: a change of an event type adds a row, so what
-- is already in WAL keeps its meaning.  Never deleted.
CREATE TABLE outbox.route (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	event_type text NOT NULL,
	topic text NOT NULL,
	format text NOT NULL CHECK (format IN ('avro', 'json')),
	on_error text NOT NULL CHECK (on_error IN ('block', 'dead_letter')),
	partitions integer CHECK (partitions > 0),
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by name NOT NULL DEFAULT current_user,
	subject_name_strategy text NOT NULL CHECK (subject_name_strategy IN
		('TopicName', 'RecordName', 'TopicRecordName')),
	subject text COLLATE "C",	-- null: format json
	-- of captured tables:
	envelope text CHECK (envelope IN ('debezium', 'flat')), -- null: an event type's
	collection text,			-- schema.table; null: no transaction metadata
	key_subject text COLLATE "C",	-- null: keys are no Avro records
	transaction_topic text,		-- null: no records about transactions
	-- of all:
	retention interval CHECK (retention >= '0')	-- in the event log; 0: not
										-- logged; null: outbox.log_retention
);

-- The event log: blocks of consecutive committed messages, in commit order
-- (src/record/log_block.h).  Written by src/eventlog/writer.c alone.  Not dumped:
-- what was published elsewhere is no history of a restored copy.
--
-- Places are (commit end, messages of the transaction behind it): a block holds
-- all from (from_lsn, from_part) on up to (to_lsn, to_part).  Where a block's
-- from is not the last one's to, something is missing: it was never logged.
CREATE TABLE outbox.log (
	id bigint PRIMARY KEY,			-- rising
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
	left_out bigint NOT NULL,		-- messages of types that are not logged
	raw_bytes integer NOT NULL,		-- of body, before compression
	routes integer[] NOT NULL,		-- of its events, each once,
	route_events integer[] NOT NULL,	-- how many of each,
	route_bytes integer[] NOT NULL,	-- and the bytes of their records
	expires_at timestamptz NOT NULL,	-- no event in it is to be kept after
	written_at timestamptz NOT NULL,
	body bytea NOT NULL
);
CREATE INDEX log_last_commit_idx ON outbox.log (last_commit);
CREATE INDEX log_to_lsn_idx ON outbox.log (to_lsn);
CREATE INDEX log_expires_at_idx ON outbox.log (expires_at);
DO $$
BEGIN
	ALTER TABLE outbox.log ALTER body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
	NULL;	-- this server was built without it
END
$$;

-- How far events of a route were dropped from the event log by retention.
CREATE TABLE outbox.log_dropped (
	route_id integer PRIMARY KEY,
	to_lsn pg_lsn NOT NULL,
	last_commit timestamptz NOT NULL
);

-- Commits whose events may be lost: given up by adopt() or recover().
CREATE TABLE outbox.gap (
	from_lsn pg_lsn NOT NULL,		-- commits in (from_lsn, to_lsn]
	to_lsn pg_lsn NOT NULL,
	noted_at timestamptz NOT NULL,
	PRIMARY KEY (from_lsn, to_lsn, noted_at)
);

-- Events that broker or schema registry refused for good, and those that follow
-- one; see src/relay/parking.c.  Not dumped: a restored copy is another
-- instance, and the events are this one's.
CREATE SEQUENCE outbox.parked_event_id_seq;
CREATE TABLE outbox.parked_event (
	id bigint PRIMARY KEY DEFAULT pg_catalog.nextval('outbox.parked_event_id_seq'),
	commit_lsn pg_lsn NOT NULL,		-- end of the commit record
	ordinal bigint NOT NULL,		-- in the transaction
	commit_time timestamptz NOT NULL,
	route_id integer NOT NULL REFERENCES outbox.route,
	schema_id integer,				-- null: none
	event_id uuid NOT NULL,
	topic text COLLATE "C" NOT NULL,
	partition integer,				-- null: by key
	"timestamp" timestamptz,		-- null: commit_time
	key bytea,						-- UTF-8, or Avro: key_schema_id
	headers bytea,					-- header block of record/wal_message.h
	value bytea,					-- without any frame
	lane bigint,					-- hash of topic and key, null: no order, or done with
	blocked_by bigint,				-- null: refused itself
	reason text,
	code integer,
	parked_at timestamptz NOT NULL,
	discarded_at timestamptz,
	discarded_by name,
	discard_reason text,
	key_schema_id integer,			-- null: the key is text
	retry_lsn pg_lsn,				-- the place in the stream that it is sent
	retry_ordinal bigint,			--	again at, null: none
	refused_lsn pg_lsn,				-- the commit of the retry that failed last
	retries integer NOT NULL DEFAULT 0,		-- that failed
	published_at timestamptz,		-- null: not, or Kafka has not said so yet
	copy_reduced boolean NOT NULL DEFAULT false,	-- the whole copy was refused
	UNIQUE (commit_lsn, ordinal)
);
CREATE INDEX parked_event_lane_idx ON outbox.parked_event (lane, id);
CREATE INDEX parked_event_retry_idx ON outbox.parked_event (retry_lsn, retry_ordinal);
CREATE INDEX parked_event_unconfirmed_idx ON outbox.parked_event (published_at, retry_lsn);

-- Snapshots and replays that were asked for; see src/jobs/.  Not dumped: a restored copy is another instance.
CREATE TABLE outbox.snapshot_job (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	token bigint NOT NULL UNIQUE,	-- what Kafka knows the job by
	relation regclass,				-- null: a replay, see replay_job
	row_filter text,				-- null: all rows
	chunk_rows integer NOT NULL CHECK (chunk_rows BETWEEN 1 AND 1000000),
	rate_limit integer CHECK (rate_limit > 0),	-- rows/s, null: none
	wanted text NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause', 'cancel')),
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by name NOT NULL DEFAULT current_user,
	topic text COLLATE "C"			-- rebuild_topic(): of which; else null
);

-- What a replay publishes again.  Never changed.
CREATE TABLE outbox.replay_job (
	job_id bigint PRIMARY KEY,
	from_time timestamptz NOT NULL,	-- of the commits, inclusive
	to_time timestamptz NOT NULL,
	types text[],					-- null: all
	key text,						-- null: any
	topic text COLLATE "C"			-- null: where each was published
);

-- How far they are, written by the relay alone, a little behind Kafka.
CREATE TABLE outbox.snapshot_progress (
	job_id bigint PRIMARY KEY,
	state text NOT NULL,
	reason text,
	"rows" bigint NOT NULL,			-- published
	superseded bigint NOT NULL,		-- left out for a newer change of the row
	reread bigint NOT NULL,			-- chunks that had to be read again
	estimated bigint,				-- rows in all, as the planner knows it
	rows_per_second double precision,
	started_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	finished_at timestamptz,		-- null: not yet
	removed bigint NOT NULL,		-- tombstones of keys that were gone
	pass bigint						-- of a table without a key; null: it has one
);

CREATE TABLE outbox.event_type_def (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	route_id integer NOT NULL,
	schema_id integer,	-- null: format json, no schema
	row_type regtype,				-- null: schema given as text
	key_field text,					-- payload field that is the default key
	owner regrole NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outbox.event_type_grant (
	event_type_id integer NOT NULL,
	grantee regrole NOT NULL,
	PRIMARY KEY (event_type_id, grantee)
);

-- Tables of the application whose inserted rows are events.  Column names are
-- resolved when a row comes, so that renaming a column is an error then.
CREATE TABLE outbox.attached_table (
	relation regclass PRIMARY KEY,
	columns jsonb NOT NULL,			-- role of a column -> its name
	headers text[] NOT NULL,		-- column or column:header
	attached_at timestamptz NOT NULL DEFAULT now()
);

-- Tables whose changes are published.  Read by triggers, and by the decoder as of
-- the change: hence user_catalog_table.  What a row leads to (route, schema) is
-- immutable and needs no such thing.
CREATE TABLE outbox.capture_def (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	relation regclass NOT NULL UNIQUE,
	mode text NOT NULL CHECK (mode IN ('trigger', 'log')),
	envelope text NOT NULL CHECK (envelope IN ('debezium', 'flat')),
	route_id integer NOT NULL,
	schema_id integer,				-- null: format json
	key_schema_id integer,			-- null: the key is no Avro record
	key_format text NOT NULL CHECK (key_format IN ('plain', 'record', 'none')),
	key_columns text[],				-- null: primary key, else replica identity
	columns text[],					-- null: all
	row_filter text,				-- null: none
	masks jsonb,					-- null: none; src/rowcodec/mask.c
	special text NOT NULL DEFAULT 'null'
		CHECK (special IN ('error', 'null', 'text')),
	tombstones boolean NOT NULL DEFAULT true,
	toast text CHECK (toast IN ('full', 'omit', 'fetch')),	-- null: mode trigger
	as_root boolean NOT NULL DEFAULT false,	-- stands for its partitions
	rls_ok boolean NOT NULL DEFAULT false,
	transaction_metadata boolean NOT NULL DEFAULT false,
	owner regrole NOT NULL,
	active_from pg_lsn,				-- mode log: from here on; null: not yet
	created_at timestamptz NOT NULL DEFAULT now()
) WITH (user_catalog_table = true);

-- Where captures begin; see src/capture/capture_place.c.  Not dumped: a restored copy has other LSNs.
CREATE TABLE outbox.capture_from (
	capture_id integer PRIMARY KEY,
	since pg_lsn NOT NULL,			-- in front of all that the capture sees
	from_lsn pg_lsn					-- commits up to here are left out; null: none
);

-- What hashed columns are hashed with.  Not dumped: a copy hashes differently.
CREATE TABLE outbox.capture_salt (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	salt bytea NOT NULL CHECK (octet_length(salt) = 32)
);
INSERT INTO outbox.capture_salt (salt)
	VALUES (pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
		OPERATOR(pg_catalog.||) pg_catalog.uuid_send(pg_catalog.gen_random_uuid()));

-- A changed table is announced to every backend's caches at commit.
CREATE FUNCTION outbox.invalidate_caches() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'outbox_invalidate_caches';
REVOKE ALL ON FUNCTION outbox.invalidate_caches() FROM PUBLIC;

CREATE TRIGGER invalidate_caches
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outbox.secret
	FOR EACH STATEMENT EXECUTE FUNCTION outbox.invalidate_caches();
CREATE TRIGGER invalidate_caches
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outbox.event_type_def
	FOR EACH STATEMENT EXECUTE FUNCTION outbox.invalidate_caches();
CREATE TRIGGER invalidate_caches
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outbox.event_type_grant
	FOR EACH STATEMENT EXECUTE FUNCTION outbox.invalidate_caches();
CREATE TRIGGER invalidate_caches
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outbox.attached_table
	FOR EACH STATEMENT EXECUTE FUNCTION outbox.invalidate_caches();
CREATE TRIGGER invalidate_caches
	AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outbox.capture_def
	FOR EACH STATEMENT EXECUTE FUNCTION outbox.invalidate_caches();
ALTER TABLE outbox.secret ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.event_type_def ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.event_type_grant ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.attached_table ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.capture_def ENABLE ALWAYS TRIGGER invalidate_caches;

-- And so is the captured table itself, where the decoder looks.
CREATE FUNCTION outbox.invalidate_captured() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'outbox_invalidate_captured';
REVOKE ALL ON FUNCTION outbox.invalidate_captured() FROM PUBLIC;
CREATE TRIGGER invalidate_captured
	AFTER INSERT OR UPDATE OR DELETE ON outbox.capture_def
	FOR EACH ROW EXECUTE FUNCTION outbox.invalidate_captured();
ALTER TABLE outbox.capture_def ENABLE ALWAYS TRIGGER invalidate_captured;

-- Event types and schemas survive dump and restore with their ids; instance
-- and secret do not: a restored copy is another instance, and gives new
-- schemas ids from a place of its own.
SELECT pg_catalog.pg_extension_config_dump('outbox.schema', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.subject', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.subject_default', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.schema_version', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.registry_id', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.route', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.route_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.event_type_def', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.event_type_def_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.event_type_grant', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.attached_table', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.capture_def', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.capture_def_id_seq', '');
