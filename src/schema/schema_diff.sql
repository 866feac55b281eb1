/*
 * Differences between two versions of a subject, for people.  Works on the
 * stored texts, which are in one rendering, so that only what means something
 * differs.
 */

-- A type in few words: "int", "[null, bytes (decimal 10, 2)]", "record shop.Item".
CREATE FUNCTION outbox.schema_type_text(node jsonb, space text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := node->>'type';
	name text;
BEGIN
	IF jsonb_typeof(node) = 'array' THEN
		RETURN '[' || (SELECT string_agg(outbox.schema_type_text(b.branch, space), ', ' ORDER BY b.place)
			FROM jsonb_array_elements(node) WITH ORDINALITY b(branch, place)) || ']';
	ELSIF jsonb_typeof(node) = 'string' THEN
		name := node #>> '{}';
		IF space = '' OR position('.' IN name) > 0 OR name IN ('null', 'boolean', 'int',
			'long', 'float', 'double', 'bytes', 'string') THEN
			RETURN name;
		END IF;
		RETURN space || '.' || name;
	ELSIF kind IN ('record', 'enum', 'fixed') THEN
		space := coalesce(node->>'namespace', space);
		name := kind || ' ' || CASE space WHEN '' THEN '' ELSE space || '.' END || (node->>'name');
		IF kind = 'fixed' THEN
			name := name || format('(%s)', node->>'size');
		END IF;
	ELSIF kind = 'array' THEN
		name := 'array of ' || outbox.schema_type_text(node->'items', space);
	ELSIF kind = 'map' THEN
		name := 'map of ' || outbox.schema_type_text(node->'values', space);
	ELSE
		name := kind;
	END IF;
	IF node->>'logicalType' = 'decimal' THEN
		name := name || format(' (decimal %s, %s)', node->>'precision', coalesce(node->>'scale', '0'));
	ELSIF node ? 'logicalType' THEN
		name := name || format(' (%s)', node->>'logicalType');
	END IF;
	RETURN name;
END
$$;

-- Everything a schema says, one row for each attribute of each place.
CREATE FUNCTION outbox.schema_parts(node jsonb, place text, space text,
	OUT path text, OUT part text, OUT value text)
	RETURNS SETOF record
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	kind text := node->>'type';
	branch jsonb;
	field jsonb;
	below text;
BEGIN
	IF jsonb_typeof(node) = 'array' THEN
		FOR branch IN SELECT b FROM jsonb_array_elements(node) b LOOP
			below := place;
			IF jsonb_array_length(node - 'null') > 1 AND branch ? 'name' THEN
				below := format('%s(%s)', place, branch->>'name');
			END IF;
			RETURN QUERY SELECT * FROM outbox.schema_parts(branch, below, space);
		END LOOP;
		RETURN;
	ELSIF jsonb_typeof(node) <> 'object' THEN
		RETURN;
	END IF;
	path := place;
	FOR part, value IN SELECT a.key, a.value #>> '{}' FROM jsonb_each(node) a
		WHERE a.key NOT IN ('type', 'name', 'namespace', 'fields', 'items', 'values',
			'size', 'logicalType', 'precision', 'scale') LOOP
		part := CASE WHEN part IN ('doc', 'aliases', 'default') THEN kind || ' ' || part ELSE part END;
		RETURN NEXT;
	END LOOP;
	IF kind = 'array' THEN
		RETURN QUERY SELECT * FROM outbox.schema_parts(node->'items', place || '[]', space);
	ELSIF kind = 'map' THEN
		RETURN QUERY SELECT * FROM outbox.schema_parts(node->'values', place || '{}', space);
	ELSIF kind = 'record' THEN
		space := coalesce(node->>'namespace', space);
		FOR field IN SELECT f FROM jsonb_array_elements(node->'fields') f LOOP
			path := place || '.' || (field->>'name');
			part := 'field';
			value := outbox.schema_type_text(field->'type', space);
			RETURN NEXT;
			FOR part, value IN SELECT a.key, a.value::text FROM jsonb_each(field) a
				WHERE a.key NOT IN ('name', 'type') LOOP
				RETURN NEXT;
			END LOOP;
			RETURN QUERY SELECT * FROM outbox.schema_parts(field->'type', path, space);
		END LOOP;
	END IF;
END
$$;

CREATE FUNCTION outbox.schema_diff(subject text, v1 integer, v2 integer,
	OUT path text, OUT change text, OUT old text, OUT new text)
	RETURNS SETOF record
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	one jsonb;
	two jsonb;
BEGIN
	SELECT v.definition INTO one FROM outbox.schema_versions v
	WHERE v.subject = schema_diff.subject AND v.version = v1;
	SELECT v.definition INTO two FROM outbox.schema_versions v
	WHERE v.subject = schema_diff.subject AND v.version = v2;
	IF one IS NULL OR two IS NULL THEN
		RAISE EXCEPTION SQLSTATE 'OB402' USING
			MESSAGE = format('version %s of subject "%s" not found',
				CASE WHEN one IS NULL THEN v1 ELSE v2 END, schema_diff.subject);
	END IF;
	RETURN QUERY
	WITH a AS (
		SELECT p.path, p.part, p.value FROM outbox.schema_parts(one, '$', '') p
		UNION ALL SELECT '$', 'type', outbox.schema_type_text(one, '')
	), b AS (
		SELECT p.path, p.part, p.value FROM outbox.schema_parts(two, '$', '') p
		UNION ALL SELECT '$', 'type', outbox.schema_type_text(two, '')
	), gone AS (
		SELECT a.path, a.value FROM a WHERE a.part = 'field'
			AND a.path NOT IN (SELECT b.path FROM b WHERE b.part = 'field')
	), come AS (
		SELECT b.path, b.value, (
				SELECT g.path FROM gone g, b x, jsonb_array_elements_text(x.value::jsonb) alias
				WHERE x.path = b.path AND x.part = 'aliases'
					AND g.path = regexp_replace(b.path, '[^.]*$', '') || alias
				LIMIT 1) AS was
		FROM b WHERE b.part = 'field'
			AND b.path NOT IN (SELECT a.path FROM a WHERE a.part = 'field')
	), diff AS (
		SELECT c.path, CASE WHEN c.was IS NULL THEN 'added' ELSE 'renamed' END AS change,
			c.was AS old, CASE WHEN c.was IS NULL THEN c.value ELSE c.path END AS new
		FROM come c
		UNION ALL
		SELECT g.path, 'removed', g.value, NULL
		FROM gone g WHERE NOT EXISTS (SELECT FROM come c WHERE c.was = g.path)
		UNION ALL
		SELECT coalesce(b.path, a.path),
			CASE coalesce(b.part, a.part) WHEN 'field' THEN 'type' ELSE coalesce(b.part, a.part) END,
			a.value, b.value
		FROM a FULL JOIN b ON b.path = a.path AND b.part = a.part
		WHERE a.value IS DISTINCT FROM b.value
			AND NOT EXISTS (SELECT FROM gone g WHERE coalesce(b.path, a.path) = g.path
				OR starts_with(coalesce(b.path, a.path), g.path || '.')
				OR starts_with(coalesce(b.path, a.path), g.path || '[')
				OR starts_with(coalesce(b.path, a.path), g.path || '{'))
			AND NOT EXISTS (SELECT FROM come c WHERE coalesce(b.path, a.path) = c.path
				OR starts_with(coalesce(b.path, a.path), c.path || '.')
				OR starts_with(coalesce(b.path, a.path), c.path || '[')
				OR starts_with(coalesce(b.path, a.path), c.path || '{'))
	)
	SELECT d.path, d.change, d.old, d.new FROM diff d ORDER BY d.path COLLATE "C", d.change COLLATE "C";
END
$$;
COMMENT ON FUNCTION outbox.schema_diff(text, integer, integer) IS
	'what differs between two versions of a subject, one row for each difference';

-- It calls the other two as whoever called it.
REVOKE ALL ON FUNCTION outbox.schema_diff(text, integer, integer),
	outbox.schema_parts(jsonb, text, text), outbox.schema_type_text(jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.schema_diff(text, integer, integer),
	outbox.schema_parts(jsonb, text, text), outbox.schema_type_text(jsonb, text) TO outbox_admin;
