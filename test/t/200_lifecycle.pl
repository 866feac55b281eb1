# The extension's and the databases' life with live relays: made, dropped,
# copied, renamed; what a server lacks is said and never keeps it from starting.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use OutboxTest;

my $topic = topic('life');
my $node = outbox_node('life', extension => 0, start => 0);

sub conf
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
}

sub slots
{
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_replication_slots WHERE slot_name ~ '^outbox_[0-9]+\$'");
}

# CREATE EXTENSION fails with message and hint.
sub cannot_create
{
	my ($error, $hint, $title) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', 'CREATE EXTENSION outbox');
	isnt($rc, 0, "CREATE EXTENSION fails $title");
	like($err, $error, "  says why");
	like($err, $hint, "  and what to do");
}

# An event type and one event of it, in a database.
sub prepare_type
{
	my ($db) = @_;
	$node->safe_psql($db, "SELECT outbox.create_event_type('life', format => 'json',
		topic => '$topic')");
}
sub emit
{
	my ($db, $what) = @_;
	$node->safe_psql($db, "SELECT outbox.emit('life', jsonb_build_object('what', '$what'),
		key => '$what')");
}
sub seen
{
	return join ' ', sort map { $_->{value}{what} } consume($node, $topic);
}

# --- what is missing -----------------------------------------------------
conf("shared_preload_libraries = ''");
$node->start;
cannot_create(qr/shared_preload_libraries/, qr/HINT:  Add outbox to/, 'without preload');
$node->stop;
conf("shared_preload_libraries = 'outbox'\nwal_level = minimal\nmax_wal_senders = 0");
$node->start;
cannot_create(qr/wal_level/, qr/HINT:  Set wal_level = replica/, 'with wal_level = minimal');
$node->stop;
conf("wal_level = replica\nmax_wal_senders = 10\nmax_replication_slots = 1\n"
	  . "outbox.max_databases = 2");
$node->start;
$node->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('somebody')");
cannot_create(qr/all replication slots are in use/,
	qr/HINT:  Raise max_replication_slots/, 'without a free slot');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('somebody')");
$node->stop;
conf("max_replication_slots = 16");
$node->start;

# --- create, roll back, drop ---------------------------------------------
$node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION outbox; ROLLBACK');
ok(wait_for($node, "SELECT count(*) = 0 FROM pg_replication_slots", timeout => 10),
	'a rolled-back CREATE EXTENSION leaves no slot');
$node->safe_psql('postgres',
	'BEGIN; CREATE EXTENSION outbox; ROLLBACK; CREATE EXTENSION outbox');
prepare_type('postgres');
emit('postgres', 'a');
ok(wait_published($node, timeout => 20), 'the next one publishes');
is(slots(), 1, 'with one slot');

my $began = time();
$node->safe_psql('postgres', 'DROP EXTENSION outbox');
ok(wait_for($node, 'SELECT count(*) = 0 FROM pg_replication_slots', timeout => 5),
	'DROP EXTENSION drops the slot');
$node->safe_psql('postgres', 'CREATE EXTENSION outbox; DROP EXTENSION outbox;
	CREATE EXTENSION outbox;');
prepare_type('postgres');
emit('postgres', 'b');
ok(wait_published($node, timeout => 20), 'created again at once, it publishes');
is($node->safe_psql('postgres', 'SELECT forged_messages FROM outbox.stat_relay'),
	'0', 'and takes nothing of the one before for a forgery');
$node->safe_psql('postgres', 'BEGIN; DROP EXTENSION outbox; CREATE EXTENSION outbox; COMMIT');
prepare_type('postgres');
emit('postgres', 'c');
ok(wait_published($node, timeout => 20), 'also when both are one transaction');
is(slots(), 1, 'with one slot');

# --- databases -----------------------------------------------------------
my $copied = time();
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE template1');
$node->safe_psql('copy', 'CREATE EXTENSION outbox');
prepare_type('copy');
emit('copy', 'd');
ok(wait_published($node, db => 'copy', timeout => 20), 'a second database, a second relay');
isnt(relay_pid($node), relay_pid($node, 'copy'), 'of its own');

my ($rc, $out, $err);
$node->safe_psql('postgres', 'CREATE DATABASE third');
($rc, $out, $err) = $node->psql('third', 'CREATE EXTENSION outbox');
like($err, qr/outbox\.max_databases.*HINT:  Raise outbox\.max_databases, now 2/s,
	'more than outbox.max_databases is an error with a hint');
is(slots(), 2, 'that leaves no slot');
$node->stop;
conf('outbox.max_databases = 4');
$node->start;

# A template that publishes; the copy is somebody else and publishes what is
# its own.
emit('copy', 'e');
$began = time();
# PostgreSQL itself gives up when a session has not left after 5 s.
is($node->psql('postgres', 'CREATE DATABASE twin TEMPLATE copy'), 0, 'CREATE DATABASE TEMPLATE of a live one');
note(sprintf('CREATE DATABASE TEMPLATE of a live one: %.1f s', time() - $began));
emit('twin', 'f');
emit('copy', 'g');
ok(wait_published($node, db => 'twin', timeout => 20), 'the copy publishes');
ok(wait_published($node, db => 'copy', timeout => 20), 'and so does the original');
isnt($node->safe_psql('copy', 'SELECT instance_id FROM outbox.instance'),
	$node->safe_psql('twin', 'SELECT instance_id FROM outbox.instance'),
	'under identities of their own');
is(status($node, 'twin')->{state}, 'streaming', 'nobody is taken for a clone');

$began = time();
is($node->psql('postgres', 'ALTER DATABASE twin RENAME TO sibling'), 0, 'ALTER DATABASE RENAME of a live one');
note(sprintf('ALTER DATABASE RENAME of a live one: %.1f s', time() - $began));
emit('sibling', 'h');
ok(wait_published($node, db => 'sibling', timeout => 20), 'it goes on');

# Somebody without the right does not even send the relay away.
my $pid = relay_pid($node, 'sibling');
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
foreach my $sql ('DROP DATABASE sibling', 'ALTER DATABASE sibling RENAME TO mine',
	'CREATE DATABASE mine TEMPLATE sibling')
{
	($rc, $out, $err) = $node->psql('postgres', "SET ROLE nobody; $sql");
	isnt($rc, 0, "not allowed: $sql");
}
is(relay_pid($node, 'sibling'), $pid, 'the relay is still the same');

$began = time();
is($node->psql('postgres', 'DROP DATABASE sibling'), 0, 'DROP DATABASE of a live one');
note(sprintf('DROP DATABASE of a live one: %.1f s', time() - $began));
ok(wait_for($node, "SELECT count(*) = 2 FROM pg_replication_slots WHERE slot_name ~ '^outbox_[0-9]+\$'",
		timeout => 8), 'its slot is gone');

# --- outbox-kafka, settings ----------------------------------------------
conf("outbox.kafka_program = '/nowhere/outbox-kafka'");
$node->reload;
ok(wait_state($node, 'misconfigured', timeout => 10), 'outbox-kafka is not there');
like(status($node)->{reason}, qr/"\/nowhere\/outbox-kafka".*outbox\.kafka_program/,
	'the reason names it and says what to do');
emit('postgres', 'i');
sleep 2;
my @said = slurp_file($node->logfile) =~ /(ERROR: .*\/nowhere\/outbox-kafka)/g;
is(scalar @said, 2, 'both relays say it once, not at every try');
conf("outbox.kafka_program = ''\noutbox.bootstrap_servers = ''");
$node->reload;
ok(wait_for($node, "SELECT state = 'misconfigured' AND reason LIKE '%bootstrap_servers is not set'
	FROM outbox.status()", timeout => 10), 'no broker is set');
is($node->safe_psql('postgres', "SELECT outbox.wait_published('100 ms')"), 'f',
	'nothing is published meanwhile');
my $servers = bootstrap();
conf("outbox.bootstrap_servers = '$servers'");
$node->reload;
ok(wait_published($node, timeout => 10), 'publishes after a reload');

# A refusing relay has no process: its database can be dropped all the same.
my $id = $node->safe_psql('copy', 'SELECT instance_id FROM outbox.instance');
$node->safe_psql('copy', "UPDATE outbox.instance SET floor_lsn = 'FFFF/0'");
$node->safe_psql('copy', 'SELECT outbox.restart()');
ok(wait_state($node, 'kafka_lost', db => 'copy', timeout => 20), 'a relay refuses');
$node->safe_psql('postgres', 'DROP DATABASE copy');
ok(wait_for($node, "SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name ~ '^outbox_[0-9]+\$'",
		timeout => 8), 'the slot goes with its database');

# --- standby -------------------------------------------------------------
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay');
is(status($standby)->{state}, 'standby', 'a hot standby starts and says what it is');
($rc, $out, $err) = $standby->psql('postgres', "SELECT outbox.emit('life', '{}')");
like($err, qr/read-only|recovery/, 'emit fails there');
($rc, $out, $err) = $standby->psql('postgres', 'SELECT outbox.wait_published()');
like($err, qr/recovery is in progress/, 'wait_published too');
$standby->stop;

is(seen(), 'a b c d e f g h i', 'each event once, whatever happened');
$node->stop;
done_testing();
