# What pg_dump and template databases make of the extension: event types, schemas
# with their ids, levels, grants, attached tables go along; who we are, keys, dead
# letters do not: each copy publishes on its own, as somebody new.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = outbox_node('dump', extension => 0, conf => "outbox.max_databases = 20\noutbox.retry_max = 1s\n"
	  . "max_replication_slots = 40\nmax_worker_processes = 64\n");
my $topic = topic('dump');

sub sql
{
	my ($db, $query) = @_;
	return $node->safe_psql($db, $query);
}
sub schema { return qq({"type": "record", "name": "R", "fields": [{"name": "n", "type": "long"}$_[0]]}); }

sql('postgres', 'CREATE ROLE app LOGIN; CREATE ROLE stranger LOGIN; CREATE DATABASE origin');
sql('origin', 'CREATE EXTENSION outbox');
my $one = schema('');
my $two = schema(', {"name": "m", "type": "long", "default": 0}');
sql('origin', qq{
	SELECT outbox.create_event_type('typed', topic => '$topic', schema => '$one', compatibility => 'FULL', partitions => 1);
	SELECT outbox.alter_event_type('typed', schema => '$two');
	SELECT outbox.create_event_type('plain', topic => '$topic-plain', format => 'json', on_error => 'dead_letter');
	SELECT outbox.grant_emit('typed', 'app');
	CREATE TYPE row_type AS (n bigint, t text);
	SELECT outbox.create_event_type('of row', topic => '$topic-row', row_type => 'row_type');
	CREATE TABLE outgoing (id uuid PRIMARY KEY, aggregatetype text, aggregateid text, type text, payload jsonb);
	SELECT outbox.attach_table('outgoing');
	INSERT INTO outbox.subject_default (compatibility) VALUES ('BACKWARD_TRANSITIVE');
	INSERT INTO outbox.parked_event (commit_lsn, ordinal, commit_time, route_id, event_id, topic, parked_at)
		SELECT '0/1', 1, now(), 1, gen_random_uuid(), '$topic', now();
	UPDATE outbox.parked_event SET discarded_at = now(), discarded_by = 'x', discard_reason = 'a row of the past';
});
sql('origin', q{SELECT outbox.emit('typed', '{"n": 1, "m": 1}')});
ok(wait_published($node, db => 'origin'), 'the original publishes');

my %same = (
	types => 'SELECT name, topic, format, subject, schema_id, on_error, partitions FROM outbox.event_types ORDER BY 1',
	schemas => "SELECT id, fingerprint, definition FROM outbox.schema ORDER BY 1",
	versions => 'SELECT subject, version, schema_id FROM outbox.schema_versions ORDER BY 1, 2',
	levels => 'SELECT name, compatibility FROM outbox.subject UNION ALL SELECT NULL, compatibility FROM outbox.subject_default ORDER BY 1',
	routes => 'SELECT id, event_type, topic FROM outbox.route ORDER BY 1',
	grants => 'SELECT d.name, g.grantee FROM outbox.event_type_grant g JOIN outbox.event_type_def d ON d.id = g.event_type_id',
	owners => 'SELECT name, owner FROM outbox.event_type_def ORDER BY 1',
	attached => 'SELECT relation, columns, headers FROM outbox.attached_table',
	triggers => q{SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'outgoing'::regclass ORDER BY 1});
foreach my $what (sort keys %same)
{
	my ($rc, $out, $err) = $node->psql('origin', $same{$what});
	isnt($out, '', "there is something to compare: $what") or diag($err);
	$same{$what} = [ $same{$what}, $out ];
}

my %identity = (origin => sql('origin', 'SELECT instance_id FROM outbox.instance'));
my %key = (origin => sql('origin', 'SELECT key FROM outbox.secret'));

# A copy is somebody new, with everything that was declared, and publishes.
my $n = 1;
my @published = (1);
sub check_copy
{
	my ($db, $how) = @_;
	foreach my $what (sort keys %same)
	{
		is(sql($db, $same{$what}[0]), $same{$what}[1], "$how: $what");
	}
	$identity{$db} = sql($db, 'SELECT instance_id FROM outbox.instance');
	is(sql($db, 'SELECT count(*) FROM outbox.dead_letter WHERE discarded_at IS NULL'), 0, "$how: no dead letters to see to");
	my ($rc, $out, $err) = $node->psql($db, q{SELECT outbox.emit('typed', '{"n": 0}')}, extra_params => [ '-U', 'stranger' ]);
	like($err, qr/permission denied/, "$how: not for everybody");
	$n++;
	($rc, $out, $err) = $node->psql($db, qq(SELECT outbox.emit('typed', '{"n": $n, "m": 2}')), extra_params => [ '-U', 'app' ]);
	is($rc, 0, "$how: for whom it was granted to") or diag($err);
	push @published, $n;
	ok(wait_published($node, db => $db), "$how: it publishes") or diag(sql($db, 'SELECT state, reason FROM outbox.status()'));
	($rc, $out, $err) = $node->psql($db, "SELECT outbox.alter_event_type('typed', schema => '" . schema(', {"name": "x", "type": "long"}') . "')");
	like($err, qr/not FULL compatible/, "$how: levels hold");
	isnt(sql($db, q{SELECT outbox.create_event_type('later', schema => '{"type": "record", "name": "Later", "fields": []}')}), '',
		"$how: new schemas have ids of their own");
	is(sql($db, q{SELECT count(*) FROM outbox.schema a JOIN outbox.schema b ON a.id = b.id AND a.fingerprint <> b.fingerprint}), 0, "$how: no id twice");
	return;
}

foreach (['plain', '-Fp'], ['custom', '-Fc'], ['jobs', '-Fd'])
{
	my ($db, $format) = @$_;
	my $file = "$dir/$db.dump";
	sql('postgres', "CREATE DATABASE $db");
	$node->command_ok([ 'pg_dump', $format, '-f', $file, $node->connstr('origin') ], "pg_dump $format");
	$node->command_ok($format eq '-Fp' ?
		  [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $file ] :
		  [ 'pg_restore', $format eq '-Fd' ? ('-j', 2) : '-e', '-d', $node->connstr($db), $file ], "restored: $format");
	check_copy($db, $format);
	is(sql($db, 'SELECT count(*) FROM outbox.parked_event'), 0, "$format: dead letters are not dumped");
	$key{$db} = sql($db, 'SELECT key FROM outbox.secret');
	unlike($format eq '-Fp' ? slurp_file($file) : '', qr/\Q$identity{origin}\E|\Q@{[ substr $key{origin}, 2 ]}\E/, 'neither identity nor key in a dump')
	  if $format eq '-Fp';
}

# --- a template, live; and template1 itself, from which every database comes
sql('postgres', 'CREATE DATABASE of_template TEMPLATE origin');
check_copy('of_template', 'CREATE DATABASE TEMPLATE');
sql('postgres', "ALTER DATABASE of_template IS_TEMPLATE true ALLOW_CONNECTIONS true");
sql('postgres', 'CREATE DATABASE of_marked TEMPLATE of_template');
ok(wait_for($node, "SELECT state = 'streaming' FROM outbox.status()", db => 'of_marked'), 'of a database marked as template');
sql('template1', qq{CREATE EXTENSION outbox; SELECT outbox.create_event_type('house', format => 'json', topic => '$topic-house')});
foreach my $db (qw(first_child second_child))
{
	is($node->psql('postgres', "CREATE DATABASE $db"), 0, "with the extension in template1: CREATE DATABASE $db");
	sql($db, qq{SELECT outbox.emit('house', '{"from": "$db"}')});
	ok(wait_published($node, db => $db), "$db publishes");
	$identity{$db} = sql($db, 'SELECT instance_id FROM outbox.instance');
}
is(join(' ', sort map { $_->{value}{from} } consume(undef, "$topic-house")), 'first_child second_child', 'each its own');

# --- after a restart, renamed
$node->stop;
$node->start;
is($node->psql('postgres', 'ALTER DATABASE custom RENAME TO "cus tom"'), 0, 'renamed while the relay starts');
is(sql('cus tom', 'SELECT instance_id FROM outbox.instance'), $identity{custom}, 'a renamed database is who it was');
sql('cus tom', q{SELECT outbox.emit('typed', '{"n": 99, "m": 9}')});
push @published, 99;
ok(wait_published($node, db => 'cus tom'), 'it publishes');
ok(wait_for($node, "SELECT state = 'streaming' FROM outbox.status()", db => $_), "after a restart: $_ streams") foreach qw(origin of_template first_child);

my %seen;
$seen{$_}++ foreach values %identity;
is(scalar(keys %seen), scalar(keys %identity), 'each copy has an identity of its own');
my %keys = map { $_ => 1 } values %key;
is(scalar(keys %keys), scalar(keys %key), 'and each restored dump a key');
is(join(' ', sort { $a <=> $b } map { $_->{value}{n} } consume($node, $topic, { db => 'origin' })), join(' ', @published), 'each event once');
$node->stop;
done_testing();
