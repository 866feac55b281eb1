
# Replay: logged events again, once each, in their order, under their own ids, to
# the same topic or another one; also when everything is killed meanwhile, and
# while live events go on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use RegistryTest;
use FaultTest;
use Time::HiRes qw(sleep);

my $broker = OutboxTest::Broker->new;
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('replay', %at, conf => "outbox.retry_max = 1s\noutbox.heartbeat_interval = 500\n");
my ($plain, $typed) = set_up($node);

sub sql { return $node->safe_psql('postgres', @_); }

sub all_logged { return wait_for($node, 'SELECT (SELECT count(*) FROM outbox.event) >= (SELECT count(*) FROM app.truth)'); }

sub header { my ($m, $name) = @_; return (map { $_->[1] } grep { $_->[0] eq $name } @{ $m->{headers} })[0]; }

# Of a topic: messages of this replay, checked against what was committed.
sub check_replay
{
	my ($title, $job, $topic, $where) = @_;
	my @seen = grep { (header($_, 'outbox.replay') // '') eq $job } consume($node, $topic, \%at);
	my @ids = map { header($_, 'id') } @seen;
	my @expected = split /\n/, sql("SELECT id FROM outbox.event WHERE $where");
	is(join(' ', sort @ids), join(' ', sort @expected), "$title: each event, once, under its own id");
	my %place = map { $expected[$_] => $_ } 0 .. $#expected;
	my (%last, $disorder);
	foreach my $m (@seen)
	{
		my $n = $place{ header($m, 'id') } // next;
		$disorder++ if ($last{ $m->{partition} } // -1) > $n;
		$last{ $m->{partition} } = $n;
	}
	is($disorder // 0, 0, "$title: in their order");
	return @seen;
}

sub done_job { my ($job) = @_; return wait_for($node, "SELECT state = 'done' FROM outbox.stat_replay WHERE job = $job"); }

sub ask { return sql("SELECT job FROM outbox.replay($_[0])"); }

# Nobody wants this: errors.
sub refused
{
	my ($args, $like, $title) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', "SELECT * FROM outbox.replay($args)");
	like($err, $like, $title);
	return;
}

put($node, 'plain', 30, 'a');
put($node, 'typed', 30, 'b');
sql(q{BEGIN; SELECT app.put('plain', 'c', jsonb_build_object('n', n)) FROM generate_series(1, 20) n; SELECT app.put('typed', 'c', jsonb_build_object('n', n, 'fill', '')) FROM generate_series(1, 20) n; COMMIT});
all_logged();
wait_published($node);
my $before = sql('SELECT count(*) FROM app.truth');

# ---- dry run -----------------------------------------------------------------
is(sql("SELECT event_type, to_topic, events, job IS NULL FROM outbox.replay('epoch', dry_run => true)"),
	"plain|$plain|50|t\ntyped|$typed|50|t", 'a dry run counts by type and topic');
is(sql("SELECT event_type, to_topic, events FROM outbox.replay('epoch', types => '{plain}', key => 'c', topic => 'else', dry_run => true)"),
	'plain|else|20', 'of a type, a key, to another topic');
is(scalar(consume($node, $plain, \%at)), 50, 'and publishes nothing');

# ---- to the same topic, to another one ---------------------------------------------
my $job = ask("'epoch', types => '{typed}'");
ok(done_job($job), 'replayed');
my @seen = check_replay('the same topic', $job, $typed, "type = 'typed'");
my %original = map { header($_, 'id') => $_ } grep { !defined header($_, 'outbox.replay') } consume($node, $typed, \%at);
is(scalar(grep { my $o = $original{ header($_, 'id') }; $o->{partition} != $_->{partition} || $o->{key} ne $_->{key} || $o->{timestamp} != $_->{timestamp} || $o->{value}{n} != $_->{value}{n} } @seen),
	0, 'key, partition, time and value are those of the event');
my $copy = topic('copy');
$job = ask("'epoch', topic => '$copy', key => 'c'");
ok(done_job($job), 'replayed to another topic');
check_replay('another topic', $job, $copy, "aggregateid = 'c'");
is(sql("SELECT events, percent FROM outbox.stat_replay WHERE job = $job"), '40|100', 'stat_replay says so');
sub trace { return sql("SELECT t.state, t.event_type, t.topic, t.xid = r.txn, t.replays FROM app.truth r, outbox.trace(r.id) t WHERE r.key = '$_[0]' LIMIT 1"); }
like(trace('c'), qr/^replayed\|(plain\|\Q$plain\E|typed\|\Q$typed\E)\|t\|\{.*\b$job\}$/, 'traced: replayed, by which job');
is(trace('a'), "published|plain|$plain|t|", 'traced: published');
sql('SELECT outbox.pause()');
wait_state($node, 'paused');
put($node, 'typed', 1, 'waits');
all_logged();
is(trace('waits'), "waiting|typed|$typed|t|", 'traced: waiting');
is(sql(q{SELECT schema_version FROM app.truth r, outbox.trace(r.id) t WHERE r.key = 'waits'}), '1', 'with the version of its schema');
sql('SELECT outbox.resume()');
is(sql(q{SELECT count(*) FROM outbox.trace('00000000-0000-7000-8000-000000000000')}), '0', 'an event that is not there');
my ($from, $to) = split /\|/, sql('SELECT committed_at, (SELECT committed_at FROM outbox.event OFFSET 40 LIMIT 1) FROM outbox.event OFFSET 10 LIMIT 1');
my $slice = topic('slice');
$job = ask("'$from', '$to', topic => '$slice'");
ok(done_job($job), 'a time range');
check_replay('a time range', $job, $slice, "committed_at BETWEEN '$from' AND '$to'");
$job = ask("now(), topic => 'nothing'");
ok(done_job($job), 'nothing to replay is done at once');

# ---- killed meanwhile, beside live events ---------------------------------------------
sql(q{SELECT app.put('plain', 'k' || n % 7, jsonb_build_object('n', n, 'fill', repeat('x', 500))) FROM generate_series(1, 20000) n});
all_logged();
wait_published($node);
my $again = topic('again');
$job = ask("'epoch', types => '{plain}', topic => '$again', rate_limit => 8000");
my $live = topic('live');
sql("SELECT outbox.create_event_type('live', format => 'json', topic => '$live')");
foreach my $round (1 .. 4)
{
	sleep(0.4 + rand(0.4));
	sql(q{SELECT outbox.emit('live', '{"n": 1}'::jsonb, 'l')}) for 1 .. 10;
	my $victim = $round == 3 ? child_pid($node) : sql('SELECT pid FROM outbox.status()');
	next if !$victim;
	$round == 1 ? kill('TERM', $victim) : kill9($victim);
	sleep(1) if $round != 3;
	wait_for($node, 'SELECT true');
}
ok(wait_published($node, timeout => 60), 'live events are not held up');
ok(done_job($job), 'done in the end');
check_replay('killed four times', $job, $again, "type = 'plain'");
is(scalar(consume($node, $live, \%at)), 40, 'live events once');

# ---- paused, cancelled ------------------------------------------------------------------
my $slow = topic('slow');
$job = ask("'epoch', types => '{plain}', topic => '$slow', rate_limit => 1000");
ok(wait_for($node, "SELECT state = 'running' AND events > 0 FROM outbox.stat_replay WHERE job = $job"), 'running');
sql("SELECT outbox.pause_replay($job)");
ok(wait_for($node, "SELECT state = 'paused' FROM outbox.stat_replay WHERE job = $job"), 'paused');
my $n = sql("SELECT events FROM outbox.stat_replay WHERE job = $job");
sleep(1.5);
cmp_ok(sql("SELECT events FROM outbox.stat_replay WHERE job = $job"), '<=', $n + 1000, 'stands still');
sql("SELECT outbox.resume_replay($job)");
ok(wait_for($node, "SELECT state = 'running' AND events > $n AND eta > '0' FROM outbox.stat_replay WHERE job = $job"), 'goes on, with an ETA');
sql("SELECT outbox.cancel_replay($job)");
ok(wait_for($node, "SELECT state = 'cancelled' FROM outbox.stat_replay WHERE job = $job"), 'cancelled');

# ---- what retention took; misuse -----------------------------------------------------------
$job = ask("'epoch', types => '{plain}', topic => 'lacking', rate_limit => 100");
sql("SELECT outbox.pause_replay($job)");
my $cut = sql('SELECT max(id) - 3 FROM outbox.log WHERE events > 0');
sql("UPDATE outbox.log SET expires_at = now() - interval '1 s' WHERE id <= $cut");
ok(wait_for($node, "SELECT min(id) > $cut FROM outbox.log"), 'retention has taken the beginning');
refused("'epoch'", qr/ERROR:  events committed up to .* are not in the event log any more\nDETAIL:  The earliest time .* is 20/, 'refused, with the earliest time');
sql("SELECT outbox.resume_replay($job)");
ok(wait_for($node, "SELECT state = 'failed' AND reason LIKE 'events committed up to % are not in the event log any more%' FROM outbox.stat_replay WHERE job = $job"), 'a replay that now lacks something ends with an error');
refused("'epoch', types => '{none}'", qr/event type "none" does not exist/, 'unknown type');
refused("'infinity'", qr/there is no time from/, 'infinite time');
refused("now(), now() - interval '1 s'", qr/there is no time from/, 'no time');
refused("now(), topic => 'outbox.position.x'", qr/invalid topic/, 'a topic of our own');
refused("now(), topic => 'a b'", qr/invalid topic/, 'no topic');
refused("now(), rate_limit => 0", qr/rate_limit must be positive/, 'no rate');
sql('CREATE ROLE nobody; GRANT outbox_emitter TO nobody');
my ($rc, $out, $err) = $node->psql('postgres', 'SET ROLE nobody; SELECT outbox.replay(now())');
like($err, qr/permission denied for function replay/, 'for administrators');

done_testing();
