/*
 * Dead letters: events that were refused for good (reason), and those that
 * follow one of the same topic and key (blocked_by), in the order in which they
 * were committed.
 */
CREATE FUNCTION outbox.header_block_json(block bytea) RETURNS jsonb
	LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_header_block_json';
REVOKE ALL ON FUNCTION outbox.header_block_json(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.header_block_json(bytea) TO outbox_admin;

CREATE VIEW outbox.dead_letter AS
	SELECT p.id,
		CASE WHEN p.discarded_at IS NOT NULL THEN 'discarded'
			WHEN p.published_at IS NOT NULL THEN 'published'
			WHEN p.retry_lsn IS NOT NULL THEN 'retrying'
			ELSE 'parked'
		END AS state,
		r.event_type, p.event_id, p.topic,
		CASE WHEN p.key_schema_id IS NULL
			THEN pg_catalog.convert_from(p.key, 'UTF8')
			ELSE outbox.avro_decode(k.definition, p.key)::text
		END AS key,
		p.partition, outbox.header_block_json(p.headers) AS headers,
		p.schema_id, p.value, p.reason, p.code, p.blocked_by,
		p.commit_lsn, p.ordinal, p.commit_time, p."timestamp", p.parked_at,
		p.retries, p.published_at,
		p.discarded_at, p.discarded_by, p.discard_reason
	FROM outbox.parked_event p
		JOIN outbox.route r ON r.id = p.route_id
		LEFT JOIN outbox.schema k ON k.id = p.key_schema_id;
GRANT SELECT ON outbox.dead_letter TO outbox_admin;
COMMENT ON VIEW outbox.dead_letter IS
	'events that could not be published, and those that follow one of the same topic and key';
COMMENT ON COLUMN outbox.dead_letter.state IS
	'parked; retrying: being sent again; published, after a retry; discarded';
COMMENT ON COLUMN outbox.dead_letter.value IS
	'Avro without any frame, or JSON text in UTF-8; null: a tombstone';
COMMENT ON COLUMN outbox.dead_letter.blocked_by IS
	'id of the dead letter that it follows; null: refused itself, see reason';
COMMENT ON COLUMN outbox.dead_letter.retries IS
	'how often a retry of it was refused';

-- Errors unless this one is parked.
CREATE FUNCTION outbox.check_parked(id bigint) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state text := (SELECT d.state FROM outbox.dead_letter d WHERE d.id = check_parked.id);
BEGIN
	IF state IS NULL OR state IN ('discarded', 'published') THEN
		RAISE undefined_object USING
			MESSAGE = format('there is no dead letter %s', coalesce(check_parked.id::text, 'without an id')),
			HINT = 'See outbox.dead_letter; one that was published or discarded stays so.';
	ELSIF state = 'retrying' THEN
		RAISE object_in_use USING
			MESSAGE = format('dead letter %s is being sent again', check_parked.id),
			HINT = 'See what becomes of it in outbox.dead_letter.';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION outbox.check_parked(bigint) FROM PUBLIC;

-- Give an event up.  The row stays, as a record; its key is free again when no
-- other event of it is parked.
CREATE FUNCTION outbox.discard_dead_letter(id bigint, reason text) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(discard_dead_letter.reason, '') = '' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'a reason must be given',
			HINT = 'It is kept with the event in outbox.dead_letter.';
	END IF;
	UPDATE outbox.parked_event p SET discarded_at = now(),
		discarded_by = session_user,
		discard_reason = discard_dead_letter.reason,
		lane = NULL
	WHERE p.id = discard_dead_letter.id AND p.discarded_at IS NULL
		AND p.retry_lsn IS NULL;
	IF NOT FOUND THEN
		PERFORM outbox.check_parked(discard_dead_letter.id);
		RAISE object_in_use USING
			MESSAGE = format('dead letter %s was changed meanwhile', discard_dead_letter.id);
	END IF;
END
$$;
REVOKE ALL ON FUNCTION outbox.discard_dead_letter(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.discard_dead_letter(bigint, text) TO outbox_admin;
COMMENT ON FUNCTION outbox.discard_dead_letter(bigint, text) IS
	'give a dead letter up; it is kept, with the reason, and holds its key no longer';

-- Sending again -----------------------------------------------------------------
-- A marker in this transaction's stream, at which the relay sends them: a topic
-- and key (or partition), up to a place; or ids that have no order.
CREATE FUNCTION outbox.write_retry(topic text, key bytea, partition integer,
	last_lsn pg_lsn, last_ordinal bigint, ids bigint[]) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_write_retry';
REVOKE ALL ON FUNCTION outbox.write_retry(text, bytea, integer, pg_lsn, bigint, bigint[]) FROM PUBLIC;

-- All that is parked of the lanes of these, and the orderless among them; how many
-- that is.  A marker names so much as fits into one Kafka transaction; the last
-- one of a lane also covers what is parked meanwhile.
CREATE FUNCTION outbox.retry_parked(seeds bigint[]) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rows_per_marker CONSTANT integer := 1000;
	bytes_per_marker CONSTANT integer := 4194304;
	total bigint := 0;
	l record;
	c record;
BEGIN
	FOR l IN
		SELECT p.lane, p.topic, p.key, CASE WHEN p.key IS NULL THEN p.partition END AS partition
		FROM outbox.parked_event p
		WHERE p.id = ANY (seeds) AND p.lane IS NOT NULL
		GROUP BY 1, 2, 3, 4
		ORDER BY min(p.commit_lsn), min(p.id)
	LOOP
		FOR c IN
			SELECT max(w.commit_lsn) AS lsn, (array_agg(w.ordinal ORDER BY w.commit_lsn DESC, w.ordinal DESC))[1] AS ordinal,
				count(*) AS n, w.part = max(w.part) OVER () AS is_last
			FROM (SELECT p.commit_lsn, p.ordinal,
					(row_number() OVER o - 1) / rows_per_marker
					+ coalesce(sum(octet_length(p.value)) OVER o, 0) / bytes_per_marker AS part
				FROM outbox.parked_event p
				WHERE p.lane = l.lane AND p.topic = l.topic
					AND p.key IS NOT DISTINCT FROM l.key
					AND (p.key IS NOT NULL OR p.partition = l.partition)
					AND p.discarded_at IS NULL AND p.retry_lsn IS NULL
				WINDOW o AS (ORDER BY p.commit_lsn, p.ordinal)) w
			GROUP BY w.part ORDER BY w.part
		LOOP
			total := total + c.n;
			PERFORM outbox.write_retry(l.topic, l.key, l.partition,
				CASE WHEN NOT c.is_last THEN c.lsn END,
				CASE WHEN NOT c.is_last THEN c.ordinal END, NULL);
		END LOOP;
	END LOOP;
	FOR c IN
		SELECT array_agg(w.id ORDER BY w.id) AS ids, count(*) AS n
		FROM (SELECT p.id,
				(row_number() OVER o - 1) / rows_per_marker
				+ coalesce(sum(octet_length(p.value)) OVER o, 0) / bytes_per_marker AS part
			FROM outbox.parked_event p
			WHERE p.id = ANY (seeds) AND p.lane IS NULL
				AND p.discarded_at IS NULL AND p.retry_lsn IS NULL
			WINDOW o AS (ORDER BY p.id)) w
		GROUP BY w.part ORDER BY w.part
	LOOP
		total := total + c.n;
		PERFORM outbox.write_retry(NULL, NULL, NULL, NULL, NULL, c.ids);
	END LOOP;
	RETURN total;
END
$$;
REVOKE ALL ON FUNCTION outbox.retry_parked(bigint[]) FROM PUBLIC;

CREATE FUNCTION outbox.retry_dead_letter(id bigint) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM outbox.check_parked(retry_dead_letter.id);
	RETURN outbox.retry_parked(ARRAY[retry_dead_letter.id]);
END
$$;
REVOKE ALL ON FUNCTION outbox.retry_dead_letter(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.retry_dead_letter(bigint) TO outbox_admin;
COMMENT ON FUNCTION outbox.retry_dead_letter(bigint) IS
	'publish a dead letter, with all that is parked of its topic and key, in order';

CREATE FUNCTION outbox.retry_dead_letter(topic text, key text) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	seeds bigint[] := ARRAY(SELECT d.id FROM outbox.dead_letter d
		WHERE d.state = 'parked' AND d.topic = retry_dead_letter.topic
			AND d.key IS NOT DISTINCT FROM retry_dead_letter.key);
BEGIN
	IF seeds = '{}' THEN
		RAISE undefined_object USING
			MESSAGE = format('nothing is parked of topic "%s" and %s', retry_dead_letter.topic,
				coalesce('key "' || retry_dead_letter.key || '"', 'no key')),
			HINT = 'See outbox.dead_letter.';
	END IF;
	RETURN outbox.retry_parked(seeds);
END
$$;
REVOKE ALL ON FUNCTION outbox.retry_dead_letter(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.retry_dead_letter(text, text) TO outbox_admin;
COMMENT ON FUNCTION outbox.retry_dead_letter(text, text) IS
	'publish all dead letters of a topic and key, in order; key null: those without a key';

-- No error when there are none.
CREATE FUNCTION outbox.retry_dead_letters(topic text DEFAULT NULL) RETURNS bigint
	LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT outbox.retry_parked(ARRAY(SELECT p.id FROM outbox.parked_event p
		WHERE p.discarded_at IS NULL AND p.retry_lsn IS NULL
			AND (p.topic = retry_dead_letters.topic OR retry_dead_letters.topic IS NULL)));
END;
REVOKE ALL ON FUNCTION outbox.retry_dead_letters(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.retry_dead_letters(text) TO outbox_admin;
COMMENT ON FUNCTION outbox.retry_dead_letters(text) IS
	'publish all dead letters, or all of a topic, each key in its order';

-- What was published or discarded before that time is forgotten.  The newest of
-- all stays: it tells a failover that lost a row from one that did not.
CREATE FUNCTION outbox.purge_dead_letters(before timestamptz) RETURNS bigint
	LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH gone AS (
		DELETE FROM outbox.parked_event p
		WHERE (p.discarded_at < before OR p.published_at < before)
			AND p.id NOT IN (
				(SELECT q.id FROM outbox.parked_event q ORDER BY q.commit_lsn DESC, q.ordinal DESC LIMIT 1)
				UNION ALL
				(SELECT q.id FROM outbox.parked_event q WHERE q.retry_lsn IS NOT NULL
				 ORDER BY q.retry_lsn DESC, q.retry_ordinal DESC LIMIT 1))
		RETURNING 1)
	SELECT count(*) FROM gone;
END;
REVOKE ALL ON FUNCTION outbox.purge_dead_letters(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.purge_dead_letters(timestamptz) TO outbox_admin;
COMMENT ON FUNCTION outbox.purge_dead_letters(timestamptz) IS
	'forget the dead letters that were published or discarded before that time; how many';
