/*
 * The extension's tables.  Nobody but the owner may read or write them; views
 * and functions of the other rooms are the way in.
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
	created_at timestamptz NOT NULL DEFAULT now()
);

-- Keys of the MAC in our WAL messages.  Not dumped, replicated physically.
CREATE TABLE outbox.secret (
	key_id integer PRIMARY KEY,
	key bytea NOT NULL CHECK (octet_length(key) = 16),
	created_at timestamptz NOT NULL DEFAULT now()
);

-- Every schema text ever used.  The id is what consumers find in the value.
CREATE TABLE outbox.schema (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	definition text NOT NULL,
	fingerprint bytea NOT NULL UNIQUE,	-- SHA-256 of definition
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by name NOT NULL DEFAULT current_user
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
	created_by name NOT NULL DEFAULT current_user
);

CREATE TABLE outbox.event_type_def (
	id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	route_id integer NOT NULL REFERENCES outbox.route,
	schema_id integer REFERENCES outbox.schema,	-- null: format json, no schema
	row_type regtype,				-- null: schema given as text
	key_field text,					-- payload field that is the default key
	owner regrole NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outbox.event_type_grant (
	event_type_id integer NOT NULL REFERENCES outbox.event_type_def ON DELETE CASCADE,
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
ALTER TABLE outbox.secret ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.event_type_def ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.event_type_grant ENABLE ALWAYS TRIGGER invalidate_caches;
ALTER TABLE outbox.attached_table ENABLE ALWAYS TRIGGER invalidate_caches;

-- Event types survive dump and restore with their ids; instance and secret do
-- not: a restored copy is another instance.
SELECT pg_catalog.pg_extension_config_dump('outbox.schema', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.schema_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.route', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.route_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.event_type_def', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.event_type_def_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.event_type_grant', '');
SELECT pg_catalog.pg_extension_config_dump('outbox.attached_table', '');
