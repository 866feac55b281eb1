# The physical slot: made with WAL reserved, taken over when orphaned, moved
# forward only, saved lazily; what happens when it is missing, of the wrong
# kind, in use, invalidated, or when there is no slot left; and that WAL which
# is gone is reported as such.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../modules/fake_sink/lib";
use FakeSink;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'slot',
	streaming => 1,
	initdb => ['--wal-segsize=1'],
	conf => "wal_keep_size = 0\nmin_wal_size = 2MB\nmax_wal_size = 4MB\nmax_replication_slots = 3\ncheckpoint_timeout = 1h\n");
my $db = $node->safe_psql('postgres',
	"SELECT oid FROM pg_database WHERE datname = 'postgres'");

sub slot
{
	my ($what) = @_;
	return $node->safe_psql('postgres',
		"SELECT $what FROM pg_replication_slots WHERE slot_name = 'outbox_$db'");
}

sub fails
{
	my ($sql, $like, $name) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	isnt($ret, 0, "$name: fails");
	return like($err, $like, $name);
}

sub fill
{
	my ($segments) = @_;
	$node->safe_psql('postgres',
		"SELECT pg_logical_emit_message(false, '', repeat('x', 1000)); SELECT pg_switch_wal();")
	  for 1 .. $segments;
	return;
}

# Nothing yet
is($node->safe_psql('postgres', "SELECT fake_slot_acquire($db)"),
	'(missing,0/0)', 'missing');
is($node->safe_psql('postgres', "SELECT fake_slot_drop($db)"),
	't', 'dropping what is not there');

# Made in a transaction that is rolled back: stays, taken over later
my $orphan = $node->safe_psql('postgres',
	"BEGIN; SELECT fake_slot_create($db); ROLLBACK;");
is(slot('restart_lsn, active, slot_type, temporary'),
	"$orphan|f|physical|f", 'reserved at once');
fill(3);
$node->safe_psql('postgres', 'CHECKPOINT');
my $created = $node->safe_psql('postgres', "SELECT fake_slot_create($db)");
is(slot('restart_lsn'), $created, 'an orphan is taken over');
is( $node->safe_psql('postgres', "SELECT '$created'::pg_lsn > '$orphan'"),
	't', 'and starts anew');
is( $node->safe_psql(
		'postgres', "SELECT count(*) FROM fake_scan('$created', '$created')"),
	0, 'its place can be read from');

# An error that the caller catches leaves no slot held
is( $node->safe_psql(
		'postgres', qq(
SET client_min_messages = error;
DO \$\$ BEGIN PERFORM fake_slot_create($db); RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN NULL; END \$\$;
SELECT fake_slot_acquire($db)::text LIKE '_ok,%';
SELECT fake_slot_release();
SELECT array_agg(o) FROM fake_slot_databases(10) o;
SELECT count(*) FROM fake_slot_databases(0);
)),
	"t\n\n{$db}\n0",
	'in a caught error');
$created = slot('restart_lsn');

# In use
my $holder = $node->background_psql('postgres');
$holder->query_safe("SELECT fake_slot_acquire($db)");
is(slot('active'), 't', 'held');
fails("SELECT fake_slot_acquire($db)", qr/55006.*is active for PID/, 'acquire, in use');
fails("SELECT fake_slot_create($db)", qr/55006.*is active for PID/, 'create, in use');
is($node->safe_psql('postgres', "SELECT fake_slot_drop($db)"),
	'f', 'drop, in use');

# It holds WAL; moving forward lets go of it
my $start = current_lsn($node);
$node->safe_psql('postgres', "SELECT say('kept')");
fill(8);
$node->safe_psql('postgres', 'CHECKPOINT');
is( $node->safe_psql('postgres',
		"SELECT payload FROM fake_scan('$start', '$start')"),
	'kept', 'WAL is kept');
my $here = current_lsn($node);
$holder->query_safe("SELECT fake_slot_advance('$here')");
is(slot('restart_lsn'), $here, 'moved forward');
$holder->query_safe("SELECT fake_slot_advance('$start')");
is(slot('restart_lsn'), $here, 'never back');
$holder->query_safe("SELECT fake_slot_advance('0/0')");
is(slot('restart_lsn'), $here, 'nor to nowhere');
fill(4);
$node->safe_psql('postgres', 'CHECKPOINT');
fails(
	"SELECT * FROM fake_scan('$start', '$start')",
	qr/58P01: WAL segment [0-9A-F]{24} has already been removed\nDETAIL:  It is needed to read from/,
	'WAL that is gone');
is( $node->safe_psql('postgres', "SELECT fake_commit_crc('$start') IS NULL"),
	't', 'a commit record that is gone');
$holder->quit;
is(slot('active'), 'f', 'released at exit');

# A crash: at worst further back
$start = slot('restart_lsn');
$holder = $node->background_psql('postgres');
$holder->query_safe("SELECT fake_slot_acquire($db)");
fill(2);
$here = current_lsn($node);
$holder->query_safe("SELECT fake_slot_advance('$here')");
$node->stop('immediate');
$holder->{run}->kill_kill;
$node->start;
is(slot("restart_lsn >= '$start' AND restart_lsn <= '$here'"),
	't', 'after a crash');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM fake_scan('$start', '$start')"),
	0, 'its WAL is there');

# Moves are saved after some seconds, or when they are large
$holder = $node->background_psql('postgres');
$holder->query_safe("SELECT fake_slot_acquire($db)");
fill(1);
sleep(11);
$here = current_lsn($node);
$holder->query_safe("SELECT fake_slot_advance('$here')");
$node->stop('immediate');
$holder->{run}->kill_kill;
$node->start;
is(slot('restart_lsn'), $here, 'saved after some seconds');

# Invalidated by the checkpointer, which ends the holder
$node->append_conf('postgresql.conf', 'max_slot_wal_keep_size = 2MB');
$node->reload;
$holder = $node->background_psql('postgres');
$holder->query_safe("SELECT fake_slot_acquire($db)");
fill(12);
$node->safe_psql('postgres', 'CHECKPOINT');
$holder->{run}->kill_kill;
is(slot('wal_status'), 'lost', 'invalidated');
is($node->safe_psql('postgres', "SELECT fake_slot_acquire($db)"),
	'(invalid,0/0)', 'acquire, invalidated');
is( $node->safe_psql('postgres',
		"SELECT fake_slot_create($db) > '$here'; SELECT fake_slot_acquire($db) IS NOT NULL"),
	"t\nt", 'made anew');

# A logical slot of that name is not ours
is($node->safe_psql('postgres', "SELECT fake_slot_drop($db)"), 't', 'drop');
is(slot('count(*)'), 0, 'dropped');
$node->append_conf('postgresql.conf', 'wal_level = logical');
$node->restart;
$node->safe_psql('postgres',
	"SELECT pg_create_logical_replication_slot('outbox_$db', 'test_decoding')");
is($node->safe_psql('postgres', "SELECT fake_slot_acquire($db)"),
	'("not physical",0/0)', 'acquire, logical');
fails("SELECT fake_slot_create($db)", qr/42710.*is a logical slot\nHINT/, 'create, logical');
is($node->safe_psql('postgres', "SELECT fake_slot_drop($db)"), 't', 'drop, logical');
is(slot('count(*)'), 1, 'is left alone');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fake_slot_databases(10)'),
	0, 'and not listed');

# Names that are not ours; none left
$node->safe_psql('postgres',
	"SELECT pg_create_physical_replication_slot('outbox_x'), pg_create_physical_replication_slot('outbox_99999999999')");
is($node->safe_psql('postgres', 'SELECT count(*) FROM fake_slot_databases(10)'),
	0, 'other names');
fails(
	'SELECT fake_slot_create(4242)',
	qr/53400: all replication slots are in use.*HINT:  Raise max_replication_slots, now 3/s,
	'no slot left');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
$node->safe_psql('postgres',
	"SELECT fake_slot_create(4242), fake_slot_create(4294967295)");
is( $node->safe_psql(
		'postgres', 'SELECT o FROM fake_slot_databases(10) o ORDER BY o'),
	"4242\n4294967295", 'any oid');
$node->safe_psql('postgres', 'SELECT fake_slot_drop(4242), fake_slot_drop(4294967295)');

# wal_level=minimal
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0");
$node->restart;
fails("SELECT fake_slot_create($db)", qr/wal_level/, 'wal_level=minimal');

$node->stop;
done_testing();
