# What happens when the broker is away, slow, or refuses: writers notice
# nothing, status() says why, and publishing resumes by itself.  Times are
# printed, never asserted.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;
use Time::HiRes qw(sleep time);

my $broker = OutboxTest::Broker->new('--set', 'message.max.bytes=400000');
my $bootstrap = $broker->bootstrap;
my %at = (bootstrap => $bootstrap);

# ---- down at start
$broker->kill9;
my $node = outbox_node('broker', bootstrap => $bootstrap, conf => 'outbox.retry_max = 2s');
my ($plain, $typed) = set_up($node);
my @both = ($plain, $typed, \%at);
put($node, 'plain', 5);
ok_state($node, 'kafka_unavailable', 'Connection refused|Connect to', 'broker down at start');
my $from = log_size($node);
sleep(4);
put($node, 'typed', 5);
my @lines = split /\n/, log_since($node, $from);
cmp_ok(scalar(@lines), '<', 40, 'no flood in the log while the broker is away');
is($node->safe_psql('postgres', 'SELECT events FROM outbox.status()'), 0, 'nothing published yet');
$broker->call('start');
ok_resumed($node, 'a broker that was down at start');
is(status($node)->{reason}, undef, 'no reason while streaming');

# ---- killed
$broker->kill9;
put($node, 'plain', 5);
put($node, 'typed', 5);
ok_state($node, 'kafka_unavailable', '.', 'broker killed');
$broker->call('start');
ok_resumed($node, 'a broker that was killed');

# ---- stopped with SIGSTOP: connections stay, answers do not come
$broker->pause;
put($node, 'plain', 5);
put($node, 'typed', 5);
sleep(3);
$broker->cont;
ok_resumed($node, 'a broker that stood still for a moment');
$broker->pause;
put($node, 'plain', 5);
ok_state($node, 'kafka_unavailable', '.', 'broker that stands still');
$broker->cont;
ok_resumed($node, 'a broker that stood still for long');

# ---- restarted in order, under load
put($node, 'plain', 1);
$broker->restart;
put($node, 'plain', 5);
ok_resumed($node, 'a broker that was restarted');

# ---- addresses
reload_with($node, 'outbox.bootstrap_servers' => 'no-such-host.invalid:9092');
put($node, 'plain', 2);
ok_state($node, 'kafka_unavailable', 'resolve|no-such-host', 'name that does not resolve');
reload_with($node, 'outbox.bootstrap_servers' => '127.0.0.1:1');
put($node, 'plain', 2);
ok_state($node, 'kafka_unavailable', '127.0.0.1:1', 'wrong port');
reload_with($node, 'outbox.bootstrap_servers' => '');
ok_state($node, 'misconfigured', 'bootstrap_servers', 'no address at all');
reload_with($node, 'outbox.bootstrap_servers' => $bootstrap);
ok_resumed($node, 'the right address');
check_all($node, 'broker away', @both);

# ---- topics
reload_with($node, 'outbox.create_topics' => 'off');
my $missing = topic('missing');
$node->safe_psql('postgres',
	"SELECT outbox.create_event_type('missing', format => 'json', topic => '$missing')");
put($node, 'plain', 3);
put($node, 'missing', 3);
put($node, 'plain', 3);
ok_state($node, 'kafka_unavailable|misconfigured|blocked', "$missing.*does not exist", 'topic missing');
admin($bootstrap, 'create', $missing, 2);
ok_resumed($node, 'the missing topic was created');
@both = ($plain, $typed, $missing, \%at);

admin($bootstrap, 'delete', $typed);
put($node, 'typed', 3);
ok_state($node, 'kafka_unavailable|misconfigured|blocked', $typed, 'topic deleted live');
admin($bootstrap, 'create', $typed, 2);
ok_resumed($node, 'the deleted topic was created again');
reload_with($node, 'outbox.create_topics' => 'on');
admin($bootstrap, 'delete', $plain);
put($node, 'plain', 3);
ok_resumed($node, 'a topic deleted live is created again');
my @seen = consume($node, @both);
is(scalar(grep { $_->{topic} eq $typed } @seen), 3, 'what was emitted after the deletion is there');
is(scalar(grep { $_->{topic} eq $plain } @seen), 3, 'also in the topic that outbox created');

# ---- an event that the broker refuses
$node->safe_psql('postgres', 'TRUNCATE app.truth');
my ($large, $other) = (topic('large'), topic('other'));
$node->safe_psql('postgres', <<"SQL");
SELECT outbox.create_event_type('large', format => 'json', topic => '$large', partitions => 2);
SELECT outbox.create_event_type('other', format => 'json', topic => '$other', partitions => 2);
SELECT outbox.pause();
SQL
wait_state($node, 'paused');
put($node, 'other', 3);
put_sql($node, q{SELECT app.put('large', 'k', jsonb_build_object('fill',
	(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 20000) i)))});
put($node, 'other', 3);
$node->safe_psql('postgres', 'SELECT outbox.resume()');
ok_state($node, 'blocked', qq{$large.*too large.*event [-0-9a-f]{36} of type "large"},
	'event larger than the broker takes: topic, reason, event and type are named');
my @early = consume($node, $other, \%at);
is(scalar(@early), 3, 'what was committed before it is published');
put($node, 'other', 1);
admin($bootstrap, 'config', $large, 'max.message.bytes=2000000');
ok_resumed($node, 'the limit was raised');

put($node, 'other', 2);
put_sql($node, <<'SQL');
WITH e AS (INSERT INTO outbox.event (type, aggregateid, payload, partition) VALUES ('other', 'k', '{"n": 1}', 3)
	RETURNING id)
INSERT INTO app.truth (id, key, value) SELECT id, 'k', '{"n": 1}' FROM e;
SQL
put($node, 'large', 2);
ok_state($node, 'blocked', qq{$other.*partition.*event [-0-9a-f]{36} of type "other"},
	'partition out of range: event and type are named');
admin($bootstrap, 'partitions', $other, 4);
ok_resumed($node, 'the partition was added');
check_all($node, 'refused events', $large, $other, \%at);

$node->stop;
done_testing();
