-- Who may create, alter, grant and emit.
CREATE ROLE regress_outbox_team;
CREATE ROLE regress_outbox_dev IN ROLE regress_outbox_team;
CREATE ROLE regress_outbox_apps;
CREATE ROLE regress_outbox_app IN ROLE regress_outbox_apps;
CREATE ROLE regress_outbox_noinherit NOINHERIT IN ROLE regress_outbox_apps;
CREATE ROLE regress_outbox_stranger;

-- nothing by default
SET ROLE regress_outbox_stranger;
SELECT outbox.emit('t', '{}');
INSERT INTO outbox.event (type, payload) VALUES ('t', '{}');
RESET ROLE;
-- the schema alone opens nothing
GRANT USAGE ON SCHEMA outbox TO regress_outbox_stranger;
SET ROLE regress_outbox_stranger;
SELECT outbox.emit('t', '{}');
SELECT outbox.emit('t', row(1));
SELECT outbox.emit_avro('t', '');
SELECT outbox.create_event_type('t', format => 'json');
SELECT outbox.alter_event_type('t', topic => 'x');
SELECT outbox.drop_event_type('t');
SELECT outbox.grant_emit('t', 'regress_outbox_stranger');
SELECT outbox.attach_table('pg_class');
SELECT outbox.new_secret();
SELECT outbox.new_identity();
SELECT * FROM outbox.event_types;
SELECT * FROM outbox.secret;
SELECT * FROM outbox.instance;
SELECT * FROM outbox.schema;
SELECT * FROM outbox.route;
SELECT * FROM outbox.event_type_def;
SELECT * FROM outbox.event_type_grant;
SELECT * FROM outbox.attached_table;
RESET ROLE;
REVOKE USAGE ON SCHEMA outbox FROM regress_outbox_stranger;

-- a creator owns what it creates, and opens it to others
GRANT USAGE ON SCHEMA outbox TO regress_outbox_team;
GRANT EXECUTE ON FUNCTION outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval)
	TO regress_outbox_team;
SET ROLE regress_outbox_team;
SELECT outbox.create_event_type('order', format => 'json') IS NOT NULL AS ok;
SELECT outbox.create_event_type('audit', format => 'json') IS NOT NULL AS ok;
SELECT outbox.emit('order', '{}') IS NOT NULL AS ok;
SET ROLE regress_outbox_dev;
SELECT outbox.emit('order', '{}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('order', partitions => 2);
SELECT outbox.grant_emit('order', 'regress_outbox_apps');
SELECT outbox.grant_emit('order', 'regress_outbox_apps');
SELECT outbox.grant_emit('order', 'regress_outbox_nobody');
SELECT name, owner FROM outbox.event_types ORDER BY name;
RESET ROLE;
SELECT event_type, created_by FROM outbox.route ORDER BY id;

-- a grantee emits that type and no other, and manages nothing
SET ROLE regress_outbox_app;
SELECT outbox.emit('order', '{}') IS NOT NULL AS ok;
INSERT INTO outbox.event (type, payload) VALUES ('order', '{}') RETURNING type;
SELECT outbox.emit('audit', '{}');
INSERT INTO outbox.event (type, payload) VALUES ('audit', '{}');
SELECT name, owner FROM outbox.event_types;
SELECT outbox.alter_event_type('order', topic => 'x');
SELECT outbox.grant_emit('order', 'regress_outbox_stranger');
SELECT outbox.create_event_type('mine', format => 'json');
-- without INHERIT only after SET ROLE
SET ROLE regress_outbox_noinherit;
SELECT outbox.emit('order', '{}');
RESET ROLE;
GRANT USAGE ON SCHEMA outbox TO regress_outbox_noinherit;
GRANT EXECUTE ON FUNCTION outbox.emit(text, text, text, jsonb, uuid) TO regress_outbox_noinherit;
SET ROLE regress_outbox_noinherit;
SELECT outbox.emit('order', '{}');
RESET ROLE;

-- a role that may create but does not own
CREATE ROLE regress_outbox_other;
GRANT USAGE ON SCHEMA outbox TO regress_outbox_other;
GRANT EXECUTE ON FUNCTION outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval)
	TO regress_outbox_other;
SET ROLE regress_outbox_other;
SELECT outbox.create_event_type('other', format => 'json') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('order', topic => 'x');
SELECT outbox.drop_event_type('order');
SELECT outbox.grant_emit('order', 'regress_outbox_other');
SELECT outbox.revoke_emit('order', 'regress_outbox_apps');
SELECT outbox.drop_event_type('other');
-- creating goes on being possible after the last one was dropped
SELECT outbox.create_event_type('other', format => 'json') IS NOT NULL AS ok;
RESET ROLE;
-- SECURITY DEFINER does not lend the caller's ownership to the function's owner
CREATE SCHEMA trap AUTHORIZATION regress_outbox_other;
SET ROLE regress_outbox_other;
CREATE FUNCTION trap.take() RETURNS void LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$ SELECT outbox.grant_emit('order', 'regress_outbox_other') $$;
GRANT USAGE ON SCHEMA trap TO public;
SET ROLE regress_outbox_team;
SELECT trap.take();
RESET ROLE;
SELECT trap.take();
DROP SCHEMA trap CASCADE;
SET ROLE regress_outbox_other;
SELECT outbox.drop_event_type('other');
RESET ROLE;

-- SECURITY DEFINER: the function's owner counts, not whoever called
CREATE SCHEMA app AUTHORIZATION regress_outbox_app;
SET ROLE regress_outbox_app;
CREATE FUNCTION app.place() RETURNS boolean LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$ SELECT outbox.emit('order', '{}') IS NOT NULL $$;
CREATE FUNCTION app.place_audit() RETURNS boolean LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$ SELECT outbox.emit('audit', '{}') IS NOT NULL $$;
GRANT USAGE ON SCHEMA app TO public;
SET ROLE regress_outbox_stranger;
SELECT app.place();
RESET ROLE;
SELECT app.place_audit();

-- a view or trigger of the grantee does not lend more either
SET ROLE regress_outbox_app;
CREATE VIEW app.v AS SELECT outbox.emit('order', '{}') IS NOT NULL AS ok;
GRANT SELECT ON app.v TO public;
SET ROLE regress_outbox_stranger;
SELECT * FROM app.v;
RESET ROLE;

-- taking back
SET ROLE regress_outbox_dev;
SELECT outbox.grant_emit('audit', 'regress_outbox_apps');
SELECT outbox.revoke_emit('order', 'regress_outbox_apps');
SET ROLE regress_outbox_app;
SELECT outbox.emit('order', '{}');
SELECT outbox.emit('audit', '{}') IS NOT NULL AS ok;
SET ROLE regress_outbox_dev;
SELECT outbox.revoke_emit('audit', 'regress_outbox_apps');
SET ROLE regress_outbox_app;
SELECT outbox.emit('audit', '{}');
RESET ROLE;

-- public
SELECT outbox.grant_emit('audit', 'public');
SET ROLE regress_outbox_stranger;
SELECT outbox.emit('audit', '{}') IS NOT NULL AS ok;
SELECT outbox.emit('order', '{}');
SELECT name FROM outbox.event_types;
RESET ROLE;
SELECT outbox.revoke_emit('audit', 'public');
SET ROLE regress_outbox_stranger;
SELECT outbox.emit('audit', '{}');
RESET ROLE;

-- a forged message costs nothing but is no event: anybody can write the prefix
SET ROLE regress_outbox_stranger;
SELECT pg_logical_emit_message(true, 'outbox', 'forged') IS NOT NULL AS ok;
RESET ROLE;

DROP SCHEMA app CASCADE;
SELECT outbox.drop_event_type('order');
SELECT outbox.drop_event_type('audit');
DROP OWNED BY regress_outbox_team, regress_outbox_dev, regress_outbox_apps, regress_outbox_app,
	regress_outbox_noinherit, regress_outbox_other, regress_outbox_stranger;
DROP ROLE regress_outbox_dev, regress_outbox_app, regress_outbox_noinherit, regress_outbox_other,
	regress_outbox_stranger, regress_outbox_team, regress_outbox_apps;
