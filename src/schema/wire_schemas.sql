/*
 * What an id in front of a value means: ours, and those that external
 * registries gave.  An id that two registries gave to different schemas means
 * nothing here: better no answer than a wrong one.
 */
CREATE INDEX registry_id_external_id_idx ON outbox.registry_id (external_id);

CREATE VIEW outbox.wire_schemas AS
	SELECT s.id, s.id AS schema_id, s.definition, s.refs
	FROM outbox.schema s
	UNION ALL
	SELECT r.external_id, s.id, s.definition, s.refs
	FROM (
			SELECT i.external_id, pg_catalog.min(i.schema_id) AS schema_id
			FROM outbox.registry_id i
			GROUP BY i.external_id
			HAVING pg_catalog.min(i.schema_id) = pg_catalog.max(i.schema_id)
		) r
		JOIN outbox.schema s ON s.id = r.schema_id
	WHERE NOT EXISTS (SELECT FROM outbox.schema o WHERE o.id = r.external_id);
COMMENT ON VIEW outbox.wire_schemas IS
	'schemas by the ids that events carry: our own, and those of an external schema registry';
GRANT SELECT ON outbox.wire_schemas TO outbox_admin;
