/*
 * Subjects, versions and schemas: how they are read, and who may change them.
 *
 * The views show everything to whoever may read them: a schema is what every
 * consumer of its topic sees.  The statement that made a version is shown to
 * the extension's owner and to owners of the subject's event types alone.
 */

-- The level and mode in force.
CREATE FUNCTION outbox.level_of(subject text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT s.compatibility FROM outbox.subject s WHERE s.name = $1),
		(SELECT d.compatibility FROM outbox.subject_default d),
		current_setting('outbox.compatibility', true),
		'BACKWARD')
$$;
REVOKE ALL ON FUNCTION outbox.level_of(text) FROM PUBLIC;
COMMENT ON FUNCTION outbox.level_of(text) IS
	'compatibility level in force for a subject; null: the default';

CREATE FUNCTION outbox.mode_of(subject text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT s.mode FROM outbox.subject s WHERE s.name = $1),
		(SELECT d.mode FROM outbox.subject_default d),
		'READWRITE')
$$;
REVOKE ALL ON FUNCTION outbox.mode_of(text) FROM PUBLIC;
COMMENT ON FUNCTION outbox.mode_of(text) IS
	'mode in force for a subject; null: the default';

-- A view calls functions as whoever reads it, so these two are spelled out.
CREATE VIEW outbox.subjects AS
	SELECT s.name AS subject, s.compatibility, s.mode,
		coalesce(s.compatibility, d.compatibility,
			pg_catalog.current_setting('outbox.compatibility', true),
			'BACKWARD') AS effective_compatibility,
		coalesce(s.mode, d.mode, 'READWRITE') AS effective_mode,
		v.latest_version, coalesce(v.versions, '{}') AS versions,
		coalesce(v.deleted_versions, '{}') AS deleted_versions,
		s.created_at, s.created_by
	FROM outbox.subject s
		LEFT JOIN outbox.subject_default d ON true
		LEFT JOIN LATERAL (
			SELECT max(x.version) FILTER (WHERE NOT x.deleted) AS latest_version,
				pg_catalog.array_agg(x.version ORDER BY x.version)
					FILTER (WHERE NOT x.deleted) AS versions,
				pg_catalog.array_agg(x.version ORDER BY x.version)
					FILTER (WHERE x.deleted) AS deleted_versions
			FROM outbox.schema_version x
			WHERE x.subject = s.name) v ON true;
COMMENT ON VIEW outbox.subjects IS
	'subjects with their versions; compatibility and mode are null where the default holds';

CREATE VIEW outbox.schemas AS
	SELECT s.id, s.definition, s.refs, s.created_at, s.created_by
	FROM outbox.schema s;
COMMENT ON VIEW outbox.schemas IS
	'every schema by its id; refs: [{name, subject, version}] or null';

CREATE VIEW outbox.schema_versions AS
	SELECT v.subject, v.version, v.schema_id, v.deleted, s.definition, s.refs,
		v.created_at, v.created_by,
		CASE WHEN pg_catalog.pg_has_role((
				SELECT c.relowner FROM pg_catalog.pg_class c
				WHERE c.oid = 'outbox.schema_version'::pg_catalog.regclass), 'USAGE')
			OR EXISTS (
				SELECT FROM outbox.event_type_def d
					JOIN outbox.route r ON r.id = d.route_id
				WHERE r.subject = v.subject
					AND pg_catalog.pg_has_role(d.owner::oid, 'USAGE'))
			THEN v.statement END AS statement
	FROM outbox.schema_version v
		JOIN outbox.schema s ON s.id = v.schema_id;
COMMENT ON VIEW outbox.schema_versions IS
	'versions of subjects: schema, who made it, when, with which statement';

CREATE FUNCTION outbox.set_compatibility(subject text, level text)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_set_compatibility';
REVOKE ALL ON FUNCTION outbox.set_compatibility(text, text) FROM PUBLIC;
COMMENT ON FUNCTION outbox.set_compatibility(text, text) IS
	'set the compatibility level of a subject; null: the default again';

GRANT EXECUTE ON FUNCTION outbox.set_compatibility(text, text) TO outbox_admin;
GRANT SELECT ON outbox.subjects, outbox.schemas, outbox.schema_versions TO outbox_admin;
