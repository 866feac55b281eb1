-- Subjects of event types: names, versions, levels, rights.
\set SHOW_CONTEXT never
CREATE VIEW versions AS
	SELECT subject, version, deleted, definition, created_by, statement FROM outbox.schema_versions
	ORDER BY subject, version;

-- one subject per topic and record, unless the event type says otherwise
SELECT outbox.create_event_type('placed', topic => 'shop', key => 'id',
	schema => '{"type":"record","name":"shop.Placed","fields":[{"name":"id","type":"int"}]}') IS NOT NULL AS ok;
SELECT outbox.create_event_type('shipped', topic => 'shop',
	schema => '{"type":"record","name":"shop.Shipped","fields":[{"name":"id","type":"int"}]}') IS NOT NULL AS ok;
SELECT outbox.create_event_type('by.topic', topic => 'one', subject_name_strategy => 'TopicName',
	schema => '{"type":"record","name":"A","fields":[]}') IS NOT NULL AS ok;
SELECT outbox.create_event_type('by.record', topic => 'two', subject_name_strategy => 'RecordName',
	schema => '{"type":"record","name":"A","fields":[]}') IS NOT NULL AS ok;
SELECT outbox.create_event_type('by.template', topic => 'eu.${aggregatetype}.v1',
	schema => '{"type":"record","name":"A","fields":[]}') IS NOT NULL AS ok;
SELECT outbox.create_event_type('by.json', topic => 'json', format => 'json',
	schema => '{"type":"record","name":"J","fields":[]}') IS NOT NULL AS ok;
SELECT name, topic, subject_name_strategy, subject FROM outbox.event_types ORDER BY name;
SELECT subject, version, deleted, definition FROM versions;
SELECT subject, compatibility, effective_compatibility, effective_mode, latest_version, versions, deleted_versions
FROM outbox.subjects ORDER BY subject;
-- one text, one id, in however many subjects
SELECT count(*), count(DISTINCT schema_id) FROM outbox.schema_versions WHERE definition LIKE '%"A"%';
SELECT outbox.create_event_type('x', topic => 'x', subject_name_strategy => 'topicname',
	schema => '{"type":"record","name":"A","fields":[]}');
SELECT outbox.create_event_type('x', topic => 'x', compatibility => 'BACKWARDS',
	schema => '{"type":"record","name":"A","fields":[]}');
SELECT outbox.create_event_type('x', topic => 'x', format => 'json', compatibility => 'FULL');

-- a schema that may follow becomes the next version; the same one does not
SELECT outbox.alter_event_type('placed', schema => '{"type":"record","name":"shop.Placed","fields":[
	{"name":"id","type":"long"}, {"name":"note","type":["null","string"],"default":null}]}');
SELECT outbox.alter_event_type('placed', schema => '{"name":"Placed", "namespace":"shop", "type":"record","fields":[
	{"type":"long","name":"id"}, {"name":"note","type":["null","string"],"default":null}]}');
SELECT outbox.alter_event_type('placed', partitions => 3);
SELECT subject, version, definition FROM versions WHERE subject = 'shop-shop.Placed';
-- who, how; the statement alone, not what was sent with it
SELECT 'secret' AS a \; SELECT outbox.alter_event_type('placed', schema => '{"type":"record","name":"shop.Placed","fields":[
	{"name":"id","type":"long"}]}') \; SELECT 'secret' AS b;
SELECT version, created_by = current_user AS mine, statement FROM versions WHERE subject = 'shop-shop.Placed';

-- one that may not is refused, with rule, path, both sides, and what to do
SELECT outbox.alter_event_type('placed', schema => '{"type":"record","name":"shop.Placed","fields":[
	{"name":"id","type":"string"}, {"name":"price","type":"int"}]}');
SELECT outbox.alter_event_type('placed', schema => '{"type":"record","name":"shop.Placed","fields":[
	{"name":"id","type":"long"}, {"name":"price","type":"int"}]}');
\set VERBOSITY sqlstate
SELECT outbox.alter_event_type('placed', schema => '{"type":"record","name":"shop.Placed","fields":[
	{"name":"id","type":"long"}, {"name":"price","type":"int"}]}');
\set VERBOSITY default
-- unless told so, in this transaction
BEGIN;
SET LOCAL outbox.allow_incompatible_schema = on;
SELECT outbox.alter_event_type('placed', schema => '{"type":"record","name":"shop.Placed","fields":[
	{"name":"id","type":"long"}, {"name":"price","type":"int"}]}');
COMMIT;
SELECT outbox.emit('placed', '{"id": 1, "price": 2}') IS NOT NULL AS ok;

-- levels
SELECT outbox.set_compatibility('shop-shop.Shipped', 'forward');
SELECT subject, compatibility, effective_compatibility FROM outbox.subjects WHERE subject LIKE 'shop%' ORDER BY subject;
SELECT outbox.alter_event_type('shipped', schema => '{"type":"record","name":"shop.Shipped","fields":[
	{"name":"at","type":"int"}]}');
SELECT outbox.alter_event_type('shipped', schema => '{"type":"record","name":"shop.Shipped","fields":[
	{"name":"id","type":"int"}, {"name":"at","type":"int"}]}');
-- back to what was there: readers by now want "at"
SELECT outbox.alter_event_type('shipped', schema => '{"type":"record","name":"shop.Shipped","fields":[
	{"name":"id","type":"int"}]}');
-- at BACKWARD it may go back, without a new version
SELECT outbox.alter_event_type('shipped', compatibility => 'BACKWARD', schema => '{"type":"record","name":"shop.Shipped","fields":[
	{"name":"id","type":"int"}]}');
SELECT subject, version FROM versions WHERE subject LIKE '%Shipped';
-- where it is now counts too: not version 2 alone, which would allow this
SELECT outbox.alter_event_type('shipped', compatibility => 'BACKWARD', schema => '{"type":"record","name":"shop.Shipped","fields":[
	{"name":"at","type":"int"}]}');
SELECT outbox.alter_event_type('shipped', compatibility => 'NONE', schema => '{"type":"record","name":"shop.Shipped","fields":[
	{"name":"at","type":"string"}]}');
SELECT outbox.set_compatibility('shop-shop.Shipped', 'FULL_TRANSITIVE');
SELECT outbox.alter_event_type('shipped', schema => '{"type":"record","name":"shop.Shipped","fields":[
	{"name":"at","type":"string"}, {"name":"id", "type":"int", "default": 0}]}');
SELECT outbox.set_compatibility('shop-shop.Shipped', NULL);
SELECT outbox.set_compatibility('shop-shop.Shipped', 'SOME');
SELECT outbox.set_compatibility(NULL, 'NONE');
-- the default is a setting
SET outbox.compatibility = 'FULL';
SELECT effective_compatibility FROM outbox.subjects WHERE subject LIKE '%Shipped';
RESET outbox.compatibility;

-- another topic or strategy, another subject: the schema is a version there
SELECT outbox.alter_event_type('by.topic', topic => 'three');
SELECT outbox.alter_event_type('by.record', subject_name_strategy => 'TopicRecordName');
SELECT outbox.alter_event_type('by.json', format => 'avro', compatibility => 'NONE');
SELECT outbox.alter_event_type('by.template', format => 'json');
SELECT name, topic, subject_name_strategy, subject FROM outbox.event_types WHERE name LIKE 'by%' ORDER BY name;
SELECT subject, version FROM versions WHERE subject NOT LIKE 'shop%';
-- under which it must fit
SELECT outbox.create_event_type('b', topic => 'three', subject_name_strategy => 'TopicName',
	schema => '{"type":"record","name":"B","fields":[{"name":"id","type":"int"}]}');
SELECT outbox.create_event_type('b', topic => 'four', subject_name_strategy => 'TopicName',
	schema => '{"type":"record","name":"B","fields":[{"name":"id","type":"int"}]}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('b', topic => 'three');

-- rolled back: no subject, no version, no schema
SELECT count(*) AS schemas FROM outbox.schemas \gset
BEGIN;
SELECT outbox.create_event_type('gone', schema => '{"type":"record","name":"Gone","fields":[]}') IS NOT NULL AS ok;
SELECT count(*) FROM versions WHERE subject LIKE '%Gone';
ROLLBACK;
SELECT count(*) FROM versions WHERE subject LIKE '%Gone';
SELECT count(*) - :schemas AS more FROM outbox.schemas;

-- who may
CREATE ROLE regress_schema_a;
CREATE ROLE regress_schema_b;
GRANT USAGE ON SCHEMA outbox TO regress_schema_a, regress_schema_b;
GRANT EXECUTE ON FUNCTION outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval)
	TO regress_schema_a, regress_schema_b;
SET ROLE regress_schema_a;
SELECT outbox.create_event_type('a.own', topic => 'own', subject_name_strategy => 'TopicName',
	schema => '{"type":"record","name":"Own","fields":[]}') IS NOT NULL AS ok;
SELECT outbox.set_compatibility('own-value', 'FULL');
SELECT outbox.set_compatibility('shop-shop.Placed', 'NONE');
SELECT outbox.set_compatibility('nobody', 'NONE');
SET outbox.compatibility = 'NONE';
SELECT subject, version, created_by, statement IS NOT NULL AS shown FROM outbox.schema_versions
WHERE subject IN ('own-value', 'shop-shop.Placed') ORDER BY 1, 2;
SELECT subject, compatibility FROM outbox.subjects WHERE subject = 'own-value';
SELECT count(*) > 0 AS seen FROM outbox.schemas;
SET ROLE regress_schema_b;
SELECT * FROM outbox.subjects;
SELECT outbox.set_compatibility('own-value', 'NONE');
-- another's subject takes nothing from others, not even what it has
SELECT outbox.create_event_type('b.own', topic => 'own', subject_name_strategy => 'TopicName',
	schema => '{"type":"record","name":"Own","fields":[]}');
SET outbox.allow_incompatible_schema = on;
SELECT outbox.create_event_type('b.own', topic => 'own', subject_name_strategy => 'TopicName',
	schema => '{"type":"record","name":"Other","fields":[]}');
RESET outbox.allow_incompatible_schema;
SELECT outbox.create_event_type('b.own', topic => 'b', compatibility => 'FULL',
	schema => '{"type":"record","name":"Own","fields":[]}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('b.own', topic => 'own', subject_name_strategy => 'TopicName');
SELECT outbox.alter_event_type('b.own', topic => 'own', subject_name_strategy => 'TopicName', compatibility => 'NONE');
-- the override counts for one's own
SELECT outbox.alter_event_type('b.own', schema => '{"type":"record","name":"Own","fields":[{"name":"x","type":"int"}]}');
SET outbox.allow_incompatible_schema = on;
SELECT outbox.alter_event_type('b.own', schema => '{"type":"record","name":"Own","fields":[{"name":"x","type":"int"}]}');
RESET outbox.allow_incompatible_schema;
RESET ROLE;
-- whoever stands above may join; then it is no longer the owner's alone
SELECT outbox.create_event_type('joined', topic => 'own', subject_name_strategy => 'TopicName',
	schema => '{"type":"record","name":"Own","fields":[]}') IS NOT NULL AS ok;
SET ROLE regress_schema_a;
SELECT outbox.set_compatibility('own-value', 'NONE');
SELECT outbox.alter_event_type('a.own', schema => '{"type":"record","name":"Own","fields":[]}');
RESET ROLE;
SELECT outbox.drop_event_type('joined');
SET ROLE regress_schema_a;
SELECT outbox.set_compatibility('own-value', 'NONE');
RESET ROLE;
-- the views go with the last event type
SELECT outbox.drop_event_type('a.own');
SET ROLE regress_schema_a;
SELECT * FROM outbox.subjects;
RESET ROLE;
SELECT count(outbox.drop_event_type(name)) > 0 FROM outbox.event_types WHERE owner IN ('regress_schema_a'::regrole, 'regress_schema_b'::regrole);
DROP OWNED BY regress_schema_a, regress_schema_b;
DROP ROLE regress_schema_a, regress_schema_b;
