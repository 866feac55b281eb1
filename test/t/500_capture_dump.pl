# Captured tables survive pg_dump and pg_restore: the captures are rows of ours,
# their triggers are dumped with the tables, after the data, so that what is
# loaded is no change.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = outbox_node('main', bootstrap => '');

sub query
{
	my ($db, $sql) = @_;
	return $node->safe_psql($db, $sql);
}

query('postgres', 'CREATE DATABASE origin');
query('origin', q{
	CREATE EXTENSION outbox;
	CREATE SCHEMA shop;
	CREATE TYPE shop.mood AS ENUM ('ok', 'sad');
	CREATE TABLE shop.item (id int PRIMARY KEY, name text NOT NULL, m shop.mood, secret text, n int,
		twice int GENERATED ALWAYS AS (n * 2) STORED);
	CREATE TABLE shop.line (id int PRIMARY KEY, item_id int REFERENCES shop.item ON DELETE CASCADE);
	CREATE TABLE shop.log (id int, day int, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
	CREATE TABLE shop.log1 PARTITION OF shop.log FOR VALUES IN (1);
	CREATE SCHEMA whole;
	SELECT outbox.capture('shop.item', key_format => 'record', mask => '{"secret": {"mask": "hash"}}', row_filter => 'n > 0');
	SELECT outbox.capture('shop.line', envelope => 'flat', origin => 'none');
	SELECT outbox.capture('shop.log', format => 'json', row_security => true);
	ALTER TABLE shop.log ENABLE ROW LEVEL SECURITY;
	SELECT outbox.capture_schema('whole', options => '{"format": "json"}');
	CREATE TABLE whole.one (id int PRIMARY KEY);
	ALTER TABLE shop.item RENAME COLUMN name TO title;
	COMMENT ON COLUMN shop.item.title IS 'what it is called';
	INSERT INTO shop.item SELECT i, 't' || i, 'ok', 's', i FROM generate_series(1, 100) i;
	INSERT INTO shop.line SELECT i, i FROM generate_series(1, 100) i;
	INSERT INTO shop.log VALUES (1, 1);
	INSERT INTO whole.one VALUES (1)});

my %same = (
	captures => q{SELECT relation, mode, envelope, topic, format, key_format, key, row_filter, mask, subject,
		key_subject, as_root, row_security, state, schema_id, key_schema_id FROM outbox.captures ORDER BY relation::text},
	triggers => q{SELECT t.tgrelid::regclass, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid) FROM pg_trigger t
		WHERE t.tgname LIKE 'outbox_capture%' ORDER BY t.tgrelid::regclass::text, t.tgname},
	versions => q{SELECT subject, version, schema_id FROM outbox.schema_versions ORDER BY 1, 2},
	schemas => q{SELECT namespace, include, exclude, options FROM outbox.captured_schema});
my %of_origin = map { $_ => query('origin', $same{$_}) } keys %same;

# The number of messages that a statement writes.
my $peek = slurp_file(root_folder() . '/test/support/wal_peek.sql');
sub messages
{
	my ($db, $sql) = @_;
	my $start = query($db, 'SELECT pg_current_wal_insert_lsn()');
	query($db, $sql);
	return query($db, "SELECT count(*) FROM wal_records('$start')");
}

foreach (['plain', '-Fp'], ['custom', '-Fc'], ['jobs', '-Fd'])
{
	my ($db, $format) = @$_;
	my $file = "$dir/$db.dump";

	query('postgres', "CREATE DATABASE $db");
	$node->command_ok([ 'pg_dump', $format, '-f', $file, $node->connstr('origin') ], "pg_dump $format");
	my $start = query('postgres', 'SELECT pg_current_wal_insert_lsn()');
	if ($format eq '-Fp')
	{
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $file ], 'restored by psql');
	}
	else
	{
		$node->command_ok([ 'pg_restore', $format eq '-Fd' ? ('-j', 2) : '-e', '-d', $node->connstr($db), $file ], 'pg_restore');
	}
	query($db, $peek);
	is(query($db, "SELECT count(*) FROM wal_records('$start')"), 0, "$db: loading rows writes no messages");
	is(query($db, $same{$_}), $of_origin{$_}, "$db: $_") foreach sort keys %same;
	is(messages($db, 'UPDATE shop.item SET n = n + 1 WHERE id <= 3; DELETE FROM shop.item WHERE id = 1'), 7,
		"$db: changes are captured, those of a cascade too");
	is(messages($db, q{INSERT INTO shop.log VALUES (2, 1); CREATE TABLE whole.two (id int); INSERT INTO whole.two VALUES (1);
		ALTER TABLE shop.item ADD COLUMN more int; INSERT INTO shop.item VALUES (1000, 'x', 'sad', 's', 1)}), 3,
		"$db: of partitions, new tables, new columns");
	my ($rc, $out, $err) = $node->psql($db, 'ALTER TABLE shop.item ADD COLUMN bad int NOT NULL DEFAULT (random()::int)');
	like($err, qr/schema is not BACKWARD compatible/, "$db: DDL is guarded");
}

isnt(query('plain', 'SELECT salt FROM outbox.capture_salt'), query('origin', 'SELECT salt FROM outbox.capture_salt'),
	'the salt of hashed columns is none of a dump');

done_testing();
