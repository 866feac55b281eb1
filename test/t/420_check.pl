# outbox.check() with a broker whose settings and topics are bad, one after the
# other, and then not.  What the server alone can tell is in sql/check.sql.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

my $broker = OutboxTest::Broker->new('--set', 'transaction.partition.verification.enable=false');
my $bootstrap = $broker->bootstrap;
my $node = outbox_node('check', bootstrap => $bootstrap, conf => "outbox.retry_max = 1s\n");

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Findings whose problem is like that, as "severity object".
sub found
{
	my ($pattern, $call) = @_;
	$call //= "outbox.check('30 s')";
	return join(', ', split /\n/, sql("SELECT severity || ' ' || object FROM $call WHERE problem ~ "
		  . FaultTest::quote($pattern)));
}

is(found('nobody has looked', "outbox.check('0 s')"), 'info kafka', 'nobody has looked yet');
ok(wait_state($node, 'streaming'), 'streaming');

# --- topics
my %topic = map { ($_ => topic($_)) } qw(good bad short few missing used);
admin($bootstrap, 'create', $topic{good}, 2, '--', 'create', $topic{few}, 3, '--',
	'create', $topic{short}, 1, 'min.insync.replicas=2', '--', 'create', $topic{bad}, 1, 'cleanup.policy=compact', 'unclean.leader.election.enable=true',
	'max.message.bytes=1000', 'message.timestamp.type=LogAppendTime');
sql("SELECT outbox.create_event_type('$_', topic => '$topic{$_}', format => 'json'"
	  . ($_ eq 'few' ? ', partitions => 5' : '') . ')')
  foreach qw(good bad short few missing);
sql("SELECT outbox.create_event_type('by table', topic => '$topic{used}-\${aggregatetype}', format => 'json')");
sql("INSERT INTO outbox.event (type, aggregatetype, payload) VALUES ('by table', 'x', '{}')");
ok(wait_published($node), 'events');

is(found('^state streaming$'), 'ok relay', 'relay');
is(found('^2 partitions, 1 replicas$'), "ok topic $topic{good}", 'a topic as it should be');
is(found('^cleanup.policy is compact: '), "warning topic $topic{bad}", 'compacted');
is(found('^unclean.leader.election.enable is true'), "warning topic $topic{bad}", 'unclean leader election');
is(found('^max.message.bytes is 1000, outbox.max_event_size 1000000'), "warning topic $topic{bad}", 'largest message');
is(found("carry the broker's time"), "info topic $topic{bad}", 'timestamps');
is(found('^min.insync.replicas is 2, and it has 1'), "error topic $topic{short}", 'more in sync than there are');
is(found('^has 3 partitions, its event type says 5'), "warning topic $topic{few}", 'partitions');
is(found('^does not exist yet'), "info topic $topic{missing}", 'a topic to be created');
is(sql("SELECT count(*) FROM outbox.check('30 s') WHERE object = 'topic $topic{used}-x' AND severity = 'ok'"),
	1, 'a topic that no event type names, but an event did');
reload_with($node, 'outbox.create_topics' => 'off');
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('30 s') WHERE object = 'topic $topic{missing}'
	AND severity = 'error' AND problem = 'does not exist'"), 'a topic that nobody will create');

# --- broker, libraries, clock, consumers
is(found('^the cluster has one broker'), 'info kafka', 'one broker');
is(found('^transaction verification is off'), 'warning broker 1', 'KIP-890');
is(found("clock agrees"), 'ok clock', 'clock');
like(found('^version '), qr/(ok|info) librdkafka/, 'librdkafka');
like(found('^version '), qr/ok avro-c/, 'avro-c');
is(found('only with isolation.level = read_committed'), 'info consumers', 'isolation of consumers');
is(sql("SELECT bool_and(checked_at BETWEEN now() AND clock_timestamp()) FROM outbox.check('30 s')"), 't',
	'all of it is news');

# --- the position topic
my $position = sql("SELECT 'outbox.position.' || instance_id FROM outbox.instance");
is(sql("SELECT severity FROM outbox.check('30 s') WHERE object = 'topic $position'"), 'ok', 'position topic');
admin($bootstrap, 'config', $position, 'cleanup.policy=compact,delete', 'unclean.leader.election.enable=true');
is(found('^cleanup.policy is compact,delete'), "error topic $position", 'position topic that is deleted from');
is(found('^unclean'), "warning topic $topic{bad}, warning topic $position", 'with unclean leaders');
admin($bootstrap, 'config', $position, 'cleanup.policy=compact', 'unclean.leader.election.enable=false');
is(sql("SELECT severity FROM outbox.check('30 s') WHERE object = 'topic $position'"), 'ok', 'mended');

# --- mended topics
admin($bootstrap, 'config', $topic{bad}, 'cleanup.policy=delete', 'unclean.leader.election.enable=false',
	'max.message.bytes=2000000', 'message.timestamp.type=CreateTime', '--',
	'config', $topic{short}, 'min.insync.replicas=1', '--', 'partitions', $topic{few}, 5, '--',
	'create', $topic{missing}, 1);
is(sql("SELECT count(*) FROM outbox.check('30 s') WHERE object LIKE 'topic %' AND severity <> 'ok'"), 0,
	'all topics mended');

# --- whoever holds our tables does not hold the relay
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE outbox.event_type_def');
is(sql("SELECT count(*) FROM outbox.kafka_findings('30 s') WHERE severity = 'ok' AND object LIKE 'topic %'"), 2,
	'with the catalog locked, the topics that were used');
$holder->query_safe('COMMIT');
$holder->quit;

# --- the schema registry
reload_with($node, 'outbox.schema_registry_url' => 'http://127.0.0.1:1');
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('30 s') WHERE object = 'schema registry'
	AND severity = 'error' AND problem ~ '127.0.0.1:1'"), 'a registry that is not there');
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', ReuseAddr => 1) or die $!;
my $pid = fork() // die "fork: $!";
if ($pid == 0)
{
	while (my $client = $server->accept)
	{
		while (my $line = <$client>) { last if $line =~ /^\r?$/; }
		print $client "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
		close $client;
	}
	require POSIX;
	POSIX::_exit(0);
}
reload_with($node, 'outbox.schema_registry_url' => 'http://127.0.0.1:' . $server->sockport);
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('30 s') WHERE object = 'schema registry'
	AND severity = 'ok'"), 'a registry that answers');
kill 'KILL', $pid;
waitpid($pid, 0);
reload_with($node, 'outbox.schema_registry_url' => '');
ok(wait_for($node, "SELECT count(*) > 0 AND count(*) FILTER (WHERE object = 'schema registry') = 0
	FROM outbox.kafka_findings('30 s')"), 'no registry, nothing to say');

# --- open transactions hold the position
my $open = $node->background_psql('postgres');
$open->query_safe(q{BEGIN; SELECT outbox.emit('good', '{}'::jsonb)});
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s', '0 s')
	WHERE severity = 'warning' AND object LIKE 'transaction of process % (postgres)'"), 'a transaction that is open');
is(sql("SELECT count(*) FROM outbox.check('0 s') WHERE object LIKE 'transaction of process %'"), 0, 'not for long');
$open->query_safe('COMMIT');
$open->quit;
ok(wait_published($node), 'it is published');

# --- limits of WAL, pause
is(found('of WAL, without a limit$', "outbox.check('0 s')") =~ s/_\d+//r, 'info replication slot outbox', 'no limit of WAL');
reload_with($node, 'max_slot_wal_keep_size' => '10GB');
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'ok' AND object LIKE 'replication slot%'
	AND problem ~ 'max_slot_wal_keep_size is 10 GB'"), 'within a limit');
sql('SELECT outbox.pause()');
ok(wait_state($node, 'paused'), 'paused');
is(found('^state paused$'), 'warning relay', 'paused is a warning');
is(found('^transaction verification is off'), 'warning broker 1', 'and Kafka is looked at all the same');
sql('SELECT outbox.resume()');
ok(wait_state($node, 'streaming'), 'resumed');

# --- outbox-http
reload_with($node, 'outbox.http_listen' => $bootstrap);
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'error' AND object = 'outbox-http'"),
	'an address that is taken');
reload_with($node, 'outbox.http_listen' => '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port());
ok(wait_for($node, "SELECT count(*) = 1 FROM outbox.check('0 s') WHERE severity = 'ok' AND object = 'outbox-http'"),
	'one that is free');
reload_with($node, 'outbox.http_listen' => '');

# --- Kafka stands still: what was known before, with its age
my $before = sql("SELECT max(checked_at) FROM outbox.kafka_findings('30 s')");
$broker->pause;
is(sql("SELECT count(*) > 0 AND max(checked_at) = '$before' FROM outbox.kafka_findings('1 s')"), 't',
	'Kafka stands still: what was found before');
is(found('^what is said of it is .* old$', "outbox.check('0 s')"), 'info kafka', 'check says that it is old');
$broker->cont;
ok(wait_for($node, "SELECT count(*) > 3 AND min(checked_at) > '$before' FROM outbox.kafka_findings('5 s') WHERE problem !~ 'no broker'"),
	'Kafka is back: found anew');
$broker->kill9;
sql(q{SELECT outbox.emit('good', '{}'::jsonb)});
ok(wait_state($node, 'kafka_unavailable'), 'Kafka is gone');
like(found('^state kafka_unavailable: '), qr/^error relay/, 'an error with its reason');

# --- the library is not loaded
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(found('not in shared_preload_libraries'), 'error shared_preload_libraries', 'not preloaded');
$node->stop;
done_testing();
