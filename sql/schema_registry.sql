-- The functions behind the registry's HTTP API, and their error codes.
\set SHOW_CONTEXT never
\set VERBOSITY default
-- ids begin at a random place: what is shown is the place among all
CREATE FUNCTION nth(id bigint) RETURNS bigint LANGUAGE sql AS
$$ SELECT count(*) FROM outbox.schemas s WHERE s.id <= $1 $$;
-- code and message of a call
CREATE FUNCTION try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
BEGIN
	EXECUTE 'SELECT ' || call INTO result;
	RETURN 'ok: ' || coalesce(result, 'null');
EXCEPTION WHEN others THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ': ' || sqlerrm || CASE WHEN detail <> '' THEN E'\n  ' || detail ELSE '' END;
END $$;

-- one text, one id; the same again is the same version
SELECT nth(id), version, definition, refs FROM outbox.registry_register('s', '{"name":"R","type":"record","fields":[{"type":"int","name":"i"}]}');
SELECT nth(id), version FROM outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}');
SELECT nth(id), version FROM outbox.registry_register('t', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}');
SELECT nth(id), version, definition FROM outbox.registry_register('u', '"string"');
SELECT nth(id), version FROM outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"long"}]}');
SELECT subject, versions, latest_version FROM outbox.subjects ORDER BY subject;
SELECT nth(id), definition FROM outbox.schemas ORDER BY id;
SELECT try($$version FROM outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}', wanted_version => 7)$$);
-- what is wrong
SELECT try($$outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"j","type":"int"}]}')$$);
SELECT try($$outbox.registry_register('s', '{"type":"record","name":"R"}')$$);
SELECT try($$outbox.registry_register('s', 'no json')$$);
SELECT try($$outbox.registry_register('s', '"unknown"')$$);
SELECT try($$outbox.registry_register('', '"int"')$$);
SELECT try($$outbox.registry_register(E'a\nb', '"int"')$$);
SELECT try($$outbox.registry_register('__GLOBAL', '"int"')$$);
SELECT left(try($$outbox.registry_register(repeat('x', 1025), '"int"')$$), 30);
SELECT try($$outbox.registry_register(NULL, '"int"')$$);
SELECT try($$outbox.registry_register('s', NULL)$$);
SELECT try($$outbox.registry_register('s', '"int"', wanted_id => 7)$$);
SELECT try($$outbox.registry_register('s', '"int"', wanted_id => -7)$$);
SELECT try($$outbox.registry_register('new', '"int"', wanted_version => 2)$$);

-- reading
SELECT nth(id), version, definition FROM outbox.registry_version('s', '1');
SELECT nth(id), version FROM outbox.registry_version('s', 'latest');
SELECT nth(id), version FROM outbox.registry_version('s', '-1');
SELECT try($$outbox.registry_version('s', '3')$$);
SELECT try($$outbox.registry_version('nobody', '1')$$);
SELECT try($$outbox.registry_version('nobody', 'latest')$$);
SELECT try($$outbox.registry_version('s', '0')$$);
SELECT try($$outbox.registry_version('s', '-2')$$);
SELECT try($$outbox.registry_version('s', '2147483648')$$);
SELECT try($$outbox.registry_version('s', '99999999999999999999')$$);
SELECT try($$outbox.registry_version('s', 'last')$$);
SELECT try($$outbox.registry_version('s', ' 1')$$);
SELECT nth(id), version FROM outbox.registry_lookup('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}');
SELECT try($$outbox.registry_lookup('s', '"int"')$$);
SELECT try($$outbox.registry_lookup('s', '"string"')$$);
SELECT try($$outbox.registry_lookup('nobody', '"int"')$$);
SELECT try($$outbox.registry_lookup('s', 'no json')$$);

-- compatibility
SELECT * FROM outbox.registry_check('s', 'latest', '{"type":"record","name":"R","fields":[{"name":"i","type":"double"}]}');
SELECT * FROM outbox.registry_check('s', '1', '{"type":"record","name":"R","fields":[{"name":"i","type":"string"}]}');
SELECT * FROM outbox.registry_check('s', NULL, '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}');
SELECT is_compatible FROM outbox.registry_check('s', '1', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}');
SELECT * FROM outbox.registry_check('nobody', NULL, '"int"');
SELECT try($$outbox.registry_check('nobody', '1', '"int"')$$);
SELECT try($$outbox.registry_check('s', '9', '"int"')$$);
SELECT try($$outbox.registry_check('s', 'x', '"int"')$$);
SELECT try($$outbox.registry_check('s', '1', '"unknown"')$$);

-- levels
SELECT outbox.registry_get_level(NULL), try($$outbox.registry_get_level('s')$$), outbox.registry_get_level('s', true);
SELECT outbox.registry_set_level(NULL, 'full'), outbox.registry_set_level('s', 'FORWARD_TRANSITIVE');
SELECT outbox.registry_get_level(NULL), outbox.registry_get_level('s'), outbox.registry_get_level('t', true);
SELECT try($$outbox.registry_set_level('s', 'SOME')$$), try($$outbox.registry_set_level('s', NULL)$$),
	try($$outbox.registry_set_level('', 'NONE')$$);
SELECT * FROM outbox.registry_check('s', NULL, '{"type":"record","name":"R","fields":[{"name":"i","type":"int"},{"name":"j","type":"int"}]}');
SELECT try($$outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"double"}]}')$$);
SELECT outbox.registry_delete_level('s');
SELECT outbox.registry_get_level('s', true), try($$outbox.registry_delete_level('s')$$);
SELECT outbox.registry_delete_level(NULL);
SELECT outbox.registry_get_level(NULL);
-- a level may be there before the first version
SELECT outbox.registry_set_level('later', 'NONE');
SELECT subject, compatibility, versions FROM outbox.subjects WHERE subject = 'later';
SELECT try($$outbox.registry_version('later', 'latest')$$);

-- references
SELECT nth(id), version FROM outbox.registry_register('types', '{"type":"record","name":"shop.Money","fields":[{"name":"amount","type":"long"}]}');
SELECT nth(id), version FROM outbox.registry_register('line', '{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"shop.Money"}]}',
	'[{"name":"shop.Money","subject":"types","version":1,"other":"key"}]');
SELECT nth(id), version, definition, refs FROM outbox.registry_register('order',
	'{"type":"record","name":"shop.Order","fields":[{"name":"lines","type":{"type":"array","items":"Line"}},{"name":"total","type":"Money"}]}',
	'[{"name":"shop.Line","subject":"line","version":-1},{"name":"shop.Money","subject":"types","version":1}]');
SELECT definition, refs FROM outbox.schema_versions WHERE subject = 'order';
SELECT resolved FROM outbox.schema WHERE resolved IS NOT NULL ORDER BY id;
-- decoding knows what they mean
SELECT outbox.decode('\x00' || int4send(schema_id) || '\x02040006') FROM outbox.schema_versions WHERE subject = 'order';
SELECT nth(id), version FROM outbox.registry_lookup('line', '{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"shop.Money"}]}',
	'[{"name":"shop.Money","subject":"types","version":1}]');
SELECT try($$outbox.registry_lookup('line', '{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"shop.Money"}]}', '[]')$$);
SELECT try($$outbox.registry_register('x', '"shop.Money"', '[{"name":"shop.Money","subject":"types","version":2}]')$$);
SELECT try($$outbox.registry_register('x', '"shop.Money"', '[{"name":"shop.Money","subject":"types","version":"x"}]')$$);
SELECT try($$outbox.registry_register('x', '"shop.Money"', '[{"name":"shop.Money","subject":"types"}]')$$);
SELECT try($$outbox.registry_register('x', '"shop.Money"', '[{"subject":"types","version":1}]')$$);
SELECT try($$outbox.registry_register('x', '"shop.Money"', '[1]')$$);
SELECT try($$outbox.registry_register('x', '"shop.Money"', '{"name":"shop.Money"}')$$);
SELECT try($$outbox.registry_register('x', '"shop.Money"', '7')$$);
SELECT try($$outbox.registry_register('x', '{"type":"record","name":"shop.Money","fields":[]}', '[{"name":"shop.Money","subject":"types","version":1}]')$$);
-- the checks see through them
SELECT nth(id), version FROM outbox.registry_register('types', '{"type":"record","name":"shop.Money","fields":[{"name":"amount","type":"long"},{"name":"currency","type":"string","default":"EUR"}]}');
SELECT * FROM outbox.registry_check('line', 'latest', '{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"shop.Money"}]}',
	'[{"name":"shop.Money","subject":"types","version":2}]');
SELECT outbox.registry_set_level('line', 'FULL');
SELECT nth(id), version, refs FROM outbox.registry_register('line', '{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"shop.Money"}]}',
	'[{"name":"shop.Money","subject":"types","version":2}]');
SELECT * FROM outbox.registry_check('line', 'latest', '{"type":"record","name":"shop.Line","fields":[{"name":"price","type":"shop.Money"},{"name":"vat","type":"shop.Money"}]}',
	'[{"name":"shop.Money","subject":"types","version":1}]');
SELECT try($$outbox.registry_delete_version('types', '1')$$);
SELECT try($$outbox.registry_delete_subject('types')$$);

-- deleting: softly first
SELECT try($$outbox.registry_delete_version('s', '1', true)$$);
SELECT try($$outbox.registry_delete_subject('s', true)$$);
SELECT outbox.registry_delete_version('s', '1');
SELECT try($$outbox.registry_delete_version('s', '1')$$);
SELECT try($$outbox.registry_delete_version('s', '9')$$);
SELECT try($$outbox.registry_delete_version('s', 'x')$$);
SELECT try($$outbox.registry_delete_version('nobody', '1')$$);
SELECT try($$outbox.registry_delete_version('nobody', 'latest')$$);
SELECT try($$outbox.registry_version('s', '1')$$);
SELECT nth(id), version FROM outbox.registry_version('s', '1', true);
SELECT versions, deleted_versions FROM outbox.subjects WHERE subject = 's';
SELECT try($$outbox.registry_lookup('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}')$$);
SELECT nth(id), version FROM outbox.registry_lookup('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}', deleted => true);
-- what is deleted counts in no check; registering it again is another version with the same id
SELECT outbox.registry_set_level('s', 'FULL');
SELECT try($$outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}')$$);
SELECT outbox.registry_delete_version('s', 'latest');
SELECT nth(id), version FROM outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}');
SELECT outbox.registry_delete_version('s', '1', true);
SELECT try($$outbox.registry_version('s', '1', true)$$);
SELECT outbox.registry_delete_subject('s');
SELECT try($$outbox.registry_delete_subject('s')$$);
SELECT try($$outbox.registry_version('s', 'latest')$$);
SELECT subject, compatibility, versions, deleted_versions FROM outbox.subjects WHERE subject = 's';
SELECT outbox.registry_delete_subject('s', true);
SELECT try($$outbox.registry_delete_subject('s', true)$$);
SELECT try($$outbox.registry_delete_subject('nobody')$$);
-- an id is known for ever, a number never given twice
SELECT nth(id), definition FROM outbox.schemas WHERE definition LIKE '%"R"%' ORDER BY id;
SELECT nth(id), version FROM outbox.registry_register('s', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}');
-- what refers may go, then what it refers to
SELECT outbox.registry_delete_subject('order');
SELECT outbox.registry_delete_subject('line');
SELECT outbox.registry_delete_subject('types');
SELECT outbox.registry_delete_subject('types', true);
SELECT outbox.decode('\x00' || int4send(schema_id) || '\x02040006') FROM outbox.schema_versions WHERE subject = 'order';

-- what an event type writes stays
SELECT outbox.create_event_type('e', topic => 'e', schema => '{"type":"record","name":"E","fields":[]}') IS NOT NULL AS ok;
SELECT outbox.alter_event_type('e', schema => '{"type":"record","name":"E","fields":[{"name":"i","type":"int","default":0}]}');
SELECT try($$outbox.registry_delete_version('e-E', '2')$$);
SELECT try($$outbox.registry_delete_subject('e-E')$$);
SELECT outbox.registry_delete_version('e-E', '1');
SELECT outbox.drop_event_type('e');
SELECT outbox.registry_delete_subject('e-E'), outbox.registry_delete_subject('e-E', true);
SELECT count(*) FROM outbox.schemas WHERE definition LIKE '%"E"%';

-- modes
SELECT outbox.registry_get_mode(NULL), try($$outbox.registry_get_mode('t')$$), outbox.registry_get_mode('t', true);
SELECT try($$outbox.registry_set_mode('t', 'SOME')$$), try($$outbox.registry_set_mode('t', NULL)$$);
SELECT outbox.registry_set_mode('t', 'readonly');
SELECT try($$outbox.registry_register('t', '"int"')$$);
SELECT try($$version FROM outbox.registry_register('t', '{"type":"record","name":"R","fields":[{"name":"i","type":"int"}]}')$$);
SELECT try($$outbox.registry_delete_version('t', '1')$$);
SELECT try($$outbox.registry_delete_subject('t')$$);
SELECT try($$outbox.registry_set_level('t', 'NONE')$$);
SELECT try($$outbox.registry_delete_level('t')$$);
SELECT outbox.registry_delete_mode('t');
SELECT try($$outbox.registry_delete_mode('t')$$), outbox.registry_get_mode('t', true);
SELECT outbox.registry_set_mode(NULL, 'READONLY');
SELECT outbox.registry_get_mode('t', true);
SELECT outbox.create_event_type('e', topic => 'e', schema => '{"type":"record","name":"E","fields":[]}');
SELECT outbox.registry_set_mode(NULL, 'READWRITE');
-- ids of one's own
SELECT try($$outbox.registry_set_mode('t', 'IMPORT')$$);
SELECT try($$outbox.registry_set_mode(NULL, 'IMPORT')$$);
SELECT outbox.registry_set_mode('import', 'IMPORT'), outbox.registry_set_mode('t', 'IMPORT', true);
SELECT min(id) - 1 AS free, max(id) AS taken FROM outbox.schemas \gset
SELECT id = :free AS as_asked, version FROM outbox.registry_register('import', '"bytes"', wanted_id => :free, wanted_version => 5);
SELECT id = :free AS as_asked, version FROM outbox.registry_register('import', '"bytes"', wanted_id => :free, wanted_version => 5);
-- not checked, but kept apart: an id means one schema, a schema has one id
SELECT try(format($$outbox.registry_register('import', '"float"', wanted_id => %s)$$, :free)) = format('OB205: id %s belongs to another schema
  A schema is never overwritten: consumers may know it by its id.', :free) AS refused;
SELECT split_part(try(format($$outbox.registry_register('import', '"string"', wanted_id => %s)$$, :free - 1)), ' ', 1);
SELECT split_part(try(format($$outbox.registry_register('import', '"float"', wanted_id => %s, wanted_version => 5)$$, :free - 2)), ' ', 1);
SELECT try($$outbox.registry_register('import', '"float"')$$);
SELECT id = :free - 1 AS as_asked, version FROM outbox.registry_register('import', '"float"', wanted_id => :free - 1);
SELECT outbox.registry_delete_mode('import');
SELECT id > 0 AS ok, version FROM outbox.registry_register('import', '"double"');
-- a sequence that comes to an id that is taken steps over it
SELECT setval('outbox.schema_id_seq', :free - 2) IS NOT NULL AS ok;
SELECT outbox.registry_set_level('step', 'NONE');
SELECT count(*) FROM generate_series(1, 30) i, outbox.registry_register('step', format('{"type":"fixed","name":"F%s","size":1}', i));
SELECT max(id) > :taken AS beyond, count(*) = count(DISTINCT id) AS apart FROM outbox.schemas;

-- who may
CREATE ROLE regress_registry_reader;
CREATE ROLE regress_registry_writer;
SELECT p.proname FROM pg_proc p
WHERE p.pronamespace = 'outbox'::regnamespace AND (p.proname LIKE '%registry%' OR p.prosrc LIKE '%registry%'
		OR p.proname IN ('level_of', 'mode_of', 'set_compatibility', 'new_schema_ids'))
	AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0));
SET ROLE regress_registry_reader;
SELECT try($$version FROM outbox.registry_version('t', '1')$$);
RESET ROLE;
GRANT USAGE ON SCHEMA outbox TO regress_registry_reader;
SET ROLE regress_registry_reader;
SELECT try($$version FROM outbox.registry_version('t', '1')$$);
SELECT try($$count(*) FROM outbox.schemas$$), try($$count(*) FROM outbox.subjects$$), try($$count(*) FROM outbox.schema_versions$$);
SELECT try($$outbox.grant_registry('regress_registry_reader')$$), try($$outbox.revoke_registry('regress_registry_reader')$$);
RESET ROLE;
SELECT outbox.grant_registry('regress_registry_reader');
SELECT outbox.grant_registry('regress_registry_writer', write => true);
SET ROLE regress_registry_reader;
SELECT count(*) > 0 FROM outbox.schemas;
SELECT count(*) > 0 FROM outbox.subjects;
SELECT count(*) > 0 AS ok, count(statement) AS statements FROM outbox.schema_versions;
SELECT try($$version FROM outbox.registry_version('t', '1')$$);
SELECT try($$version FROM outbox.registry_lookup('u', '"string"')$$);
SELECT try($$outbox.registry_check('u', 'latest', '"string"')$$);
SELECT try($$outbox.registry_get_level('u', true)$$), try($$outbox.registry_get_mode('u', true)$$);
SELECT try($$version FROM outbox.registry_register('u', '"bytes"')$$);
SELECT try($$outbox.registry_delete_subject('u')$$), try($$outbox.registry_delete_version('u', '1')$$);
SELECT try($$outbox.registry_set_level('u', 'NONE')$$), try($$outbox.registry_delete_level('u')$$);
SELECT try($$outbox.registry_set_mode('u', 'IMPORT')$$), try($$outbox.registry_delete_mode('u')$$);
SELECT try($$outbox.set_compatibility('u', 'NONE')$$), try($$count(*) FROM outbox.schema$$), try($$count(*) FROM outbox.subject$$);
SET ROLE regress_registry_writer;
SELECT try($$version FROM outbox.registry_register('w', '"bytes"')$$);
SELECT subject, created_by FROM outbox.subjects WHERE subject = 'w';
SELECT subject, version, created_by FROM outbox.schema_versions WHERE subject = 'w';
SELECT try($$outbox.registry_set_level('w', 'NONE')$$), try($$outbox.registry_delete_level('w')$$);
SELECT try($$outbox.registry_delete_subject('w')$$), try($$outbox.registry_delete_version('w', '1', true)$$);
SELECT try($$outbox.create_event_type('w', format => 'json')$$), try($$outbox.new_identity()$$);
RESET ROLE;
SELECT outbox.revoke_registry('regress_registry_reader'), outbox.revoke_registry('regress_registry_writer');
SET ROLE regress_registry_writer;
SELECT try($$count(*) FROM outbox.schemas$$), try($$outbox.registry_register('w', '"bytes"')$$);
RESET ROLE;
-- grants of the registry and of event types stand beside each other
GRANT EXECUTE ON FUNCTION outbox.create_event_type(text, text, regtype, text, text, text, text, integer, text, text, interval)
	TO regress_registry_writer;
SELECT outbox.grant_registry('regress_registry_writer');
SET ROLE regress_registry_writer;
SELECT outbox.create_event_type('w', format => 'json') IS NOT NULL AS ok;
SELECT outbox.drop_event_type('w');
SELECT count(*) > 0 AS still FROM outbox.schemas;
SELECT outbox.create_event_type('w', format => 'json') IS NOT NULL AS ok;
RESET ROLE;
SELECT outbox.revoke_registry('regress_registry_writer');
SET ROLE regress_registry_writer;
SELECT count(*) > 0 AS still FROM outbox.schemas;
SELECT outbox.drop_event_type('w');
SELECT try($$count(*) FROM outbox.schemas$$);
RESET ROLE;
DROP OWNED BY regress_registry_reader, regress_registry_writer;
DROP ROLE regress_registry_reader, regress_registry_writer;
