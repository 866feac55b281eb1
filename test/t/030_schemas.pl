# Subjects, schemas and the DDL gate where one session on one database does not
# show them: dump and restore, copies of a database, another encoding, ids.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use OutboxTest;

my $node = outbox_node('schemas', bootstrap => '', extension => 0, conf => "outbox.max_databases = 5\n");
my $dir = $node->basedir;

sub query { my ($db, $sql) = @_; return $node->safe_psql($db, $sql); }

# ---- dump and restore -------------------------------------------------------

query('postgres', 'CREATE DATABASE origin; CREATE ROLE reader; CREATE ROLE team');
query('origin', q{CREATE EXTENSION outbox;
	SELECT outbox.registry_set_level(NULL, 'FORWARD');
	CREATE SCHEMA shop;
	CREATE TYPE shop.mood AS ENUM ('ok', 'sad');
	CREATE TYPE shop.addr AS (street text, no int);
	CREATE TABLE shop.item (id int, name text, m shop.mood, a shop.addr, gone int);
	COMMENT ON COLUMN shop.item.m IS 'how it is';
	SELECT outbox.create_event_type('item', row_type => 'shop.item', key => 'id', compatibility => 'BACKWARD');
	ALTER TABLE shop.item DROP COLUMN gone;
	ALTER TABLE shop.item RENAME COLUMN name TO title;
	ALTER TYPE shop.addr RENAME TO address;
	ALTER TABLE shop.item ADD COLUMN extra int, ADD UNIQUE (title);
	ALTER TABLE shop.item ADD CHECK (id > 0);
	SELECT outbox.registry_register('line', '{"type":"record","name":"Line","fields":[{"name":"x","type":"int"}]}');
	SELECT outbox.registry_register('order', '{"type":"record","name":"Order","fields":[{"name":"l","type":"Line"}]}',
		'[{"name":"Line","subject":"line","version":1}]');
	SELECT outbox.registry_delete_version('line', '1') FROM outbox.registry_delete_subject('order');
	SELECT outbox.registry_set_mode('frozen', 'READONLY');
	SELECT outbox.grant_registry('reader')});
my %same = (
	versions => 'SELECT * FROM outbox.schema_versions ORDER BY subject, version',
	schemas => 'SELECT * FROM outbox.schemas ORDER BY id',
	subjects => 'SELECT * FROM outbox.subjects ORDER BY subject',
	types => 'SELECT name, schema, schema_id, subject, subject_name_strategy, row_type FROM outbox.event_types ORDER BY name',
	numbers => 'SELECT name, last_version FROM outbox.subject ORDER BY name');
my %of_origin = map { $_ => query('origin', $same{$_}) } keys %same;

for my $how ([ 'restored', '-Fc' ], [ 'parallel', '-Fd' ])
{
	my ($db, $format) = @$how;
	my $file = "$dir/$db.dump";

	query('postgres', "CREATE DATABASE $db");
	$node->command_ok([ 'pg_dump', $format, '-f', $file, $node->connstr('origin') ], "pg_dump $format");
	$node->command_ok([ 'pg_restore', $format eq '-Fd' ? ('-j', 2) : '-e', '-d', $node->connstr($db), $file ], 'pg_restore');
	is(query($db, $same{$_}), $of_origin{$_}, "$db: $_") foreach sort keys %same;
}
is(query('restored', q{SELECT count(*) FROM outbox.schema_versions;
	SELECT outbox.emit('item', ROW(1, 't', 'ok', NULL, 2)::shop.item) IS NOT NULL;
	ALTER TABLE shop.item ADD COLUMN more int;
	ALTER TABLE shop.item ADD COLUMN other int;
	ALTER TABLE shop.item RENAME COLUMN title TO heading;
	SELECT outbox.emit('item', ROW(1, 't', 'ok', NULL, 2, 3, 4)::shop.item) IS NOT NULL;
	SELECT f->'aliases' FROM outbox.event_types, jsonb_array_elements(schema::jsonb->'fields') f WHERE f->>'name' = 'heading';
	SELECT count(*) FROM outbox.schema_versions}), qq{7\nt\nt\n["title", "name"]\n10},
	'what was restored goes on: rows fit, DDL is followed, aliases are kept');
my ($rc, $out, $err) = $node->psql('restored', 'ALTER TABLE shop.item DROP COLUMN heading, ADD COLUMN heading int NOT NULL DEFAULT 1');
like($err, qr/schema is not BACKWARD compatible/, 'and guarded');
($rc, $out, $err) = $node->psql('restored', 'SET ROLE reader; SELECT count(*) FROM outbox.schemas');
is($out, 10, 'what grant_registry() gave was restored');
($rc, $out, $err) = $node->psql('restored', q{SELECT outbox.registry_register('frozen', '"int"')});
like($err, qr/mode READWRITE but READONLY/, 'so was a mode');

# A type that had slipped past the gate does not keep a dump from being restored.
query('origin', q{SET session_replication_role = replica; ALTER TABLE shop.item ADD COLUMN slipped int});
query('postgres', 'CREATE DATABASE slipped');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/slipped.dump", $node->connstr('origin') ], 'pg_dump');
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('slipped'), "$dir/slipped.dump" ], 'pg_restore of what had slipped past');

# ---- an encoding that is not UTF-8 --------------------------------------------

query('postgres', "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
query('latin', 'CREATE EXTENSION outbox');
my $doc = query('latin', q{SET client_encoding = 'UTF8';
	CREATE TABLE t (id int);
	COMMENT ON COLUMN t.id IS 'numéro';
	SELECT outbox.create_event_type('t', row_type => 't', topic => 't') IS NOT NULL;
	SELECT schema::jsonb->'fields'->0->>'doc' = 'num' || chr(233) || 'ro' FROM outbox.event_types;
	SELECT fingerprint = sha256(convert_to(definition, 'UTF8')) FROM outbox.schema;
	COMMENT ON COLUMN t.id IS 'é';
	SELECT schema::jsonb->'fields'->0->>'doc' = chr(233) FROM outbox.event_types;
	SELECT outbox.emit('t', ROW(1)::t) IS NOT NULL;
	SELECT r.version = 1 AND l.definition LIKE '%' || chr(233) || '%' FROM outbox.registry_register('é', '"int"') r, outbox.registry_lookup('t-public.t',
		(SELECT schema FROM outbox.event_types)) l;
	SELECT subject = chr(233) FROM outbox.subjects WHERE subject <> 't-public.t'});
is($doc, join("\n", ('t') x 7), 'texts of schemas in a LATIN1 database');

# ---- the extension goes and comes while there are row types --------------------

is(query('slipped', q{SET client_min_messages = warning;
	DROP EXTENSION outbox CASCADE;
	ALTER TABLE shop.item ADD COLUMN after int;
	CREATE EXTENSION outbox;
	ALTER TABLE shop.item DROP COLUMN after;
	SELECT outbox.create_event_type('item', row_type => 'shop.item') IS NOT NULL;
	ALTER TABLE shop.item ADD COLUMN after int;
	SELECT count(*) FROM outbox.schema_versions}), "t\n2", 'DROP and CREATE EXTENSION around DDL');

# ---- ids ----------------------------------------------------------------------

my $next = q{SELECT id >> 10 FROM outbox.registry_register('ids', format('{"type":"fixed","name":"F%s","size":%s}',
	replace(gen_random_uuid()::text, '-', ''), (random() * 1000)::int))};
my $level = q{SELECT outbox.registry_set_level('ids', 'NONE')};
query($_, $level) foreach qw(origin restored parallel);
my %block = map { $_ => query($_, $next) } qw(origin restored parallel);
is(scalar(keys %{ { reverse %block } }), 3, 'databases with the same schemas give new ids from places of their own');
is(query('origin', $next), $block{origin}, 'one after the other');
query('origin', 'SELECT outbox.new_identity()');
isnt(query('origin', $next), $block{origin}, 'a new identity, a new place');

# A copy of a database, also before a relay has given it an identity: there is
# none for it, as there are as many as outbox.max_databases allows.
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE parallel');
isnt(query('copied', $next), $block{parallel}, 'a copied database gives ids from another place at once');
is(query('copied', 'SELECT database_oid = (SELECT oid FROM pg_database WHERE datname = current_database()) FROM outbox.instance'), 'f',
	'it has no identity of its own yet');
is(query('parallel', $next), $block{parallel}, 'its original goes on where it was');
my $both = q{SELECT string_agg(id || ' ' || md5(definition), ',' ORDER BY id) FROM outbox.schemas};
my %of = map { $_ => { map { split / / } split /,/, query($_, $both) } } qw(parallel copied);
is(join(' ', grep { exists $of{copied}{$_} && $of{copied}{$_} ne $of{parallel}{$_} } keys %{ $of{parallel} }), '',
	'no id means one thing here and another there');

$node->stop;
done_testing();
