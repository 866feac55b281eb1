# Transactions left open, and prepared ones, while everybody else works for more
# than a minute (OUTBOX_TEST_HOLD seconds, if that is set) over many checkpoints:
# the others are published as before, WAL is held from the oldest open one on and
# no further (by the relay: the event log holds WAL of its own, see 610), and what
# the open ones wrote goes out when they commit, whatever was restarted meanwhile.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use OutboxTest;

my $hold = $ENV{OUTBOX_TEST_HOLD} // 65;	# seconds
my $node = outbox_node('open',
	init => [ extra => ['--wal-segsize=1'] ],
	conf => <<'CONF');
outbox.heartbeat_interval = 1000
outbox.scanner_memory = 64
outbox.event_log = off
wal_keep_size = 0
min_wal_size = 2MB
max_wal_size = 4MB
log_checkpoints = on
CONF
my %topics;

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub new_type
{
	my ($name) = @_;
	$topics{$name} = topic($name);
	sql("SELECT outbox.create_event_type('$name', format => 'json',
		topic => '$topics{$name}', partitions => 1)");
}

sub emit
{
	my ($name, $n, $bytes) = @_;
	$bytes //= 0;
	return "SELECT outbox.emit('$name', jsonb_build_object('n', '$n', 'filler', repeat('x', $bytes)), key => 'k')";
}

sub published
{
	my ($name) = @_;
	return join ' ', map { $_->{value}{n} } consume($node, $topics{$name});
}

sub slot_lsn
{
	return sql("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name LIKE 'outbox%'");
}

sub recorded { return sql('SELECT recorded_lsn FROM outbox.stat_relay'); }

sub before
{
	my ($a, $b) = @_;
	return sql("SELECT '$a'::pg_lsn < '$b'::pg_lsn") eq 't';
}

sub median { return (sort { $a <=> $b } @_)[ @_ / 2 ]; }

# One event of somebody else's; how long until it is published, in ms.
my $patience = $hold + 180;		# of a session, as a whole
my $writer = $node->background_psql('postgres', timeout => $patience);
my $live = 0;

sub somebody
{
	my $sql = emit('live', ++$live);
	my $began = time();
	my $said = $writer->query_safe("$sql;\nSELECT outbox.wait_published('30 s')");
	die "event $live was not published\n" unless $said =~ /^t$/m;
	return (time() - $began) * 1000;
}

# A segment or more of WAL that is none of ours, and a checkpoint, which would
# remove what nobody holds.
sub churn
{
	sql("SELECT pg_logical_emit_message(false, 'other', repeat('x', 300000)) FROM generate_series(1, 4)");
	sql('CHECKPOINT');
}

new_type($_) foreach qw(live held prepared dropped);
somebody() for 1 .. 10;
my @alone = map { somebody() } 1 .. 50;

# --- left open -------------------------------------------------------------
churn();
my $before_all = sql('SELECT pg_current_wal_insert_lsn()');
my $open = $node->background_psql('postgres', timeout => $patience);
$open->query_safe('BEGIN');
$open->query_safe(emit('held', 'first'));
$open->query_safe('SAVEPOINT s');
$open->query_safe(emit('held', 'lost', 50000));
$open->query_safe('ROLLBACK TO s');
$open->query_safe(emit('held', "large-$_", 100000)) for 1 .. 3;
sql(join ";\n", 'BEGIN', emit('prepared', 'p1'), 'SAVEPOINT s', emit('prepared', 'p2', 100000),
	"PREPARE TRANSACTION 'kept'");
sql(join ";\n", 'BEGIN', emit('dropped', 'never'), "PREPARE TRANSACTION 'dropped'");
my $idle = $node->background_psql('postgres', timeout => $patience);
$idle->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_current_xact_id()');
my $after_all = sql('SELECT pg_current_wal_insert_lsn()');

my (@beside, @recorded);
my $held = 1;
my $restarts = 0;
my $checkpoints = 0;
my $began = time();
while (time() - $began < $hold)
{
	push @beside, map { somebody() } 1 .. 20;
	churn();
	$checkpoints++;
	$held = 0 if before($after_all, slot_lsn());
	push @recorded, recorded();

	# Every quarter of the time its reader starts again, from the first message.
	next if time() - $began < $hold * ($restarts + 1) / 4;
	$restarts++;
	$restarts % 2 ? kill9(child_pid($node)) : sql("SELECT outbox.restart()");
	somebody() for 1 .. 2;		# takes as long as a restart does
}
note(sprintf('held for %d s, %d checkpoints, %d restarts; commit to published, median: %.1f ms alone, %.1f ms beside (%d)',
	time() - $began, $checkpoints, $restarts, median(@alone), median(@beside), scalar @beside));
ok($held, 'WAL is held for what is open');
ok(!before(slot_lsn(), $before_all), 'but not from before that');
ok(!(grep { before($recorded[$_], $recorded[ $_ - 1 ]) } 1 .. $#recorded)
	  && before($after_all, $recorded[0]), 'the position passes what is open, and goes on');
cmp_ok(sql('SELECT open_transactions FROM outbox.stat_relay'), '>=', 3, 'which is counted');
is(published('held') . published('prepared') . published('dropped'), '', 'nothing of it is published');

# --- committed at last ------------------------------------------------------
sql("COMMIT PREPARED 'kept'");
$open->query_safe(emit('held', 'last'));
$open->query_safe('COMMIT');
ok(wait_published($node, timeout => 30), 'they commit, and are published');
is(published('held'), 'first large-1 large-2 large-3 last', 'the open one whole and in order');
is(published('prepared'), 'p1 p2', 'the prepared one too');
ok(before(slot_lsn(), $after_all), 'WAL is still held, for the last prepared one');
sql("ROLLBACK PREPARED 'dropped'");
sql(emit('live', ++$live));
ok(wait_for($node, "SELECT restart_lsn > '$after_all' FROM pg_replication_slots WHERE slot_name LIKE 'outbox%'",
		timeout => 20), 'then it is let go');
is($idle->query_safe('SELECT 1'), '1', 'one without events holds nothing, and is still open');
$open->quit;
$idle->quit;
$writer->quit;

# --- over a crash -----------------------------------------------------------
sql(join ";\n", 'BEGIN', emit('prepared', 'p3'), "PREPARE TRANSACTION 'crash'");
$open = $node->background_psql('postgres', on_error_stop => 0);
$open->query_safe('BEGIN');
$open->query_safe(emit('held', 'crashed'));
my $crash = sql('SELECT pg_current_wal_insert_lsn()');
churn();
$node->stop('immediate');
$node->start;
eval { $open->quit };
for (1 .. 3)
{
	churn();
	sql(emit('live', ++$live));
}
ok(wait_published($node, timeout => 30), 'after a crash: published');
ok(before(slot_lsn(), $crash), 'the prepared one still holds its WAL');
sql("COMMIT PREPARED 'crash'");
ok(wait_published($node, timeout => 30), 'it commits');
is(published('prepared'), 'p1 p2 p3', 'and is published once');
is(published('held'), 'first large-1 large-2 large-3 last', 'the one that crashed never');
ok(wait_for($node, "SELECT restart_lsn > '$crash' FROM pg_replication_slots WHERE slot_name LIKE 'outbox%'",
		timeout => 20), 'and holds nothing');
is(published('live'), join(' ', 1 .. $live), 'everybody else: each once, in order');
is(published('dropped'), '', 'what was rolled back never');
$node->stop;
done_testing();
