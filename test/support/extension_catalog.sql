-- All that the extension consists of, one line a fact, for comparing two ways of
-- getting there (test/t/610_extension_update.pl).  Names only, no oids; and not
-- pg_attver, which minor releases of November 2026 keep among the options of columns.
CREATE VIEW public.extension_catalog AS
WITH member AS (
	SELECT d.classid, d.objid, i.type, i.identity
	FROM pg_depend d, pg_identify_object(d.classid, d.objid, 0) i
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'outbox')
	UNION ALL
	SELECT 'pg_trigger'::regclass, t.oid, i.type, i.identity
	FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid, pg_identify_object('pg_trigger'::regclass, t.oid, 0) i
	WHERE c.relnamespace = 'outbox'::regnamespace AND NOT t.tgisinternal
), relation AS (
	SELECT m.*, c.* FROM member m JOIN pg_class c ON c.oid = m.objid WHERE m.classid = 'pg_class'::regclass
)
SELECT type, identity, 'is there' AS what, '' AS value FROM member
UNION ALL
SELECT type, identity, 'comment', obj_description(objid, classid::regclass::name) FROM member
UNION ALL
SELECT type, identity, 'owner', CASE classid
	WHEN 'pg_proc'::regclass THEN (SELECT proowner FROM pg_proc WHERE oid = objid)
	WHEN 'pg_class'::regclass THEN (SELECT relowner FROM pg_class WHERE oid = objid)
	WHEN 'pg_event_trigger'::regclass THEN (SELECT evtowner FROM pg_event_trigger WHERE oid = objid) END::regrole::text
FROM member
UNION ALL
SELECT type, identity, 'privileges in pg_init_privs', (SELECT array_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(p.initprivs) a)::text
FROM member m LEFT JOIN pg_init_privs p ON p.classoid = m.classid AND p.objoid = m.objid AND p.objsubid = 0
UNION ALL
SELECT m.type, m.identity, v.what, v.value
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid, LATERAL (VALUES
	('definition', CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) END),
	('privileges', (SELECT array_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(p.proacl) a)::text)) v (what, value)
UNION ALL
SELECT r.type, r.identity, v.what, v.value
FROM relation r, LATERAL (VALUES
	('privileges', (SELECT array_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(r.relacl) a)::text),
	('options', r.reloptions::text),
	('kind, persistence, row security, replica identity', concat_ws(' ', r.relkind, r.relpersistence, r.relrowsecurity, r.relreplident)),
	('view', CASE WHEN r.relkind = 'v' THEN pg_get_viewdef(r.oid) END),
	('sequence', (SELECT to_jsonb(s) - 'seqrelid' FROM pg_sequence s WHERE s.seqrelid = r.oid)::text),
	('dumped', (SELECT e.extcondition[array_position(e.extconfig, r.oid)] FROM pg_extension e
		WHERE e.extname = 'outbox' AND r.oid = ANY (e.extconfig)))) v (what, value)
UNION ALL
SELECT r.type, r.identity, format('column %s', row_number() OVER (PARTITION BY r.oid ORDER BY a.attnum)), concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
	CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), 'IDENTITY ' || nullif(a.attidentity::text, ''),
	'GENERATED ' || nullif(a.attgenerated::text, ''), 'COLLATE ' || nullif(a.attcollation, 0)::regcollation::text,
	(SELECT nullif(array_agg(o), '{}') FROM unnest(a.attoptions) o WHERE o NOT LIKE 'pg_attver=%'), a.attacl, 'STORAGE ' || a.attstorage::text, 'COMPRESSION ' || nullif(a.attcompression::text, ''), col_description(r.oid, a.attnum))
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
UNION ALL
SELECT r.type, r.identity, format('constraint %s', c.conname), pg_get_constraintdef(c.oid)
FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid WHERE c.contype <> 'n'
UNION ALL
SELECT r.type, r.identity, format('index %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
FROM relation r JOIN pg_index i ON i.indrelid = r.oid
UNION ALL
SELECT m.type, m.identity, 'definition', concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid))
FROM member m JOIN pg_trigger t ON m.classid = 'pg_trigger'::regclass AND t.oid = m.objid
UNION ALL
SELECT m.type, m.identity, 'definition', concat_ws(' ', t.evtevent, t.evtenabled, t.evtfoid::regprocedure, t.evttags)
FROM member m JOIN pg_event_trigger t ON m.classid = 'pg_event_trigger'::regclass AND t.oid = m.objid
UNION ALL
SELECT m.type, m.identity, 'definition', format('%s: %s to %s by %s', c.castcontext, c.castsource::regtype, c.casttarget::regtype, c.castfunc::regprocedure)
FROM member m JOIN pg_cast c ON m.classid = 'pg_cast'::regclass AND c.oid = m.objid
UNION ALL
SELECT m.type, m.identity, 'definition', concat_ws(' ', t.typtype, t.typcategory, t.typnotnull, t.typdefault,
	(SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
FROM member m JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
UNION ALL
SELECT 'extension', 'outbox', 'settings', concat_ws(' ', extversion, extnamespace::regnamespace, extrelocatable, extowner::regrole)
FROM pg_extension WHERE extname = 'outbox'
UNION ALL
SELECT 'schema', 'outbox', 'privileges', (SELECT array_agg(a::text ORDER BY a::text COLLATE "C") FROM unnest(nspacl) a)::text
FROM pg_namespace WHERE nspname = 'outbox';
