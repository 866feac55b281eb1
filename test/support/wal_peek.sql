-- For regression tests: what the events in WAL say, through pg_walinspect.
--
--	SELECT pg_current_wal_insert_lsn() AS start \gset
--	... emit ...
--	SELECT * FROM wal_peek(:'start');
--
-- Parses the layout of src/record/wal_message.h, version 1.  Shows every
-- message with our prefix, also of transactions that were rolled back.
CREATE EXTENSION pg_walinspect;

-- Bytes at offset, little-endian.
CREATE FUNCTION peek_int(record bytea, at int, width int) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
	SELECT sum(get_byte(record, at + i)::bigint << (8 * i))::bigint
	FROM generate_series(0, width - 1) i
$$;

-- The n-th (from 0) length-prefixed field behind offset "at".
CREATE FUNCTION peek_field(record bytea, at int, n int) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	len bigint;
BEGIN
	LOOP
		len := peek_int(record, at, 4);
		IF n = 0 THEN
			RETURN CASE WHEN len = 4294967295 THEN NULL
				ELSE substr(record, at + 5, len::int) END;
		END IF;
		at := at + 4 + CASE WHEN len = 4294967295 THEN 0 ELSE len::int END;
		n := n - 1;
	END LOOP;
END
$$;

CREATE FUNCTION peek_headers(block bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	at int := 2;
	len bigint;
	name text;
	result text[] := '{}';
BEGIN
	IF block IS NULL THEN RETURN NULL; END IF;
	FOR i IN 1 .. peek_int(block, 0, 2) LOOP
		len := peek_int(block, at, 2);
		name := convert_from(substr(block, at + 3, len::int), 'UTF8');
		at := at + 2 + len::int;
		len := peek_int(block, at, 4);
		IF len = 4294967295 THEN
			result := result || (name || ' null');
			len := 0;
		ELSE
			result := result || (name || '=' || convert_from(substr(block, at + 5, len::int), 'UTF8'));
		END IF;
		at := at + 4 + len::int;
	END LOOP;
	RETURN array_to_string(result, ' | ');
END
$$;

-- The records since start, as they are.
CREATE FUNCTION wal_records(start pg_lsn) RETURNS SETOF bytea
LANGUAGE plpgsql AS $$
BEGIN
	-- What was rolled back may not be flushed yet; this does.
	PERFORM pg_switch_wal();
	RETURN QUERY
		SELECT decode(replace(substring(i.description FROM 'bytes\): (.*)$'), ' ', ''), 'hex')
		FROM pg_get_wal_records_info(start, pg_current_wal_flush_lsn()) i
		WHERE i.resource_manager = 'LogicalMessage'
			AND i.description LIKE 'transactional, prefix "outbox"%'
		ORDER BY i.start_lsn;
END
$$;

CREATE FUNCTION wal_peek(start pg_lsn, OUT ordinal bigint, OUT route bigint,
	OUT schema bigint, OUT partition bigint, OUT "timestamp" bigint,
	OUT topic text, OUT key text, OUT headers text, OUT payload bytea,
	OUT id uuid)
RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	record bytea;
BEGIN
	FOR record IN SELECT * FROM wal_records(start) LOOP
		ordinal := peek_int(record, 8, 4);
		route := peek_int(record, 12, 4);
		schema := peek_int(record, 16, 4);
		id := encode(substr(record, 21, 16), 'hex')::uuid;
		partition := peek_int(record, 36, 4);
		IF partition = 4294967295 THEN partition := -1; END IF;
		"timestamp" := peek_int(record, 40, 8);
		topic := convert_from(peek_field(record, 48, 0), 'UTF8');
		key := convert_from(peek_field(record, 48, 1), 'UTF8');
		headers := peek_headers(peek_field(record, 48, 2));
		payload := peek_field(record, 48, 3);
		RETURN NEXT;
	END LOOP;
END
$$;
