# outbox.check() with three brokers: replicas, those in sync, brokers that are
# gone; and a replication slot that was invalidated, which the event log, with its
# budget for WAL, would prevent.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

# Small ones: three at a time.
$ENV{KAFKA_HEAP} = '-Xms64m -Xmx256m';
my @set = map { ('--set', $_) } 'default.replication.factor=3', 'min.insync.replicas=2', 'offsets.topic.replication.factor=3',
  'transaction.state.log.replication.factor=3', 'transaction.state.log.min.isr=2', 'controlled.shutdown.enable=false';
my $one = OutboxTest::Broker->new(@set);
my @more = map { OutboxTest::Broker->new(@set, '--join', $one->dir, $_) } 2, 3;
my $bootstrap = join ',', map { $_->bootstrap } $one, @more;
my $node = outbox_node('cluster', bootstrap => $bootstrap,
	conf => "outbox.retry_max = 1s\noutbox.event_log = off\nmax_slot_wal_keep_size = 64MB\nwal_keep_size = 0\nmin_wal_size = 32MB\nmax_wal_size = 1GB\ncheckpoint_timeout = 1h\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Findings whose problem is like that, as "severity object".
sub found
{
	my ($pattern, $call) = @_;
	$call //= "outbox.check('30 s')";
	return join(', ', split /\n/, sql("SELECT severity || ' ' || object FROM $call WHERE problem ~ "
		  . FaultTest::quote($pattern) . ' ORDER BY object COLLATE "C"'));
}
sub comes
{
	my ($what, $pattern, $title) = @_;
	my $good = wait_for($node, "SELECT count(*) = 1 FROM outbox.check('30 s') WHERE severity || ' ' || object = "
		  . FaultTest::quote($what) . ' AND problem ~ ' . FaultTest::quote($pattern));
	ok($good, $title) or diag(sql("SELECT * FROM outbox.check('30 s')"));
	return $good;
}

ok(wait_state($node, 'streaming'), 'streaming');
my %topic = map { ($_ => topic($_)) } qw(good one all loose unclean);
admin($one->bootstrap, 'create', $topic{good}, '2/3', '--', 'create', $topic{one}, '3/1', 'min.insync.replicas=1', '--',
	'create', $topic{all}, '1/3', 'min.insync.replicas=3', '--', 'create', $topic{loose}, '1/3', 'min.insync.replicas=1', '--',
	'create', $topic{unclean}, '1/3', 'unclean.leader.election.enable=true');
sql("SELECT outbox.create_event_type('$_', topic => '$topic{$_}', format => 'json')") foreach sort keys %topic;
my $position = sql("SELECT 'outbox.position.' || instance_id FROM outbox.instance");

is(found('^3 brokers$'), 'ok kafka', 'three brokers');
is(found('^2 partitions, 3 replicas$'), "ok topic $topic{good}", 'a topic as it should be');
is(found('^1 partitions, 3 replicas$'), "ok topic $position", 'the position topic, which has what the brokers give');
is(found('^has one replica'), "warning topic $topic{one}", 'one replica');
is(found('is all of its 3 replicas'), "warning topic $topic{all}", 'all must be in sync');
is(found('^min.insync.replicas is 1:'), "warning topic $topic{loose}", 'one in sync is enough');
is(found('^unclean.leader.election.enable is true'), "warning topic $topic{unclean}", 'unclean leader election');
is(found('kept by one broker alone'), '', 'transactions are kept by more than one');

# ---- one is gone: what needs all three stands, the others go on
$more[1]->kill9;
comes("error topic $topic{all}", '^2 replicas are in sync, min.insync.replicas is 3', 'one broker gone, all needed');
is(found('replicas are in sync, min', "outbox.check('30 s')"), "error topic $topic{all}, error topic $topic{one}",
	'of the others two are enough');
is(found('^1 of its partitions have no leader', "outbox.check('30 s')"), "error topic $topic{one}", 'what was on that one alone is gone');
sql("SELECT outbox.emit('good', '{\"n\": 1}')");
ok(wait_published($node), 'published with two brokers');

# ---- two are gone: nothing can be written, and events wait
$more[0]->kill9;
comes("error topic $topic{good}", '^1 replicas are in sync, min.insync.replicas is 2', 'two brokers gone');
like(found('^1 replicas are in sync'), qr/error topic \Q$position\E/, 'the position topic, too');
sql("SELECT outbox.emit('good', '{\"n\": 2}')");
is(sql("SELECT outbox.wait_published('2 s')"), 'f', 'nothing is published');
$_->restart foreach @more;
comes("ok topic $topic{good}", '^2 partitions, 3 replicas$', 'they are back');
ok(wait_state($node, 'streaming') && wait_published($node), 'published');
is(join(' ', sort map { $_->{value}{n} } consume(undef, $topic{good}, { bootstrap => $one->bootstrap })), '1 2', 'each event once');

# ---- a slot that held too much
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'ok' AND object LIKE 'replication slot outbox%'"),
	'the slot is within its limit');
sql('SELECT outbox.pause()');
ok(wait_state($node, 'paused'), 'paused');
my $lost = sql("SELECT pg_current_wal_lsn(); SELECT outbox.emit('good', '{\"n\": 3}')");
sub write_wal { sql('SELECT pg_switch_wal(); SELECT pg_logical_emit_message(false, \'filler\', \'x\')') foreach 1 .. $_[0]; return; }
write_wal(3);
is(found('of WAL, max_slot_wal_keep_size is 64 MB', "outbox.check('0 s')") =~ s/_\d+//r, 'warning replication slot outbox', 'more than half of it');
write_wal(2);
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'error' AND object LIKE 'replication slot outbox%'
	AND problem ~ 'more than max_slot_wal_keep_size|max_slot_wal_keep_size is 64 MB'"), 'more than all of it');
write_wal(3);
sql('CHECKPOINT');
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'error' AND object LIKE 'replication slot outbox%'
	AND problem ~ '^it was invalidated \\((max_slot_wal_keep_size|wal_removed)\\)|^there is none'"), 'invalidated')
  or diag(sql("SELECT * FROM outbox.check('0 s'); SELECT * FROM pg_replication_slots"));
sql('SELECT outbox.resume()');
ok_state($node, 'gap', 'WAL from [0-9A-F/]+ to [0-9A-F/]+, which may hold unpublished events, is gone', 'state gap, with the range');
is(found('^state gap'), 'error relay', 'and check() says so');
sql("SELECT outbox.emit('good', '{\"n\": 4}')");
sql("SELECT outbox.adopt('it was a test')");
ok(wait_state($node, 'streaming') && wait_published($node), 'adopted');
is(join(' ', sort map { $_->{value}{n} } consume(undef, $topic{good}, { bootstrap => $one->bootstrap })), '1 2 4', 'what is gone is gone');
is(found('^it was invalidated|^there is none', "outbox.check('0 s')"), '', 'the slot is there again');

# ---- 18 can also invalidate a slot that nobody uses
SKIP:
{
	skip 'no idle_replication_slot_timeout in this release', 5
	  if sql("SELECT count(*) FROM pg_settings WHERE name = 'idle_replication_slot_timeout'") eq '0';
	reload_with($node, idle_replication_slot_timeout => '1s');
	ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'warning' AND object = 'idle_replication_slot_timeout'"),
		'a timeout of idle slots is warned of');
	reload_with($node, 'outbox.kafka_program' => '/nowhere');
	sql('SELECT outbox.restart()');
	ok(wait_state($node, 'misconfigured'), 'no relay holds the slot');
	my $idle = "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'error' AND object LIKE 'replication slot outbox%'
		AND problem ~ '^it was invalidated \\(idle_timeout\\)'";
	foreach (1 .. 40)
	{
		sql('SELECT pg_switch_wal() FROM pg_logical_emit_message(false, \'filler\', \'x\')');
		sql('CHECKPOINT');
		last if sql($idle) eq 't';
		sleep 1;
	}
	is(sql($idle), 't', 'it was invalidated');
	reload_with($node, 'outbox.kafka_program' => '', idle_replication_slot_timeout => '0');
	sql("SELECT outbox.emit('good', '{\"n\": 5}')");
	ok(wait_for($node, "SELECT state IN ('streaming', 'gap') FROM outbox.status()"), 'the relay looks');
	sql("SELECT outbox.adopt('idle')") if status($node)->{state} eq 'gap';
	ok(wait_state($node, 'streaming') && wait_published($node), 'and goes on');
}
$node->stop;
done_testing();
