-- Roles that go away: what they were granted goes too, what they own holds them.
CREATE ROLE regress_outbox_gone;
CREATE ROLE regress_outbox_stays;
CREATE ROLE regress_outbox_super SUPERUSER;
SELECT outbox.create_event_type('first', format => 'json');
SELECT outbox.create_event_type('open', format => 'json');
SELECT outbox.grant_emit('open', 'public');
SELECT outbox.grant_emit('first', 'regress_outbox_gone');
SELECT outbox.grant_emit('first', 'regress_outbox_stays');
SELECT outbox.grant_emit('first', 'regress_outbox_super');

-- Refused for the privileges, as for other objects; the first line is enough.
\set VERBOSITY terse
DROP ROLE regress_outbox_gone;
\set VERBOSITY default
BEGIN;
DROP OWNED BY regress_outbox_gone;
ROLLBACK;
SELECT grantee FROM outbox.event_type_grant WHERE grantee <> 0 ORDER BY grantee::text;

-- DROP OWNED takes the right away, not only the doors.
DROP OWNED BY regress_outbox_gone;
SELECT grantee FROM outbox.event_type_grant WHERE grantee <> 0 ORDER BY grantee::text;
SET ROLE regress_outbox_gone;
SELECT outbox.emit('first', '{}');
RESET ROLE;
DROP ROLE regress_outbox_gone;

-- Without the right to do it, nothing happens.
SET ROLE regress_outbox_stays;
\set VERBOSITY terse
DROP OWNED BY regress_outbox_super;
\set VERBOSITY default
RESET ROLE;
SELECT grantee FROM outbox.event_type_grant WHERE grantee <> 0 ORDER BY grantee::text;

-- A superuser needs no privilege, so none holds it.
SET ROLE regress_outbox_super;
SELECT outbox.create_event_type('owned', format => 'json');
RESET ROLE;
DROP ROLE regress_outbox_super;
SELECT outbox.drop_event_type('owned');
DROP ROLE regress_outbox_super;
SELECT grantee FROM outbox.event_type_grant WHERE grantee <> 0 ORDER BY grantee::text;

-- One that owns a type without being superuser.
GRANT USAGE ON SCHEMA outbox TO regress_outbox_stays;
GRANT EXECUTE ON FUNCTION outbox.create_event_type TO regress_outbox_stays;
SET ROLE regress_outbox_stays;
SELECT outbox.create_event_type('owned', format => 'json');
RESET ROLE;
DROP OWNED BY regress_outbox_stays;
DROP ROLE regress_outbox_stays;
SELECT outbox.drop_event_type('owned');
DROP ROLE regress_outbox_stays;
SELECT count(*) FROM outbox.event_type_grant WHERE grantee <> 0;

-- Where the extension is not, nobody asks.
DROP EXTENSION outbox;
CREATE ROLE regress_outbox_other;
DROP OWNED BY regress_outbox_other;
DROP ROLE regress_outbox_other;
