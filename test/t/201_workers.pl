# Not enough background workers: the server starts, whoever asks is told, the
# writers notice nothing, and publishing begins when there is a place.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;

my $topic = topic('workers');
my $node = outbox_node('workers', conf => <<'CONF');
max_logical_replication_workers = 0
max_worker_processes = 2
outbox.max_databases = 8
CONF

sub conf
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
}

sub prepare
{
	my ($db) = @_;
	$node->safe_psql($db, "SELECT outbox.create_event_type('work', format => 'json',
		topic => '$topic')");
}

sub emit
{
	my ($db, $what) = @_;
	$node->safe_psql($db, "SELECT outbox.emit('work', jsonb_build_object('what', '$what'),
		key => '$what')");
}

sub seen
{
	return join ' ', sort map { $_->{value}{what} } consume($node, $topic);
}

# How often the log tells that there is no place
sub complaints
{
	my @said = slurp_file($node->logfile) =~
	  /LOG:  could not start the relay of database "\w+": no free background worker slot/g;
	return scalar @said;
}

# --- a place for one relay, and two databases -----------------------------
prepare('postgres');
emit('postgres', 'a');
ok(wait_published($node, timeout => 20), 'the first database has the only place');

$node->safe_psql('postgres', 'CREATE DATABASE second');
is($node->psql('second', 'CREATE EXTENSION outbox'), 0, 'CREATE EXTENSION in a second one');
prepare('second');
emit('second', 'b');
ok(wait_state($node, 'misconfigured', db => 'second', timeout => 20), 'its relay cannot start: a state');
like(status($node, 'second')->{reason}, qr/no free background worker slot.*max_worker_processes/,
	'which says what is missing');
ok(wait_for($node, 'SELECT next_retry_at IS NOT NULL FROM outbox.status()', db => 'second', timeout => 20),
	'and when it is tried again');
like(slurp_file($node->logfile),
	qr/could not start the relay of database "second": no free background worker slot\n.*HINT:  Raise max_worker_processes, now 2,/,
	'the log says so too, with a hint');
emit('postgres', 'c');
ok(wait_published($node, timeout => 20), 'the first goes on');
is($node->safe_psql('second', "SELECT outbox.wait_published('2 s')"), 'f',
	'the second publishes nothing, and its writers notice nothing');
is(complaints(), 1, 'said once, not at every try');

$node->safe_psql('postgres', 'DROP EXTENSION outbox');
ok(wait_published($node, db => 'second', timeout => 20), 'a place is free: the second publishes by itself');
is(status($node, 'second')->{state}, 'streaming', 'and says so');

# The other way round, and once more.
$node->safe_psql('postgres', 'CREATE EXTENSION outbox');
prepare('postgres');
emit('postgres', 'd');
ok(wait_state($node, 'misconfigured', timeout => 20), 'now the first has none');
is(complaints(), 2, 'which is news');

# --- no place for the launcher --------------------------------------------
$node->stop;
conf("max_worker_processes = 0\n");
ok($node->start, 'the server starts without any place');
like(slurp_file($node->logfile), qr/too many background workers/, 'PostgreSQL says why');
like(status($node)->{reason}, qr/launcher is not running.*max_worker_processes/,
	'so does the status');
emit('postgres', 'e');
emit('second', 'f');
is($node->safe_psql('postgres', "SELECT outbox.wait_published('1 s')"), 'f', 'nothing is published');

$node->stop;
conf("max_worker_processes = 3\n");
$node->start;
ok(wait_published($node, timeout => 20), 'one place more: the first publishes');
ok(wait_published($node, db => 'second', timeout => 20), 'and the second');
is(seen(), 'a b c d e f', 'each event once');
$node->stop;
done_testing();
