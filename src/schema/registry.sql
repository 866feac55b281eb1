/*
 * The functions behind the registry's HTTP API (outbox-http), which holds no
 * logic of its own.  They mean what the Confluent Schema Registry API means,
 * and raise its error codes: 404xy is SQLSTATE OB4xy, 422xy is OB2xy, 409 is
 * OB900 (src/schema/errors.h).  Nobody may execute them until grant_registry().
 *
 * Three things are kept harder than there: an id is never forgotten, a version
 * number never given twice, and what an event type writes now not deleted.
 */

-- References, the versions they lead to and what those refer to.
CREATE FUNCTION outbox.registry_refs(refs jsonb,
	OUT name text, OUT subject text, OUT version integer,
	OUT definition text, OUT more jsonb)
	RETURNS SETOF record
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.name, r.subject, coalesce(v.version, r.version), s.definition, s.refs
	FROM (
		SELECT e.ref->>'name' AS name, e.ref->>'subject' AS subject,
			CASE WHEN e.ref->>'version' ~ '^(-1|[1-9][0-9]{0,8})$'
				THEN (e.ref->>'version')::integer END AS version, e.place
		FROM jsonb_array_elements(CASE WHEN jsonb_typeof($1) = 'array' THEN $1
				ELSE '[null]' END) WITH ORDINALITY e(ref, place)) r
		LEFT JOIN LATERAL (
			SELECT x.version, x.schema_id FROM outbox.schema_version x
			WHERE x.subject = r.subject
				AND CASE r.version WHEN -1 THEN NOT x.deleted ELSE x.version = r.version END
			ORDER BY x.version DESC LIMIT 1) v ON true
		LEFT JOIN outbox.schema s ON s.id = v.schema_id
	ORDER BY r.place
$$;

CREATE FUNCTION outbox.registry_open_subject(subject_name text) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_registry_open_subject';
COMMENT ON FUNCTION outbox.registry_open_subject(text) IS
	'add a subject when it is new and hold it to the end of the transaction';

CREATE FUNCTION outbox.registry_register(subject_name text, schema text,
	schema_refs jsonb DEFAULT NULL,
	wanted_id integer DEFAULT NULL, wanted_version integer DEFAULT NULL,
	OUT id integer, OUT version integer, OUT definition text, OUT refs jsonb)
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_registry_register';
COMMENT ON FUNCTION outbox.registry_register(text, text, jsonb, integer, integer) IS
	'find or add a schema under a subject; an id of one''s own in mode IMPORT';

CREATE FUNCTION outbox.registry_lookup(subject_name text, schema text,
	schema_refs jsonb DEFAULT NULL,
	deleted boolean DEFAULT false,
	OUT id integer, OUT version integer, OUT definition text, OUT refs jsonb)
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_registry_lookup';
COMMENT ON FUNCTION outbox.registry_lookup(text, text, jsonb, boolean) IS
	'the version of a subject that has this schema';

CREATE FUNCTION outbox.registry_check(subject_name text, version_name text,
	schema text, schema_refs jsonb DEFAULT NULL,
	OUT is_compatible boolean, OUT messages text[])
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'outbox_registry_check';
COMMENT ON FUNCTION outbox.registry_check(text, text, text, jsonb) IS
	'whether a schema is compatible with a version, or (null) may be registered';

-- Versions ---------------------------------------------------------------------

-- A number from 1, "latest" or -1; the latest is null.
CREATE FUNCTION outbox.registry_version_number(version_name text) RETURNS integer
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF version_name IN ('latest', '-1') THEN
		RETURN NULL;
	END IF;
	IF version_name ~ '^[0-9]{1,10}$'
		AND version_name::bigint BETWEEN 1 AND 2147483647 THEN
		RETURN version_name::integer;
	END IF;
	RAISE EXCEPTION SQLSTATE 'OB202' USING
		MESSAGE = format('invalid version "%s"', version_name),
		HINT = 'A version is a number from 1, or "latest".';
END
$$;

CREATE FUNCTION outbox.registry_version(subject_name text, version_name text,
	deleted boolean DEFAULT false,
	OUT id integer, OUT version integer, OUT definition text, OUT refs jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	number integer := outbox.registry_version_number(version_name);
BEGIN
	SELECT s.id, v.version, s.definition, s.refs
	INTO registry_version.id, registry_version.version,
		registry_version.definition, registry_version.refs
	FROM outbox.schema_version v JOIN outbox.schema s ON s.id = v.schema_id
	WHERE v.subject = subject_name
		AND (number IS NULL OR v.version = number)
		AND (NOT v.deleted OR registry_version.deleted)
	ORDER BY v.version DESC LIMIT 1;
	IF FOUND THEN
		RETURN;
	END IF;
	IF number IS NULL OR NOT EXISTS (
		SELECT FROM outbox.schema_version v
		WHERE v.subject = subject_name
			AND (NOT v.deleted OR registry_version.deleted)) THEN
		RAISE EXCEPTION SQLSTATE 'OB401' USING
			MESSAGE = format('subject "%s" not found', subject_name);
	END IF;
	RAISE EXCEPTION SQLSTATE 'OB402' USING
		MESSAGE = format('version %s of subject "%s" not found', number, subject_name);
END
$$;
COMMENT ON FUNCTION outbox.registry_version(text, text, boolean) IS
	'one version of a subject, by number or "latest"';

-- Why a version may not be deleted.
CREATE FUNCTION outbox.registry_check_delete(subject_name text, number integer)
	RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	what text;
BEGIN
	IF outbox.mode_of(subject_name) IN ('READONLY', 'READONLY_OVERRIDE') THEN
		RAISE EXCEPTION SQLSTATE 'OB205' USING
			MESSAGE = format('subject "%s" is in read-only mode', subject_name);
	END IF;
	SELECT v.subject || ' version ' || v.version INTO what
	FROM outbox.schema s JOIN outbox.schema_version v ON v.schema_id = s.id
	WHERE NOT v.deleted AND s.refs @> jsonb_build_array(
		jsonb_build_object('subject', subject_name, 'version', number))
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION SQLSTATE 'OB206' USING
			MESSAGE = format('version %s of subject "%s" is referred to', number, subject_name),
			DETAIL = format('The schema of subject %s refers to it.', what);
	END IF;
	SELECT d.name INTO what
	FROM outbox.schema_version v
		JOIN outbox.route r ON r.subject = v.subject
		JOIN outbox.event_type_def d ON d.route_id = r.id AND d.schema_id = v.schema_id
	WHERE v.subject = subject_name AND v.version = number AND NOT v.deleted
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION SQLSTATE 'OB205' USING
			MESSAGE = format('version %s of subject "%s" is in use', number, subject_name),
			DETAIL = format('Event type "%s" writes it.', what),
			HINT = 'Drop the event type first, with outbox.drop_event_type().';
	END IF;
	SELECT d.relation::text INTO what
	FROM outbox.schema_version v
		JOIN outbox.route r ON v.subject IN (r.subject, r.key_subject)
		JOIN outbox.capture_def d ON d.route_id = r.id
			AND v.schema_id IN (d.schema_id, d.key_schema_id)
	WHERE v.subject = subject_name AND v.version = number AND NOT v.deleted
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION SQLSTATE 'OB205' USING
			MESSAGE = format('version %s of subject "%s" is in use', number, subject_name),
			DETAIL = format('Captured table "%s" writes it.', what),
			HINT = 'Stop the capture first, with outbox.uncapture().';
	END IF;
END
$$;

CREATE FUNCTION outbox.registry_delete_version(subject_name text,
	version_name text, permanent boolean DEFAULT false)
	RETURNS integer
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	number integer := outbox.registry_version_number(version_name);
	is_deleted boolean;
BEGIN
	PERFORM FROM outbox.subject s WHERE s.name = subject_name FOR UPDATE;
	IF number IS NULL THEN
		SELECT v.version INTO number
		FROM outbox.registry_version(subject_name, 'latest', permanent) v;
	END IF;
	SELECT v.deleted INTO is_deleted FROM outbox.schema_version v
	WHERE v.subject = subject_name AND v.version = number;
	IF NOT FOUND THEN
		-- raises which of the two is missing
		PERFORM outbox.registry_version(subject_name, number::text, true);
	END IF;
	IF is_deleted AND NOT permanent THEN
		RAISE EXCEPTION SQLSTATE 'OB406' USING
			MESSAGE = format('version %s of subject "%s" was soft deleted', number, subject_name),
			HINT = 'Set permanent to delete it for good.';
	ELSIF permanent AND NOT is_deleted THEN
		RAISE EXCEPTION SQLSTATE 'OB407' USING
			MESSAGE = format('version %s of subject "%s" was not soft deleted first', number, subject_name);
	END IF;
	PERFORM outbox.registry_check_delete(subject_name, number);
	IF permanent THEN
		DELETE FROM outbox.schema_version v
		WHERE v.subject = subject_name AND v.version = number;
	ELSE
		UPDATE outbox.schema_version v SET deleted = true
		WHERE v.subject = subject_name AND v.version = number;
	END IF;
	RETURN number;
END
$$;
COMMENT ON FUNCTION outbox.registry_delete_version(text, text, boolean) IS
	'delete a version, softly or (after that) for good; its id stays known';

CREATE FUNCTION outbox.registry_delete_subject(subject_name text,
	permanent boolean DEFAULT false)
	RETURNS integer[]
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	live integer[];
	gone integer[];
BEGIN
	PERFORM FROM outbox.subject s WHERE s.name = subject_name FOR UPDATE;
	SELECT coalesce(array_agg(v.version ORDER BY v.version) FILTER (WHERE NOT v.deleted), '{}'),
		coalesce(array_agg(v.version ORDER BY v.version) FILTER (WHERE v.deleted), '{}')
	INTO live, gone
	FROM outbox.schema_version v WHERE v.subject = subject_name;
	IF live = '{}' AND gone = '{}' THEN
		RAISE EXCEPTION SQLSTATE 'OB401' USING
			MESSAGE = format('subject "%s" not found', subject_name);
	ELSIF live = '{}' AND NOT permanent THEN
		RAISE EXCEPTION SQLSTATE 'OB404' USING
			MESSAGE = format('subject "%s" was soft deleted', subject_name),
			HINT = 'Set permanent to delete it for good.';
	ELSIF live <> '{}' AND permanent THEN
		RAISE EXCEPTION SQLSTATE 'OB405' USING
			MESSAGE = format('subject "%s" was not soft deleted first', subject_name);
	END IF;
	PERFORM outbox.registry_check_delete(subject_name, n)
	FROM unnest(live || gone) n;
	-- the row stays: it knows which version numbers were given
	UPDATE outbox.subject s SET compatibility = NULL, mode = NULL
	WHERE s.name = subject_name;
	IF permanent THEN
		DELETE FROM outbox.schema_version v WHERE v.subject = subject_name;
		RETURN gone;
	END IF;
	UPDATE outbox.schema_version v SET deleted = true
	WHERE v.subject = subject_name AND NOT v.deleted;
	RETURN live;
END
$$;
COMMENT ON FUNCTION outbox.registry_delete_subject(text, boolean) IS
	'delete all versions of a subject, softly or (after that) for good; returns them';

-- Level and mode; subject null: the default ----------------------------------------

CREATE FUNCTION outbox.registry_get_level(subject_name text,
	or_default boolean DEFAULT false)
	RETURNS text
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF subject_name IS NOT NULL AND NOT or_default AND NOT EXISTS (
		SELECT FROM outbox.subject s
		WHERE s.name = subject_name AND s.compatibility IS NOT NULL) THEN
		RAISE EXCEPTION SQLSTATE 'OB408' USING
			MESSAGE = format('subject "%s" has no compatibility level of its own', subject_name);
	END IF;
	RETURN outbox.level_of(subject_name);
END
$$;

CREATE FUNCTION outbox.registry_set_level(subject_name text, level text)
	RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	level := upper(level);
	IF level IS NULL OR level NOT IN ('NONE', 'BACKWARD', 'BACKWARD_TRANSITIVE',
		'FORWARD', 'FORWARD_TRANSITIVE', 'FULL', 'FULL_TRANSITIVE') THEN
		RAISE EXCEPTION SQLSTATE 'OB203' USING
			MESSAGE = format('invalid compatibility level "%s"', level),
			HINT = 'Use NONE, BACKWARD, FORWARD, FULL or one of the last three with _TRANSITIVE.';
	END IF;
	IF outbox.mode_of(subject_name) IN ('READONLY', 'READONLY_OVERRIDE') THEN
		RAISE EXCEPTION SQLSTATE 'OB205' USING
			MESSAGE = 'the registry, or this subject, is in read-only mode';
	END IF;
	IF subject_name IS NULL THEN
		INSERT INTO outbox.subject_default AS d (compatibility) VALUES (level)
		ON CONFLICT (singleton) DO UPDATE SET compatibility = excluded.compatibility;
	ELSE
		PERFORM outbox.registry_open_subject(subject_name);
		UPDATE outbox.subject s SET compatibility = level WHERE s.name = subject_name;
	END IF;
	RETURN level;
END
$$;

CREATE FUNCTION outbox.registry_delete_level(subject_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before text := outbox.level_of(subject_name);
BEGIN
	IF outbox.mode_of(subject_name) IN ('READONLY', 'READONLY_OVERRIDE') THEN
		RAISE EXCEPTION SQLSTATE 'OB205' USING
			MESSAGE = 'the registry, or this subject, is in read-only mode';
	END IF;
	IF subject_name IS NULL THEN
		UPDATE outbox.subject_default d SET compatibility = NULL;
	ELSE
		UPDATE outbox.subject s SET compatibility = NULL
		WHERE s.name = subject_name AND s.compatibility IS NOT NULL;
		IF NOT FOUND THEN
			RAISE EXCEPTION SQLSTATE 'OB401' USING
				MESSAGE = format('subject "%s" has no compatibility level of its own', subject_name);
		END IF;
	END IF;
	RETURN before;
END
$$;

CREATE FUNCTION outbox.registry_get_mode(subject_name text,
	or_default boolean DEFAULT false)
	RETURNS text
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF subject_name IS NOT NULL AND NOT or_default AND NOT EXISTS (
		SELECT FROM outbox.subject s
		WHERE s.name = subject_name AND s.mode IS NOT NULL) THEN
		RAISE EXCEPTION SQLSTATE 'OB409' USING
			MESSAGE = format('subject "%s" has no mode of its own', subject_name);
	END IF;
	RETURN outbox.mode_of(subject_name);
END
$$;

-- Ids of one's own (IMPORT) are for a subject without versions, unless forced.
CREATE FUNCTION outbox.registry_set_mode(subject_name text, mode text,
	force boolean DEFAULT false)
	RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	wanted text := upper(registry_set_mode.mode);
BEGIN
	IF wanted IS NULL OR wanted NOT IN ('READWRITE', 'READONLY',
		'READONLY_OVERRIDE', 'IMPORT') THEN
		RAISE EXCEPTION SQLSTATE 'OB204' USING
			MESSAGE = format('invalid mode "%s"', wanted),
			HINT = 'Use READWRITE, READONLY, READONLY_OVERRIDE or IMPORT.';
	END IF;
	IF wanted = 'IMPORT' AND NOT force AND EXISTS (
		SELECT FROM outbox.schema_version v
		WHERE NOT v.deleted
			AND (subject_name IS NULL OR v.subject = subject_name)) THEN
		RAISE EXCEPTION SQLSTATE 'OB205' USING
			MESSAGE = 'mode IMPORT is for subjects without versions',
			HINT = 'Set force to import into subjects that have some.';
	END IF;
	IF subject_name IS NULL THEN
		INSERT INTO outbox.subject_default AS d (mode) VALUES (wanted)
		ON CONFLICT (singleton) DO UPDATE SET mode = excluded.mode;
	ELSE
		PERFORM outbox.registry_open_subject(subject_name);
		UPDATE outbox.subject s SET mode = wanted WHERE s.name = subject_name;
	END IF;
	RETURN wanted;
END
$$;

CREATE FUNCTION outbox.registry_delete_mode(subject_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before text := outbox.mode_of(subject_name);
BEGIN
	IF subject_name IS NULL THEN
		UPDATE outbox.subject_default d SET mode = NULL;
	ELSE
		UPDATE outbox.subject s SET mode = NULL
		WHERE s.name = subject_name AND s.mode IS NOT NULL;
		IF NOT FOUND THEN
			RAISE EXCEPTION SQLSTATE 'OB409' USING
				MESSAGE = format('subject "%s" has no mode of its own', subject_name);
		END IF;
	END IF;
	RETURN before;
END
$$;

-- Who may use them --------------------------------------------------------------

-- What is granted belongs to the extension's owner, so these two run as that.
CREATE FUNCTION outbox.grant_registry(role name, write boolean DEFAULT false)
	RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IN ('outbox_admin', 'outbox_emitter', 'outbox_monitor') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('what role "%s" may do is not changed by this function', role),
			HINT = 'Give it to a role of your own.';
	END IF;
	EXECUTE format('GRANT USAGE ON SCHEMA outbox TO %I', role);
	EXECUTE format('GRANT SELECT ON outbox.wire_schemas TO %I', role);
	EXECUTE format('GRANT SELECT ON outbox.subjects, outbox.schemas, outbox.schema_versions TO %I', role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION
		outbox.schema_diff(text, integer, integer),
		outbox.schema_parts(jsonb, text, text),
		outbox.schema_type_text(jsonb, text),
		outbox.avro_encode(text, jsonb),
		outbox.avro_encode(text, text),
		outbox.avro_encode(text, record),
		outbox.avro_decode(text, bytea, boolean),
		outbox.decode(bytea),
		outbox.avro_canonical(text),
		outbox.avro_fingerprint(text, text),
		outbox.avro_schema(regtype, text, text),
		outbox.check_compatibility(text, text[], text),
		outbox.registry_version(text, text, boolean),
		outbox.registry_lookup(text, text, jsonb, boolean),
		outbox.registry_check(text, text, text, jsonb),
		outbox.registry_get_level(text, boolean),
		outbox.registry_get_mode(text, boolean) TO %I', role);
	IF write THEN
		EXECUTE format('GRANT EXECUTE ON FUNCTION
			outbox.registry_register(text, text, jsonb, integer, integer),
			outbox.registry_delete_version(text, text, boolean),
			outbox.registry_delete_subject(text, boolean),
			outbox.registry_set_level(text, text),
			outbox.registry_delete_level(text),
			outbox.registry_set_mode(text, text, boolean),
			outbox.registry_delete_mode(text) TO %I', role);
	END IF;
END
$$;
COMMENT ON FUNCTION outbox.grant_registry(name, boolean) IS
	'let a role read subjects and schemas, and change them through the registry functions';

CREATE FUNCTION outbox.revoke_registry(role name) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owner boolean := EXISTS (SELECT FROM outbox.event_type_def d
		WHERE d.owner = quote_ident(role)::regrole);
	emitter boolean := EXISTS (SELECT FROM outbox.event_type_grant g
		WHERE g.grantee = quote_ident(role)::regrole);
BEGIN
	IF role IN ('outbox_admin', 'outbox_emitter', 'outbox_monitor') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('what role "%s" may do is not changed by this function', role),
			HINT = 'Give it to a role of your own.';
	END IF;
	EXECUTE format('REVOKE SELECT ON outbox.wire_schemas FROM %I', role);
	EXECUTE format('REVOKE EXECUTE ON FUNCTION
		outbox.registry_version(text, text, boolean),
		outbox.registry_lookup(text, text, jsonb, boolean),
		outbox.registry_check(text, text, text, jsonb),
		outbox.registry_get_level(text, boolean),
		outbox.registry_get_mode(text, boolean),
		outbox.registry_register(text, text, jsonb, integer, integer),
		outbox.registry_delete_version(text, text, boolean),
		outbox.registry_delete_subject(text, boolean),
		outbox.registry_set_level(text, text),
		outbox.registry_delete_level(text),
		outbox.registry_set_mode(text, text, boolean),
		outbox.registry_delete_mode(text) FROM %I', role);
	-- owners of event types read the views too
	IF NOT owner THEN
		EXECUTE format('REVOKE EXECUTE ON FUNCTION outbox.schema_diff(text, integer, integer),
			outbox.schema_parts(jsonb, text, text), outbox.schema_type_text(jsonb, text) FROM %I', role);
		EXECUTE format('REVOKE SELECT ON outbox.subjects, outbox.schemas, outbox.schema_versions FROM %I', role);
	END IF;
	IF owner OR emitter THEN
		RETURN;
	END IF;
	EXECUTE format('REVOKE EXECUTE ON FUNCTION
		outbox.avro_encode(text, jsonb),
		outbox.avro_encode(text, text),
		outbox.avro_encode(text, record),
		outbox.avro_decode(text, bytea, boolean),
		outbox.decode(bytea),
		outbox.avro_canonical(text),
		outbox.avro_fingerprint(text, text),
		outbox.avro_schema(regtype, text, text),
		outbox.check_compatibility(text, text[], text) FROM %I', role);
	IF NOT has_function_privilege(role,
		'outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval)', 'EXECUTE') THEN
		EXECUTE format('REVOKE USAGE ON SCHEMA outbox FROM %I', role);
	END IF;
END
$$;
COMMENT ON FUNCTION outbox.revoke_registry(name) IS 'take back what grant_registry gave';

REVOKE ALL ON FUNCTION
	outbox.registry_refs(jsonb),
	outbox.registry_open_subject(text),
	outbox.registry_register(text, text, jsonb, integer, integer),
	outbox.registry_lookup(text, text, jsonb, boolean),
	outbox.registry_check(text, text, text, jsonb),
	outbox.registry_version_number(text),
	outbox.registry_version(text, text, boolean),
	outbox.registry_check_delete(text, integer),
	outbox.registry_delete_version(text, text, boolean),
	outbox.registry_delete_subject(text, boolean),
	outbox.registry_get_level(text, boolean),
	outbox.registry_set_level(text, text),
	outbox.registry_delete_level(text),
	outbox.registry_get_mode(text, boolean),
	outbox.registry_set_mode(text, text, boolean),
	outbox.registry_delete_mode(text),
	outbox.grant_registry(name, boolean),
	outbox.revoke_registry(name)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
	outbox.registry_register(text, text, jsonb, integer, integer),
	outbox.registry_lookup(text, text, jsonb, boolean),
	outbox.registry_check(text, text, text, jsonb),
	outbox.registry_version(text, text, boolean),
	outbox.registry_delete_version(text, text, boolean),
	outbox.registry_delete_subject(text, boolean),
	outbox.registry_get_level(text, boolean),
	outbox.registry_set_level(text, text),
	outbox.registry_delete_level(text),
	outbox.registry_get_mode(text, boolean),
	outbox.registry_set_mode(text, text, boolean),
	outbox.registry_delete_mode(text),
	outbox.grant_registry(name, boolean),
	outbox.revoke_registry(name)
TO outbox_admin;
