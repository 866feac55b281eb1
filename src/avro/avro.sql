/*
 * Avro as SQL functions: pure, so whoever may do anything at all may use them.
 */

CREATE FUNCTION outbox.avro_encode(schema text, value jsonb) RETURNS bytea
	LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_avro_encode_jsonb_sql';
COMMENT ON FUNCTION outbox.avro_encode(text, jsonb) IS
	'Avro bytes of a JSON value; error with the path of what does not fit';

-- So that a literal without a type is JSON.
CREATE FUNCTION outbox.avro_encode(schema text, value text) RETURNS bytea
	LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_avro_encode_text_sql';
COMMENT ON FUNCTION outbox.avro_encode(text, text) IS
	'Avro bytes of JSON text; error with the path of what does not fit';

-- Output functions of a row's columns may be stable only.
CREATE FUNCTION outbox.avro_encode(schema text, value record) RETURNS bytea
	LANGUAGE c STRICT STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_avro_encode_row_sql';
COMMENT ON FUNCTION outbox.avro_encode(text, record) IS
	'Avro bytes of a row; columns go to the fields of the same name';

CREATE FUNCTION outbox.avro_decode(schema text, value bytea, avro_json boolean DEFAULT false)
	RETURNS jsonb
	LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_avro_decode_sql';
COMMENT ON FUNCTION outbox.avro_decode(text, bytea, boolean) IS
	'JSON of Avro bytes, natural or in Avro''s own JSON encoding';

CREATE FUNCTION outbox.decode(framed bytea) RETURNS jsonb
	LANGUAGE c STRICT STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_decode_framed_sql';
COMMENT ON FUNCTION outbox.decode(bytea) IS
	'JSON of a Kafka value: 0, schema id (4 bytes, big-endian), Avro';

CREATE FUNCTION outbox.avro_canonical(schema text) RETURNS text
	LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_avro_canonical_sql';
COMMENT ON FUNCTION outbox.avro_canonical(text) IS
	'Parsing Canonical Form of an Avro schema';

CREATE FUNCTION outbox.avro_fingerprint(schema text, algorithm text DEFAULT 'sha256')
	RETURNS bytea
	LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_avro_fingerprint_sql';
COMMENT ON FUNCTION outbox.avro_fingerprint(text, text) IS
	'fingerprint of the canonical form: sha256, or crc64 (CRC-64-AVRO, little-endian)';

CREATE FUNCTION outbox.avro_schema(type regtype, name text DEFAULT NULL, namespace text DEFAULT NULL)
	RETURNS text
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'outbox_avro_schema_sql';
COMMENT ON FUNCTION outbox.avro_schema(regtype, text, text) IS
	'Avro schema of a type or table, column comments as doc';

-- Not strict: a null must not look like "no violation".
CREATE FUNCTION outbox.check_compatibility(new text, old text[], level text DEFAULT 'BACKWARD',
	OUT rule text, OUT path text, OUT reader text, OUT writer text, OUT message text,
	OUT version integer, OUT direction text)
	RETURNS SETOF record
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_check_compatibility_sql';
COMMENT ON FUNCTION outbox.check_compatibility(text, text[], text) IS
	'what stands against a new Avro schema after old ones (oldest first) at a compatibility level; no row: nothing';

REVOKE ALL ON FUNCTION
	outbox.avro_encode(text, jsonb),
	outbox.avro_encode(text, text),
	outbox.avro_encode(text, record),
	outbox.avro_decode(text, bytea, boolean),
	outbox.decode(bytea),
	outbox.avro_canonical(text),
	outbox.avro_fingerprint(text, text),
	outbox.avro_schema(regtype, text, text),
	outbox.check_compatibility(text, text[], text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
	outbox.avro_encode(text, jsonb),
	outbox.avro_encode(text, text),
	outbox.avro_encode(text, record),
	outbox.avro_decode(text, bytea, boolean),
	outbox.decode(bytea),
	outbox.avro_canonical(text),
	outbox.avro_fingerprint(text, text),
	outbox.avro_schema(regtype, text, text),
	outbox.check_compatibility(text, text[], text)
TO outbox_admin, outbox_emitter, outbox_monitor;
