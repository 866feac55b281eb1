-- Who may capture which table, and who may write to a captured one.
\set SHOW_CONTEXT never
CREATE ROLE regress_cap_team;
CREATE ROLE regress_cap_dev IN ROLE regress_cap_team;
CREATE ROLE regress_cap_writer;
CREATE ROLE regress_cap_stranger;
CREATE SCHEMA shop AUTHORIZATION regress_cap_team;
GRANT USAGE ON SCHEMA shop TO regress_cap_writer, regress_cap_stranger;
SET ROLE regress_cap_team;
CREATE TABLE shop.orders (id int PRIMARY KEY, n int, owner name DEFAULT current_user);
CREATE TABLE shop.lines (id int PRIMARY KEY, order_id int REFERENCES shop.orders ON DELETE CASCADE);
GRANT INSERT, UPDATE, SELECT ON shop.orders TO regress_cap_writer;
CREATE VIEW shop.v AS SELECT * FROM shop.orders;
GRANT INSERT, SELECT ON shop.v TO regress_cap_stranger;
RESET ROLE;
CREATE TABLE shop.others (id int PRIMARY KEY);

-- nothing by default; the schema alone opens nothing
GRANT USAGE ON SCHEMA outbox TO regress_cap_team, regress_cap_stranger;
SET ROLE regress_cap_stranger;
SELECT outbox.capture('shop.orders');
SELECT outbox.alter_capture('shop.orders', topic => 'x');
SELECT outbox.uncapture('shop.orders');
SELECT outbox.capture_schema('shop');
SELECT outbox.uncapture_schema('shop');
SELECT outbox.grant_capture('regress_cap_stranger');
SELECT * FROM outbox.captures;
SELECT * FROM outbox.capture_def;
SELECT * FROM outbox.captured_schema;
SELECT * FROM outbox.capture_salt;
CREATE TABLE pg_temp.mine (id int);
CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION outbox.capture_change();
CREATE TRIGGER t AFTER TRUNCATE ON mine EXECUTE FUNCTION outbox.capture_truncate();
SET ROLE regress_cap_team;
SELECT outbox.capture('shop.orders');
RESET ROLE;
REVOKE USAGE ON SCHEMA outbox FROM regress_cap_team, regress_cap_stranger;

-- granted: one's own tables, or those of a role that one is a member of
SELECT outbox.grant_capture('regress_cap_team');
SELECT outbox.grant_capture('regress_cap_stranger');
SET ROLE regress_cap_stranger;
SELECT outbox.capture('shop.orders');
SET ROLE regress_cap_team;
SELECT outbox.capture('shop.others');
SET ROLE regress_cap_dev;
SELECT outbox.capture('shop.orders', format => 'json') IS NOT NULL AS ok;
SELECT outbox.capture('shop.lines') IS NOT NULL AS ok;
SELECT relation, topic FROM outbox.captures ORDER BY 1;
SET ROLE regress_cap_stranger;
SELECT relation, topic FROM outbox.captures ORDER BY 1;
SELECT outbox.alter_capture('shop.orders', topic => 'x');
SELECT outbox.uncapture('shop.orders');
RESET ROLE;
SELECT created_by, topic FROM outbox.route ORDER BY id;

-- whoever may write to the table needs nothing else; cascades and views likewise
SET ROLE regress_cap_writer;
INSERT INTO shop.orders VALUES (1, 1);
UPDATE shop.orders SET n = 2;
SET ROLE regress_cap_stranger;
INSERT INTO shop.v VALUES (2, 2);
INSERT INTO shop.orders VALUES (3, 3);
SET ROLE regress_cap_team;
INSERT INTO shop.lines VALUES (1, 1);
DELETE FROM shop.orders WHERE id = 1;
RESET ROLE;

-- subjects belong to the owners of the tables that write under them
SET ROLE regress_cap_stranger;
CREATE TEMP TABLE t (id int);
RESET ROLE;
CREATE SCHEMA strange AUTHORIZATION regress_cap_stranger;
SET ROLE regress_cap_stranger;
CREATE TABLE strange.t (id int PRIMARY KEY);
SELECT outbox.capture('strange.t', topic => 'regress_capture_privileges.shop.lines');
SELECT outbox.capture('strange.t', compatibility => 'FULL') IS NOT NULL AS ok;
-- DDL by the owner needs no right to anything of ours
ALTER TABLE strange.t ADD COLUMN x int;
DROP TABLE strange.t;
RESET ROLE;

-- row security
SET ROLE regress_cap_team;
CREATE TABLE shop.secured (id int PRIMARY KEY);
ALTER TABLE shop.secured ENABLE ROW LEVEL SECURITY;
SELECT outbox.capture('shop.secured');
SELECT outbox.capture('shop.secured', row_security => true) IS NOT NULL AS ok;
SELECT outbox.uncapture('shop.secured');
ALTER TABLE shop.secured FORCE ROW LEVEL SECURITY;
SELECT outbox.capture('shop.secured', row_security => true);
ALTER TABLE shop.lines ENABLE ROW LEVEL SECURITY;
SELECT outbox.alter_capture('shop.lines', row_security => true);
ALTER TABLE shop.lines ENABLE ROW LEVEL SECURITY;
RESET ROLE;
SELECT outbox.capture('shop.secured', row_security => true) IS NOT NULL AS ok;

-- a schema: by its owner; tables of others that come later are left out
SET ROLE regress_cap_stranger;
SELECT outbox.capture_schema('shop');
SET ROLE regress_cap_dev;
SELECT outbox.capture_schema('shop');
SELECT outbox.capture_schema('shop', exclude => '{others}');
RESET ROLE;
CREATE TABLE shop.by_super (id int);
SET ROLE regress_cap_team;
CREATE TABLE shop.by_team (id int);
SELECT relation FROM outbox.captures ORDER BY 1;
RESET ROLE;

-- taking back leaves what is captured
SELECT outbox.revoke_capture('regress_cap_team');
SET ROLE regress_cap_team;
SELECT outbox.uncapture('shop.orders');
INSERT INTO shop.orders VALUES (10, 10);
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA shop, strange CASCADE;
SELECT count(*) FROM outbox.captures;
SELECT count(*) FROM outbox.captured_schema;
DROP OWNED BY regress_cap_team, regress_cap_dev, regress_cap_writer, regress_cap_stranger;
DROP ROLE regress_cap_dev, regress_cap_team, regress_cap_writer, regress_cap_stranger;
