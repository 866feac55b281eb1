# What a transaction is to the relay: order, savepoints, prepared ones, large
# ones, and synchronous standbys.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use OutboxTest;

my $node = outbox_node('txn', conf => "outbox.heartbeat_interval = 500\n");
my %topics;

# A new topic and event type of one partition.
sub new_type
{
	my ($name) = @_;
	$topics{$name} = topic($name);
	$node->safe_psql('postgres', "SELECT outbox.create_event_type('$name', format => 'json',
		topic => '$topics{$name}', partitions => 1)");
}

# The values' "n" in order.
sub published
{
	my ($name, %opt) = @_;
	ok(wait_published($node, timeout => 30), "$name: published") unless $opt{nowait};
	return join ' ', map { $_->{value}{n} } consume($node, $topics{$name});
}
sub emit
{
	my ($name, $n) = @_;
	return "SELECT outbox.emit('$name', '{\"n\": \"$n\"}', key => 'k')";
}

# --- order ---------------------------------------------------------------
new_type('orders');
my $one = $node->background_psql('postgres', on_error_stop => 0);
my $two = $node->background_psql('postgres', on_error_stop => 0);
$one->query_safe('BEGIN');
$one->query_safe(emit('orders', 'first-written'));
$two->query_safe('BEGIN');
$two->query_safe(emit('orders', 'second-written'));
$two->query_safe(emit('orders', 'and-another'));
$two->query_safe('COMMIT');
$one->query_safe('COMMIT');
is(published('orders'), 'second-written and-another first-written',
	'the order is that of the commits');

# One left open holds nobody up.
$one->query_safe('BEGIN');
$one->query_safe(emit('orders', 'late'));
my $began = time();
$node->safe_psql('postgres', emit('orders', 'quick'));
ok(wait_published($node, timeout => 10), 'published beside an open transaction');
note(sprintf('after %.1f s', time() - $began));
cmp_ok($node->safe_psql('postgres', 'SELECT open_transactions FROM outbox.stat_relay'),
	'>=', 1, 'which is counted as open');
$one->query_safe('COMMIT');
like(published('orders'), qr/ quick late$/, 'and goes out when it commits');

# --- savepoints ----------------------------------------------------------
new_type('subs');
$node->safe_psql('postgres', join ";\n", 'BEGIN', emit('subs', 'a'), 'SAVEPOINT s',
	emit('subs', 'lost'), 'ROLLBACK TO s', emit('subs', 'b'), 'SAVEPOINT t',
	emit('subs', 'c'), 'SAVEPOINT u', emit('subs', 'lost too'), 'ROLLBACK TO t',
	emit('subs', 'd'), 'RELEASE t', 'COMMIT');
$node->safe_psql('postgres', join ";\n", 'BEGIN', emit('subs', 'never'), 'ROLLBACK');
$node->safe_psql('postgres', <<'SQL');
DO $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		BEGIN
			PERFORM outbox.emit('subs', jsonb_build_object('n', i));
			IF i % 3 = 0 THEN
				RAISE EXCEPTION 'no';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END
$$;
SQL
is(published('subs'), join(' ', 'a b d', grep { $_ % 3 } 1 .. 300),
	'savepoints and 200 subtransactions: what was kept, in order');

# --- prepared ------------------------------------------------------------
new_type('twophase');
$node->safe_psql('postgres', join ";\n", 'BEGIN', emit('twophase', "$_"), 'SAVEPOINT s',
	emit('twophase', "$_-sub"), "PREPARE TRANSACTION '$_'")
  foreach qw(kept dropped over);
$node->safe_psql('postgres', emit('twophase', 'between'));
is(published('twophase'), 'between', 'a prepared transaction is not there yet');
$node->safe_psql('postgres', "COMMIT PREPARED 'kept'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'dropped'");
is(published('twophase'), 'between kept kept-sub', 'COMMIT and ROLLBACK PREPARED');
$one->quit;
$two->quit;
$node->restart;
is($node->safe_psql('postgres',
		"COMMIT PREPARED 'over'; SELECT outbox.wait_published('30 s')"),
	't', 'wait_published in the session of COMMIT PREPARED, after a restart');
is(published('twophase', nowait => 1), 'between kept kept-sub over over-sub',
	'prepared before, committed after a restart');

# --- large ---------------------------------------------------------------
new_type('large');
$node->append_conf('postgresql.conf',
	"outbox.max_kafka_txn_events = 100\noutbox.batch_events = 50\n");
$node->reload;
$node->safe_psql('postgres', "INSERT INTO outbox.event (aggregatetype, aggregateid, type, payload)
	SELECT 'none', 'none', 'none', '{}' WHERE false;"
	  . emit('large', 'before') . ";
	SELECT count(outbox.emit('large', jsonb_build_object('n', i), key => 'k'))
	FROM generate_series(1, 1050) i");
$node->safe_psql('postgres', emit('large', 'after'));
is(published('large'), join(' ', 'before', 1 .. 1050, 'after'),
	'split over Kafka transactions, in order');
my @parts = map { my ($p) = map { $_->[1] } grep { $_->[0] eq 'outbox.split' } @{ $_->{headers} };
	$p // 'none' } consume($node, $topics{large});
is("$parts[0] $parts[1] $parts[100] $parts[101] $parts[1050] $parts[1051]",
	'none 1 1 2 11 none', 'its events say so in header outbox.split');
is($node->safe_psql('postgres', 'SELECT split_transactions FROM outbox.stat_relay'), '1',
	'and it is counted');

# The child is killed in the middle, several times.
new_type('killed');
my $kills = 0;
my $sent = $node->safe_psql('postgres', 'SELECT events FROM outbox.stat_relay');
$node->append_conf('postgresql.conf', "outbox.max_kafka_txn_events = 40\n");
$node->reload;
$node->safe_psql('postgres', "SELECT count(outbox.emit('killed',
	jsonb_build_object('n', i), key => 'k')) FROM generate_series(1, 10000) i");
for my $round (1 .. 6)
{
	usleep(150_000);
	my $child = child_pid($node);
	next unless $child && kill9($child);
	$kills++ if $node->safe_psql('postgres', "SELECT events < $sent + 10000
		FROM outbox.stat_relay") eq 't';
}
my $got = published('killed');
cmp_ok($kills, '>=', 2, "outbox-kafka killed $kills times within one transaction");
ok($got eq join(' ', 1 .. 10000), 'nothing lost, doubled or out of order')
  or diag(length $got);

# --- synchronous_commit --------------------------------------------------
new_type('sync');
$began = time();
like($node->safe_psql('postgres',
	'SET synchronous_commit = off; ' . emit('sync', 'async') . ";\nSELECT outbox.wait_published('10 s')"),
	qr/t$/, 'synchronous_commit = off: published');
note(sprintf('after %.1f s', time() - $began));

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'wal_receiver_status_interval = 1');
$standby->start;
$node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'");
$node->reload;
ok(wait_for($node, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'"),
	'a synchronous standby');
foreach my $level (qw(on remote_apply))
{
	$node->safe_psql('postgres', "SET synchronous_commit = $level; " . emit('sync', $level));
}
is(published('sync'), 'async on remote_apply', 'both levels are published');

# The standby's receiver stands still: a commit waits, one with its wait
# cancelled is visible, and neither is published.
my $receiver = $standby->safe_psql('postgres', 'SELECT pid FROM pg_stat_wal_receiver');
kill 'STOP', $receiver;
$two = $node->background_psql('postgres', on_error_stop => 0);
$two->query_until(qr/waiting/, "\\echo waiting\n" . emit('sync', 'held') . ";\n");
ok(wait_state($node, 'waiting_for_standby', timeout => 10), 'the state says what it waits for');
like(status($node)->{reason}, qr/synchronous standby/, 'and the reason too');
my $heard = $node->safe_psql('postgres', 'SELECT kafka_transactions FROM outbox.stat_relay');
$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	WHERE wait_event = 'SyncRep'");
$node->safe_psql('postgres', 'SET synchronous_commit = local; ' . emit('sync', 'local'));
usleep(1_500_000);
is(join(' ', map { $_->{value}{n} } consume($node, $topics{sync})), 'async on remote_apply',
	'a commit whose wait was cancelled is not published, nor are later ones');
is(status($node)->{state}, 'waiting_for_standby', 'it still waits');
cmp_ok($node->safe_psql('postgres', 'SELECT kafka_transactions FROM outbox.stat_relay'),
	'>', $heard, 'heartbeats go on meanwhile');
kill 'CONT', $receiver;
is(published('sync'), 'async on remote_apply held local', 'when the standby has it, they go out');
ok(wait_state($node, 'streaming'), 'and the state is streaming again');

# A standby that is gone, and the names taken away.
$standby->stop;
$two->query_until(qr/waiting/, "\\echo waiting\n" . emit('sync', 'freed') . ";\n");
ok(wait_state($node, 'waiting_for_standby', timeout => 10), 'no standby at all: waits');
$node->safe_psql('postgres', "SET synchronous_commit = local; ALTER SYSTEM RESET synchronous_standby_names");
$node->reload;
is(published('sync'), 'async on remote_apply held local freed',
	'no synchronous standby any more: published');
$two->quit;
$node->stop;
done_testing();
