-- outbox.check(): what the server can tell.  There is no broker here, and so no
-- relay at work; test/t/420_check.pl has those.
\set VERBOSITY terse
CREATE EXTENSION outbox;
-- The relay has found out that there is nothing to connect to.
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT state FROM outbox.status()) = 'misconfigured';
		PERFORM pg_sleep(0.1);
	END LOOP;
END $$;
-- Of other databases, or with numbers of the moment: left out.
CREATE VIEW found AS
	SELECT severity, regexp_replace(object, 'outbox_\d+', 'outbox_N') AS object,
		regexp_replace(problem, '\d+ (bytes|kB|MB|GB) of WAL', 'N of WAL') AS problem,
		hint
	FROM outbox.check('0 s', '1 day')
	WHERE object NOT IN ('outbox.max_databases', 'max_replication_slots', 'max_worker_processes', 'Patroni')
		AND NOT (object = 'relay' AND severity <> 'error');
\x on
SELECT * FROM found;
\x off
SELECT count(*) = count(checked_at) AND max(checked_at) <= clock_timestamp() AS dated,
	min(checked_at) > now() - interval '1 min' AS now FROM outbox.check('0 s');

-- the rows that anything below adds
CREATE TABLE usual AS SELECT * FROM found;
CREATE VIEW news AS SELECT * FROM found EXCEPT SELECT * FROM usual ORDER BY 1, 2, 3;

-- the slot
SELECT pg_drop_replication_slot('outbox_' || oid) FROM pg_database WHERE datname = current_database();
SELECT * FROM news;
SELECT pg_create_physical_replication_slot('outbox_' || oid, true) IS NOT NULL AS made
FROM pg_database WHERE datname = current_database();
SELECT * FROM news;

-- attached tables and their triggers
SELECT outbox.create_event_type('plain', format => 'json');
SELECT outbox.create_outbox_table('box');
SELECT * FROM news;
ALTER TABLE box DISABLE TRIGGER outbox_emit_row;
ALTER TABLE box ENABLE REPLICA TRIGGER outbox_refuse_update;
SELECT * FROM news;
ALTER TABLE box ENABLE TRIGGER outbox_emit_row;
ALTER TABLE box ENABLE ALWAYS TRIGGER outbox_refuse_update;
SELECT * FROM news;
DROP TRIGGER outbox_emit_row ON box;
SELECT * FROM news;
SELECT outbox.detach_table('box');
SELECT * FROM news;

-- captured tables
CREATE TABLE item (id integer PRIMARY KEY, what text);
SELECT outbox.capture('item') IS NOT NULL AS captured;
ALTER TABLE item DISABLE TRIGGER outbox_capture_delete;
SELECT * FROM news;
ALTER TABLE item ENABLE TRIGGER outbox_capture_delete;
SELECT * FROM news;

-- event triggers, and what happens behind their backs
CREATE TYPE placed AS (id integer, what text);
SELECT outbox.create_event_type('order.placed', row_type => 'placed');
SELECT * FROM news;
ALTER EVENT TRIGGER outbox_ddl_gate DISABLE;
ALTER TYPE placed ADD ATTRIBUTE more text;
SELECT * FROM news;
ALTER EVENT TRIGGER outbox_ddl_gate ENABLE;
SELECT * FROM news;
SELECT outbox.alter_event_type('order.placed', row_type => 'placed');
SELECT * FROM news;

-- a prepared transaction
BEGIN;
SELECT outbox.emit('plain', '{}'::jsonb) IS NOT NULL AS emitted;
PREPARE TRANSACTION 'check''s own';
SELECT severity, object, regexp_replace(problem, 'since .*', 'since then') AS problem, hint
FROM outbox.check('0 s', '0 s') WHERE object LIKE '%prepared%check%';
SELECT count(*) FROM outbox.check('0 s', '1 day') WHERE object LIKE '%prepared%check%';
ROLLBACK PREPARED 'check''s own';

-- limits of WAL
SELECT count(*) FROM outbox.check('0 s') WHERE object LIKE 'replication slot outbox%' AND severity = 'info';

-- the predefined roles
CREATE ROLE regress_check_team;
CREATE ROLE regress_check_one IN ROLE regress_check_team;
GRANT outbox_admin TO regress_check_team;
SELECT * FROM news;
REVOKE outbox_admin FROM regress_check_team;
DROP ROLE regress_check_one, regress_check_team;
BEGIN;
ALTER ROLE outbox_emitter LOGIN;
ALTER ROLE outbox_monitor RENAME TO regress_check_monitor;
SELECT * FROM news;
ROLLBACK;

-- who may
CREATE ROLE regress_check_nobody;
GRANT USAGE ON SCHEMA outbox TO regress_check_nobody;
SET ROLE regress_check_nobody;
SELECT * FROM outbox.check();
SELECT * FROM outbox.kafka_findings('1 s');
SELECT * FROM outbox.check_tables();
RESET ROLE;
GRANT EXECUTE ON FUNCTION outbox.check(interval, interval) TO regress_check_nobody;
SET ROLE regress_check_nobody;
SELECT count(*) > 3 AS allowed FROM outbox.check('0 s');
RESET ROLE;
DROP OWNED BY regress_check_nobody;
DROP ROLE regress_check_nobody;

-- null, no time, and a time that has passed
SELECT count(*) > 3 AS answered FROM outbox.check(NULL, NULL);
SELECT count(*) > 3 AS answered FROM outbox.check('-1 s', '-1 s');
