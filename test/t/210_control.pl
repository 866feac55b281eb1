# Telling the relay what to do, and seeing what it does: pause, resume, restart,
# wait_published, status, statistics, names of processes, settings.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use OutboxTest;
use OutboxPosition;

my $topic = topic('control');
my $node = outbox_node('control', conf => "outbox.heartbeat_interval = 300\n");

sub sql { return $node->safe_psql('postgres', @_); }
sub emit { return sql("SELECT outbox.emit('control', '{\"n\": \"$_[0]\"}', key => 'k')"); }
sub stat_of { return sql("SELECT $_[0] FROM outbox.stat_relay WHERE datname = 'postgres'"); }

sql("SELECT outbox.create_event_type('control', format => 'json', topic => '$topic', partitions => 1)");
emit('a');
ok(wait_published($node, timeout => 20), 'publishes');

# --- what it says of itself ----------------------------------------------
my $status = status($node);
is($status->{state}, 'streaming', 'status: state');
is($status->{reason}, undef, 'no reason needed');
is($status->{events} . '|' . $status->{transactions}, '1|1', 'events and transactions');
cmp_ok($status->{lag_ms}, '<', 1000, 'no lag');
ok(defined $status->{$_}, "known: $_")
  foreach qw(state_since published_lsn lag_bytes last_published_at retained_wal_bytes pid child_pid);
cmp_ok($status->{retained_wal_bytes}, '<', 64 * 1024 * 1024, 'little WAL is kept');
is(stat_of("datid = (SELECT oid FROM pg_database WHERE datname = 'postgres')
		AND state = 'streaming' AND recorded_lsn <= published_lsn AND restart_lsn <= recorded_lsn
		AND scanned_lsn >= published_lsn AND kafka_transactions > 0 AND bytes > 0
		AND forged_messages = 0 AND split_transactions = 0 AND incarnation > 0 AND failures = 0
		AND last_commit_time <= last_published_at AND last_error IS NULL"),
	't', 'stat_relay agrees');
is(sql("SELECT topic, events, bytes FROM outbox.stat_topic WHERE topic = '$topic'"),
	"$topic|1|" . length('{"n": "a"}k'), 'stat_topic counts keys and values');
my $counted = q{SELECT transactions = 1 AND mean_ms > 0 AND p50_ms > 0 AND p50_ms <= p95_ms AND p95_ms <= p99_ms
	AND stats_reset IS NULL FROM outbox.stat_latency WHERE datname = 'postgres'};
is(sql($counted), 't', 'stat_latency counts the transaction');
is(sql(q{SELECT count(*) = 23 AND min(le) = 0.001 AND max(le) = 'Infinity' AND max(transactions) = 1 AND min(sum) > 0
	AND bool_and(ordered) FROM (SELECT *, transactions >= lag(transactions, 1, 0::bigint) OVER (ORDER BY le) AS ordered
		FROM outbox.stat_latency_bucket WHERE datname = 'postgres') b}), 't', 'and its histogram rises to it');
sql('SELECT outbox.reset_latency()');
is(sql(q{SELECT transactions, mean_ms, p99_ms, stats_reset IS NOT NULL FROM outbox.stat_latency
	WHERE datname = 'postgres'}), '0|||t', 'reset_latency()');
is(sql("SELECT outbox.published_lsn() <= pg_current_wal_flush_lsn()"), 't', 'published_lsn');

is(sql("SELECT string_agg(backend_type || '/' || query, ', ' ORDER BY backend_type)
		FROM pg_stat_activity WHERE backend_type LIKE 'outbox%'"),
	'outbox launcher/outbox launcher, outbox log writer/outbox log writer, outbox relay/outbox relay: streaming', 'pg_stat_activity');
sub title
{
	my ($pid) = @_;
	my $text = slurp_file("/proc/$pid/cmdline");
	$text =~ tr/\0/ /;
	return $text;
}
like(title($status->{pid}), qr/outbox relay postgres streaming/, 'title of the relay');
like(title($status->{child_pid}), qr/outbox-kafka publish/, 'and of its child');

# --- wait_published ------------------------------------------------------
is(sql("SELECT outbox.wait_published()"), 't', 'wait_published without a timeout');
like(sql("BEGIN; SELECT outbox.emit('control', '{\"n\": \"b\"}', key => 'k'); COMMIT;
	SELECT outbox.wait_published('10 s')"), qr/t$/, 'after an event');
like(sql("BEGIN; SELECT outbox.emit('control', '{\"n\": \"c\"}', key => 'k'); PREPARE TRANSACTION 'p';
	COMMIT PREPARED 'p'; SELECT outbox.wait_published('10 s')"), qr/t$/, 'after COMMIT PREPARED');
is(stat_of('events'), '3', 'it was indeed published');

# --- pause, resume -------------------------------------------------------
sql('SELECT outbox.pause()');
ok(wait_state($node, 'paused', timeout => 5), 'pause');
emit('d');
my $began = time();
is(sql("SELECT outbox.wait_published('300 ms')"), 'f', 'wait_published gives up after its timeout');
note(sprintf('300 ms were %.1f s', time() - $began));
cmp_ok(status($node)->{lag_ms}, '>', 100, 'the lag shows');
my $sent = stat_of('kafka_transactions');
usleep(800_000);
cmp_ok(stat_of('kafka_transactions'), '>', $sent, 'heartbeats go on');
is(stat_of('events'), '3', 'without events');
$node->restart;
ok(wait_state($node, 'paused', timeout => 10), 'paused after a restart of the server');
sql("BEGIN; SELECT outbox.resume(); ROLLBACK");
usleep(300_000);
is(status($node)->{state}, 'paused', 'resume() is of its transaction');
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('BEGIN; SELECT outbox.resume()');
usleep(300_000);
is(status($node)->{state}, 'paused', 'and comes with its commit');
$session->query_safe('COMMIT');
ok(wait_published($node, timeout => 10), 'resume');
is(stat_of('events'), '1', 'what was waiting goes out');

# Whoever holds outbox.instance holds up nobody.
$session->query_safe('BEGIN; SELECT outbox.pause()');
emit('e');
ok(wait_published($node, timeout => 10), 'an open transaction that paused does not hold the relay');
$session->query_safe('ROLLBACK');
$session->quit;

# --- restart -------------------------------------------------------------
my ($pid, $child, $incarnation) = (relay_pid($node), child_pid($node), stat_of('incarnation'));
sql('SELECT outbox.restart()');
ok(wait_for($node, "SELECT state = 'streaming' AND pid <> $pid AND child_pid <> $child
	FROM outbox.status()", timeout => 5), 'restart: other processes');
cmp_ok(stat_of('incarnation'), '>', $incarnation, 'a new incarnation');
ok(!kill(0, $child), 'the old child is gone');
$pid = relay_pid($node);
sql("SELECT pg_terminate_backend($pid)");
ok(wait_for($node, "SELECT state = 'streaming' AND pid <> $pid FROM outbox.status()", timeout => 5),
	'terminated: starts again');
my $launcher = sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'outbox launcher'");
$pid = relay_pid($node);
sql("SELECT pg_terminate_backend($launcher)");
ok(wait_for($node, "SELECT pid <> $launcher FROM pg_stat_activity
	WHERE backend_type = 'outbox launcher'", timeout => 5), 'the launcher too');
is(relay_pid($node), $pid, 'which disturbs no relay');

# --- settings ------------------------------------------------------------
sub reload_with
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
	$node->reload;
}
reload_with("work_mem = '5MB'");
usleep(300_000);
is(relay_pid($node), $pid, 'a setting that does not concern the link changes nothing');
reload_with('outbox.ring_size = 3');
ok(wait_for($node, "SELECT state = 'streaming' AND pid <> $pid FROM outbox.status()", timeout => 10),
	'one that does restarts it');
my %position = read_position(position_topic($node));
is($position{ring}, 3, 'and takes effect');
$pid = relay_pid($node);
reload_with('outbox.ring_size = 1');
ok(wait_for($node, "SELECT state = 'streaming' AND pid <> $pid FROM outbox.status()", timeout => 10),
	'smaller again');
emit('f');
ok(wait_published($node, timeout => 10), 'a smaller ring publishes');
is({ read_position(position_topic($node)) }->{ring}, 3, 'and still fences all that were ever used');

my $file = $node->data_dir . '/kafka.properties';
foreach my $case (
	[ 'not.a.key = 1', 0600, qr/not\.a\.key/, 'unknown key' ],
	[ 'plugin.library.paths = /tmp/x', 0600, qr/plugin\.library\.paths/, 'dangerous key' ],
	[ 'compression.type = lz4', 0644, qr/kafka\.properties.*(0600|mode|permission)/i, 'mode 0644' ],
	[ 'compression.type = nonsense', 0600, qr/compression/, 'bad value' ])
{
	my ($text, $mode, $reason, $title) = @$case;
	unlink $file;
	append_to_file($file, "$text\n");
	chmod $mode, $file;
	reload_with("outbox.kafka_config_file = '$file'  # $title");
	sql('SELECT outbox.restart()');
	ok(wait_state($node, 'misconfigured', timeout => 10), "properties file, $title: misconfigured");
	like(status($node)->{reason}, $reason, '  with the reason');
}
unlink $file;
sql('SELECT outbox.restart()');
ok(wait_for($node, "SELECT state = 'misconfigured' AND reason LIKE '%kafka.properties%'
	FROM outbox.status()", timeout => 10), 'properties file, missing: misconfigured');
emit('g');
append_to_file($file, "compression.type = lz4\n");
chmod 0600, $file;
ok(wait_published($node, timeout => 10), 'mended, it goes on by itself');

# --- rights --------------------------------------------------------------
sql('CREATE ROLE nobody LOGIN');
foreach my $call ('status()', 'pause()', 'resume()', 'restart()', "adopt('x')", 'published_lsn()',
	"wait_published('1 s')", 'refused_state()', 'relay_rows()', 'topic_rows()',
	'latency_rows()', 'latency_bucket_rows()', 'reset_latency()')
{
	my ($rc, $out, $err) = $node->psql('postgres', "SET ROLE nobody; SELECT outbox.$call");
	like($err, qr/permission denied/, "not for everybody: $call");
}
is(join(' ', map { $_->{value}{n} } consume($node, $topic)), 'a b c d e f g', 'each event once');
$node->stop;
done_testing();
