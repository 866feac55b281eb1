# Emit where a single session on a plain server does not show it: other
# encodings, dump and restore, a standby, wal_level minimal, an extension that
# is dropped and created again, and memory that does not grow.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use OutboxTest;

my $node = outbox_node('emit', bootstrap => '', init => [ allows_streaming => 1 ]);
my $peek = root_folder() . '/test/support/wal_peek.sql';

sub prepare
{
	my ($db) = @_;

	$node->safe_psql($db, "CREATE EXTENSION IF NOT EXISTS outbox");
	$node->safe_psql($db, "\\i $peek");
	return;
}

# ---- encodings: UTF-8 on the way out, whatever the database is in

for my $encoding ('LATIN1', 'SQL_ASCII')
{
	my $db = lc $encoding;

	$node->safe_psql('postgres',
		"CREATE DATABASE $db ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	prepare($db);
	$node->safe_psql($db, q{SELECT outbox.create_event_type('j', format => 'json', topic => 't');
		SELECT outbox.create_event_type('a', topic => 't', schema =>
			'{"type": "record", "name": "R", "fields": [{"name": "s", "type": "string"}]}')});
	my $start = $node->safe_psql($db, 'SELECT pg_current_wal_insert_lsn()');
	# e with an acute accent, as this database has it
	my $e = $encoding eq 'LATIN1' ? "chr(233)" : q{convert_from('\xc3a9', 'SQL_ASCII')};
	for my $type ('j', 'a')
	{
		$node->safe_psql($db, "SELECT outbox.emit('$type', jsonb_build_object('s', $e), key => $e,
			headers => jsonb_build_object($e, $e))");
	}
	# key, header block (one header), payload
	is($node->safe_psql($db, "SELECT encode(peek_field(r, 48, 1), 'hex'), encode(peek_field(r, 48, 2), 'hex'),
			encode(peek_field(r, 48, 3), 'hex') FROM wal_records('$start') r"),
		'c3a9|01000200c3a902000000c3a9|' . unpack('H*', "{\"s\": \"\xc3\xa9\"}") . "\n" .
		'c3a9|01000200c3a902000000c3a9|04c3a9',
		"$encoding: key, header and payload are UTF-8");
}
my ($ret, $out, $err) = $node->psql('sql_ascii',
	q{SELECT outbox.emit('j', '{}', key => convert_from('\xff', 'SQL_ASCII'))});
like($err, qr/invalid byte sequence for encoding "UTF8": 0xff/, 'SQL_ASCII: bytes that are no UTF-8 are refused in the key');
($ret, $out, $err) = $node->psql('sql_ascii',
	q{SELECT outbox.emit('j', ('{"s": "' || convert_from('\xff', 'SQL_ASCII') || '"}')::jsonb)});
like($err, qr/invalid byte sequence for encoding "UTF8": 0xff/, 'and in a JSON payload');
($ret, $out, $err) = $node->psql('sql_ascii',
	q{SELECT outbox.emit('a', ('{"s": "' || convert_from('\xff', 'SQL_ASCII') || '"}')::jsonb)});
like($err, qr/invalid byte sequence for encoding "UTF8": 0xff/, 'and in an Avro payload');
($ret, $out, $err) = $node->psql('sql_ascii',
	q{SELECT outbox.emit('j', '{}', headers => jsonb_build_object('h', convert_from('\xff', 'SQL_ASCII')))});
like($err, qr/invalid byte sequence for encoding "UTF8": 0xff/, 'and in a header');

# ---- dump and restore: event types keep their ids, identity and keys do not travel

$node->safe_psql('postgres', 'CREATE DATABASE origin; CREATE DATABASE restored; CREATE ROLE app');
$node->safe_psql('origin', q{CREATE EXTENSION outbox;
	CREATE SCHEMA shop;
	CREATE TYPE shop.item AS (id int, name text);
	SELECT outbox.create_event_type('a', format => 'json');
	SELECT outbox.create_event_type('b', row_type => 'shop.item', key => 'id');
	SELECT outbox.alter_event_type('a', topic => 'x');
	SELECT outbox.set_compatibility('outbox.event.b-shop.item', 'FULL_TRANSITIVE');
	INSERT INTO outbox.subject_default (compatibility, mode) VALUES ('FORWARD', 'READWRITE');
	INSERT INTO outbox.registry_id SELECT 'http://r', subject, schema_id, 7 FROM outbox.schema_version;
	SELECT outbox.grant_emit('b', 'app');
	SELECT outbox.grant_emit('a', 'public');
	SELECT outbox.create_outbox_table('shop.outbox');
	INSERT INTO shop.outbox (aggregatetype, aggregateid, type, payload) VALUES ('O', '1', 'a', '{}')});
my $file = $node->basedir . '/origin.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('origin') ], 'pg_dump');
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored'), $file ], 'pg_restore');
for my $query (
	'SELECT * FROM outbox.route ORDER BY id',
	'SELECT * FROM outbox.schema ORDER BY id',
	'SELECT id, name, route_id, schema_id, row_type, key_field, owner FROM outbox.event_type_def ORDER BY id',
	'SELECT * FROM outbox.event_type_grant ORDER BY 1, 2',
	'SELECT relation, columns, headers FROM outbox.attached_table',
	'SELECT * FROM outbox.subject ORDER BY name',
	'SELECT * FROM outbox.subject_default',
	'SELECT * FROM outbox.schema_version ORDER BY subject, version',
	'SELECT * FROM outbox.registry_id ORDER BY registry, subject, schema_id',
	'SELECT (SELECT last_value FROM outbox.route_id_seq), (SELECT last_value FROM outbox.event_type_def_id_seq)',
	'SELECT aggregateid FROM shop.outbox')
{
	is($node->safe_psql('restored', $query), $node->safe_psql('origin', $query), "restored: $query");
}
for my $query ('SELECT instance_id FROM outbox.instance', 'SELECT key FROM outbox.secret',
	'SELECT last_value >> 10 FROM outbox.schema_id_seq')
{
	isnt($node->safe_psql('restored', $query), $node->safe_psql('origin', $query), "not restored: $query");
}
my $text = slurp_file($file);
my $key = $node->safe_psql('origin', "SELECT encode(key, 'hex') FROM outbox.secret");
$node->command_ok([ 'pg_dump', '-f', "$file.sql", $node->connstr('origin') ], 'pg_dump as text');
unlike(slurp_file("$file.sql"), qr/\Q$key\E/, 'the signing key is in no dump');
is($node->safe_psql('restored', q{
	INSERT INTO shop.outbox (aggregatetype, aggregateid, type, payload) VALUES ('O', '2', 'a', '{}');
	SELECT outbox.create_event_type('c', format => 'json') IS NOT NULL;
	SET ROLE app;
	SELECT outbox.emit('b', '{"id": 1}') IS NOT NULL}), "t\nt", 'and the restored one works');

# ---- dropped and created again within a session

is($node->safe_psql('restored', q{
	SELECT outbox.emit('a', '{}') IS NOT NULL;
	SET client_min_messages = warning;
	DROP EXTENSION outbox CASCADE;
	CREATE EXTENSION outbox;
	SELECT outbox.create_event_type('a', format => 'json');
	SELECT outbox.emit('a', '{}') IS NOT NULL}), "t\n1\nt", 'DROP and CREATE EXTENSION in one session');

# ---- memory: what emit leaves behind does not grow

my $growth = $node->safe_psql('origin', q{
	SELECT outbox.emit('b', ('{"id": 1, "name": "' || repeat('x', 200000) || '"}')::jsonb) IS NOT NULL;
	SELECT count(outbox.emit('b', jsonb_build_object('id', n), headers => '{"h": "v"}')) FROM generate_series(1, 1000) n;
	CREATE TEMP TABLE before AS SELECT sum(total_bytes) AS bytes FROM pg_backend_memory_contexts;
	DO $$
	BEGIN
		FOR i IN 1 .. 200 LOOP
			PERFORM outbox.emit('b', jsonb_build_object('id', n), headers => '{"h": "v"}') FROM generate_series(1, 100) n;
			PERFORM outbox.emit('b', ROW(i, 'x')::shop.item);
			COMMIT;
			PERFORM outbox.alter_event_type('b', partitions => 1 + i % 2);
			COMMIT;
		END LOOP;
	END
	$$;
	SELECT (SELECT sum(total_bytes) FROM pg_backend_memory_contexts) - bytes FROM before});
$growth =~ s/.*\n//s;
cmp_ok($growth, '<', 512 * 1024, "memory after 20,000 events and 200 changes of the type (grown by $growth)");

# ---- a standby, and wal_level minimal

$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
($ret, $out, $err) = $standby->psql('origin', q{SELECT outbox.emit('a', '{}')});
like($err, qr/cannot execute outbox\.emit\(\) during recovery/, 'not on a standby');
$standby->stop;

$node->stop;
# A slot would keep a server with wal_level minimal from starting.
system('rm', '-rf', glob($node->data_dir . '/pg_replslot/*'));
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0");
$node->start;
($ret, $out, $err) = $node->psql('origin', q{SELECT outbox.emit('a', '{}')});
like($err, qr/events cannot be written with wal_level "minimal"/, 'not with wal_level minimal');
$node->stop;

done_testing();
