-- What each role may do with each object of the extension.  One line an object,
-- so that a new one cannot be forgotten; letters as \dp and \df+ have them.
\pset format unaligned
\pset tuples_only on
\set SHOW_CONTEXT never
CREATE EXTENSION outbox;
CREATE ROLE regress_priv_nobody;
CREATE ROLE regress_priv_emitter IN ROLE outbox_emitter;
CREATE ROLE regress_priv_monitor IN ROLE outbox_monitor;
CREATE ROLE regress_priv_admin IN ROLE outbox_admin;
CREATE ROLE regress_priv_grantee;
CREATE ROLE regress_priv_owner;
CREATE ROLE regress_priv_capturer;
CREATE ROLE regress_priv_reader;
CREATE ROLE regress_priv_writer;
CREATE ROLE regress_priv_super SUPERUSER;

-- What is granted by functions, each by a member of outbox_admin.
SET ROLE regress_priv_admin;
SELECT outbox.create_event_type('of admin', format => 'json') IS NOT NULL;
SELECT outbox.grant_emit('of admin', 'regress_priv_grantee');
SELECT outbox.grant_capture('regress_priv_capturer');
SELECT outbox.grant_registry('regress_priv_reader');
SELECT outbox.grant_registry('regress_priv_writer', true);
RESET ROLE;
GRANT USAGE ON SCHEMA outbox TO regress_priv_owner;
GRANT EXECUTE ON FUNCTION outbox.create_event_type TO regress_priv_owner;
SET ROLE regress_priv_owner;
SELECT outbox.create_event_type('of owner', format => 'json') IS NOT NULL;
RESET ROLE;

CREATE VIEW roles (place, name, role) AS VALUES
	(1, 'nobody', 'regress_priv_nobody'), (2, 'emitter', 'regress_priv_emitter'),
	(3, 'monitor', 'regress_priv_monitor'), (4, 'admin', 'regress_priv_admin'),
	(5, 'grantee', 'regress_priv_grantee'), (6, 'owner', 'regress_priv_owner'),
	(7, 'capturer', 'regress_priv_capturer'), (8, 'reader', 'regress_priv_reader'),
	(9, 'writer', 'regress_priv_writer'), (10, 'super', 'regress_priv_super');
CREATE VIEW objects AS
	-- 18 leaves pg_catalog out of some names, and has row types of tables as members.
	SELECT d.classid, d.objid, i.type AS kind, replace(i.identity, 'pg_catalog.', '') AS name
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid,
		pg_identify_object(d.classid, d.objid, 0) i
	WHERE i.type <> 'type' AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'outbox'
	UNION ALL
	SELECT 'pg_namespace'::regclass, 'outbox'::regnamespace, 'schema', 'outbox';
CREATE FUNCTION letters(class oid, object oid, role name) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(p.letter, '' ORDER BY p.place)
	FROM (VALUES (1, 'r', 'SELECT'), (2, 'a', 'INSERT'), (3, 'w', 'UPDATE'), (4, 'd', 'DELETE'),
			(5, 'D', 'TRUNCATE'), (6, 'x', 'REFERENCES'), (7, 't', 'TRIGGER'),
			(8, 'X', 'EXECUTE'), (9, 'U', 'USAGE'), (10, 'C', 'CREATE')) p (place, letter, name)
	WHERE CASE class
		WHEN 'pg_proc'::regclass THEN p.name = 'EXECUTE' AND has_function_privilege(role, object, p.name)
		WHEN 'pg_namespace'::regclass THEN p.name IN ('USAGE', 'CREATE') AND has_schema_privilege(role, object, p.name)
		WHEN 'pg_class'::regclass THEN
			CASE WHEN (SELECT relkind FROM pg_class WHERE oid = object) = 'S'
				THEN p.name IN ('SELECT', 'UPDATE', 'USAGE') AND has_sequence_privilege(role, object, p.name)
				ELSE p.name NOT IN ('EXECUTE', 'USAGE', 'CREATE') AND has_table_privilege(role, object, p.name)
					OR p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
						AND has_any_column_privilege(role, object, p.name) END
		END
$$;

-- kind name: role=privileges; a superuser has them all, and is not listed.
SELECT o.kind || ' ' || o.name || ':' || coalesce(
	string_agg(format(' %s=%s', r.name, l), '' ORDER BY r.place) FILTER (WHERE l IS NOT NULL), '')
FROM objects o CROSS JOIN roles r CROSS JOIN LATERAL letters(o.classid, o.objid, r.role) l
WHERE r.name <> 'super'
GROUP BY o.kind, o.name ORDER BY o.kind COLLATE "C", o.name COLLATE "C";

-- Kinds of objects that the list above would not know the privileges of.
SELECT DISTINCT kind FROM objects
WHERE classid NOT IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass, 'pg_event_trigger'::regclass);
-- What PUBLIC has; row types of tables are left out, a name gives nothing away.
SELECT name FROM objects o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
	CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE a.grantee = 0 ORDER BY name COLLATE "C";
SELECT name FROM objects o JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
	CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE a.grantee = 0;
SELECT a.privilege_type FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
WHERE n.nspname = 'outbox' AND a.grantee = 0;
-- Privileges on columns, grant options, default privileges: none.
SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'outbox'::regnamespace AND a.attacl IS NOT NULL;
SELECT o.name FROM objects o
	LEFT JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
	LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid
	CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, c.relacl)) a WHERE a.is_grantable
		AND a.grantee <> coalesce(p.proowner, c.relowner);
SELECT count(*) FROM pg_default_acl WHERE defaclnamespace = 'outbox'::regnamespace;

-- Functions that run as their owner, the extension's; all of them pin the path.
SELECT name FROM objects o JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
WHERE p.prosecdef ORDER BY name COLLATE "C";
SELECT name FROM objects o
	JOIN pg_proc p ON o.classid = 'pg_proc'::regclass AND p.oid = o.objid
	JOIN pg_language l ON l.oid = p.prolang
WHERE (p.prosecdef OR l.lanname <> 'c')
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);
-- Nothing of the extension is in another schema, where others may create.
SELECT name FROM objects o LEFT JOIN pg_event_trigger t ON o.classid = 'pg_event_trigger'::regclass AND t.oid = o.objid
WHERE o.name !~ '^outbox(\.|$)' AND t.oid IS NULL;
-- Views that choose rows by who reads them let nobody's function look first;
-- schema_versions hides a column instead.
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind = 'v'
	AND pg_get_viewdef(c.oid) ~ 'pg_has_role' AND NOT coalesce('security_barrier=true' = ANY (c.reloptions)
		OR 'security_barrier' = ANY (c.reloptions), false);

-- Members of outbox_admin manage what others own; other roles do not.
SET ROLE regress_priv_admin;
SELECT name, owner FROM outbox.event_types ORDER BY name;
SELECT outbox.alter_event_type('of owner', topic => 'elsewhere');
SELECT outbox.emit('of owner', '{}');
SELECT outbox.grant_emit('of owner', 'outbox_emitter');
SELECT outbox.grant_emit('of owner', 'outbox_monitor');
SELECT owner FROM outbox.event_types WHERE name = 'of owner';
SELECT outbox.set_compatibility('of no event type', 'FULL');
SET ROLE regress_priv_monitor;
SELECT outbox.emit('of owner', '{}') IS NOT NULL;
SELECT outbox.alter_event_type('of owner', topic => 'x');
SELECT outbox.pause();
SELECT count(*) FROM outbox.dead_letter;
SET ROLE regress_priv_emitter;
SELECT outbox.emit('of owner', '{}') IS NOT NULL;
SELECT outbox.emit('of admin', '{}');
INSERT INTO outbox.event (type, payload) VALUES ('of owner', '{}') RETURNING type;
SELECT outbox.grant_emit('of owner', 'regress_priv_nobody');
SELECT * FROM outbox.status();
-- What the predefined roles had to begin with stays when a right is taken back.
SET ROLE regress_priv_admin;
SELECT outbox.revoke_emit('of owner', 'outbox_emitter');
SELECT outbox.revoke_emit('of owner', 'outbox_monitor');
SET ROLE regress_priv_emitter;
SELECT outbox.emit('of owner', '{}');
SET ROLE regress_priv_monitor;
SELECT outbox.emit('of owner', '{}');
SELECT state IS NOT NULL FROM outbox.status();
SELECT count(*) > 0 FROM outbox.check('0 s');
SET ROLE regress_priv_admin;
SELECT outbox.grant_capture('outbox_monitor');
SELECT outbox.revoke_capture('outbox_monitor');
SELECT outbox.grant_registry('outbox_emitter');
SELECT outbox.revoke_registry('outbox_admin');
RESET ROLE;
SELECT has_function_privilege('outbox_emitter', 'outbox.emit(text, jsonb, text, jsonb, uuid)', 'EXECUTE'),
	has_schema_privilege('outbox_emitter', 'outbox', 'USAGE');

-- Taken back, nothing is left; what was granted by hand is.
SET ROLE regress_priv_admin;
SELECT outbox.drop_event_type('of owner');
SELECT outbox.drop_event_type('of admin');
SELECT outbox.revoke_capture('regress_priv_capturer');
SELECT outbox.revoke_registry('regress_priv_reader');
SELECT outbox.revoke_registry('regress_priv_writer');
RESET ROLE;
SELECT r.name, o.kind, o.name, l FROM objects o CROSS JOIN roles r
	CROSS JOIN LATERAL letters(o.classid, o.objid, r.role) l
WHERE r.name IN ('grantee', 'owner', 'capturer', 'reader', 'writer') AND l IS NOT NULL
	AND o.name NOT LIKE 'outbox.capture\_row(%' ORDER BY r.place, 2, 3;
DROP OWNED BY regress_priv_owner, regress_priv_capturer;

-- A schema that others made is no place for it.
DROP EXTENSION outbox CASCADE;
DROP SCHEMA outbox CASCADE;
CREATE SCHEMA outbox AUTHORIZATION regress_priv_nobody;
CREATE EXTENSION outbox;
ALTER SCHEMA outbox OWNER TO regress_priv_super;
GRANT CREATE ON SCHEMA outbox TO regress_priv_nobody;
CREATE EXTENSION outbox;
SET ROLE regress_priv_nobody;
CREATE FUNCTION outbox.emit(type text, payload varchar) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid';
RESET ROLE;
REVOKE CREATE ON SCHEMA outbox FROM regress_priv_nobody;
CREATE EXTENSION outbox;
DROP FUNCTION outbox.emit(text, varchar);
GRANT CREATE ON SCHEMA outbox TO PUBLIC;
CREATE EXTENSION outbox;
REVOKE CREATE ON SCHEMA outbox FROM PUBLIC;
-- The roles outlive the extension, and are found again.
SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE 'outbox\_%' ORDER BY 1;
CREATE EXTENSION outbox;
SELECT r.name FROM roles r WHERE has_schema_privilege(r.role, 'outbox', 'USAGE') ORDER BY r.place;
DROP OWNED BY regress_priv_nobody, regress_priv_emitter, regress_priv_monitor, regress_priv_admin,
	regress_priv_grantee, regress_priv_owner, regress_priv_capturer, regress_priv_reader, regress_priv_writer;
DROP VIEW roles;
REASSIGN OWNED BY regress_priv_super TO postgres;
DROP ROLE regress_priv_nobody, regress_priv_emitter, regress_priv_monitor, regress_priv_admin,
	regress_priv_grantee, regress_priv_owner, regress_priv_capturer, regress_priv_reader, regress_priv_writer,
	regress_priv_super;
