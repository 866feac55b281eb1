-- What a change of a captured table would become; nothing is published.  Both
-- rows: an update; after alone: an insert; before alone: a delete; none: a
-- truncate.  raw_key and raw_value are what would be in Kafka.
CREATE FUNCTION outbox.capture_preview(relation regclass,
	after record DEFAULT NULL, before record DEFAULT NULL,
	OUT key text, OUT value jsonb, OUT headers jsonb,
	OUT raw_key bytea, OUT raw_value bytea)
	RETURNS SETOF record
	LANGUAGE c STABLE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'outbox_capture_preview';
COMMENT ON FUNCTION outbox.capture_preview(regclass, record, record) IS
	'messages that a change of a captured table would become (for its owner)';
REVOKE ALL ON FUNCTION outbox.capture_preview(regclass, record, record) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION outbox.capture_preview(regclass, record, record) TO outbox_admin;
