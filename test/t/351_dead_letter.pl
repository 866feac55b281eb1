# Events that broker or schema registry refuse for good, of types with
# on_error = dead_letter: parked with their reason, what has the same topic and
# key behind them, all else published.  Also when the relay is killed in between.
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

my $broker = OutboxTest::Broker->new('--set', 'message.max.bytes=400000');
my %at = (bootstrap => $broker->bootstrap);
my $node = outbox_node('letters', %at, conf => "outbox.retry_max = 1s\noutbox.heartbeat_interval = 500\n");
my ($plain, $typed) = set_up($node);
my ($shared, $stands) = (topic('shared'), topic('stands'));
my @topics = ($plain, $typed, $shared);

sub sql { return $node->safe_psql('postgres', @_); }

# "parks" and "mate" share a topic; "mate" and "stands" do not park.
sql(<<"SQL");
SELECT outbox.create_event_type('parks', format => 'json', topic => '$shared', partitions => 2, on_error => 'dead_letter');
SELECT outbox.create_event_type('mate', format => 'json', topic => '$shared', partitions => 2);
SELECT outbox.create_event_type('stands', format => 'json', topic => '$stands', partitions => 2);
CREATE SEQUENCE app.n;
CREATE FUNCTION app.one(type text, key text, size int DEFAULT 0, part int DEFAULT NULL) RETURNS void LANGUAGE sql AS \$\$
	WITH p AS (SELECT jsonb_build_object('n', nextval('app.n'), 'fill', repeat(md5(size::text), size)) AS payload),
	e AS (INSERT INTO outbox.event (type, aggregateid, payload, partition) SELECT type, key, payload, part FROM p RETURNING id)
	INSERT INTO app.truth (id, key, value) SELECT e.id, key, jsonb_build_object('n', currval('app.n')) FROM e
\$\$;
SQL

my $LARGE = 20000;		# times 32 bytes, more than the broker takes

# Everything that was ever emitted is in Kafka or parked, once; what is in Kafka
# of one key is in its order.  Returns the number of messages.
sub check_books
{
	my ($title, %opt) = @_;
	my @seen = consume($node, @topics, \%at);
	my $by = events_by_id(@seen);
	my %parked = map { $_ => 1 } split /\n/,
	  sql(q{SELECT event_id FROM outbox.dead_letter WHERE discard_reason IS DISTINCT FROM 'emitted again'});
	my @truth = map { [ split /\|/ ] } split /\n/, sql("SELECT id, coalesce(key, ''), seq FROM app.truth ORDER BY seq");
	my %seq = map { $_->[0] => $_->[2] } @truth;
	is(scalar(grep { !$by->{ $_->[0] } && !$parked{ $_->[0] } } @truth), 0, "$title: nothing is lost");
	is(scalar(grep { $by->{$_} && !$opt{twice} } keys %parked), 0, "$title: nothing is published and parked");
	is(scalar(grep { @{ $by->{$_} } > 1 && !$opt{twice} } keys %$by), 0, "$title: nothing is published twice");
	is(scalar(grep { !$seq{$_} } keys %$by), 0, "$title: no phantom");
	my (%last, %had);
	my $disorder = 0;
	foreach my $m (@seen)
	{
		my ($id) = map { $_->[1] } grep { $_->[0] eq 'id' } @{ $m->{headers} };
		next if !defined $m->{key} || $had{$id}++;
		$disorder++ if ($last{"$m->{topic} $m->{key}"} // 0) > $seq{$id};
		$last{"$m->{topic} $m->{key}"} = $seq{$id};
	}
	is($disorder, 0, "$title: keys are in order");
	return scalar(@seen);
}

# The server restarts with it: until another one is there.
sub kill_relay
{
	my $pid = relay_pid($node);
	kill9($pid);
	# one that was just leaving has a successor before the server notices
	sleep(1);
	return wait_for($node, "SELECT pid <> $pid FROM outbox.status()");
}

# key, n and what they wait for, in order
sub parked
{
	my ($where) = @_;
	return sql("SELECT coalesce(l.key, '') || ' ' || (t.value->>'n') || CASE WHEN l.blocked_by IS NULL THEN '' ELSE ' behind ' || (h.value->>'n') END
		FROM outbox.dead_letter l JOIN app.truth t ON t.id = l.event_id
			LEFT JOIN outbox.dead_letter b ON b.id = l.blocked_by LEFT JOIN app.truth h ON h.id = b.event_id
		WHERE l.discarded_at IS NULL AND " . ($where // 'true') . ' ORDER BY l.commit_lsn, l.ordinal');
}

# ---- one too large, in the middle of a transaction and of many
sql(q{SELECT outbox.pause()});
wait_state($node, 'paused');
put($node, 'plain', 20);
sql(<<"SQL");
SELECT app.one('parks', 'big');                  -- 1
BEGIN;
SELECT app.one('parks', 'a');                    -- 2
SELECT app.one('parks', 'big', $LARGE);          -- 3: refused
SELECT app.one('parks', 'b');                    -- 4
SELECT app.one('parks', 'big');                  -- 5
SELECT app.one('mate', 'big');                   -- 6
COMMIT;
SELECT app.one('parks', 'a');                    -- 7
SELECT app.one('mate', 'big');                   -- 8
SELECT app.one('plain', 'big');                  -- 9: another topic
SELECT app.one('parks', 'c');                    -- 10
SQL
put($node, 'plain', 20);
sql(q{SELECT outbox.resume()});
ok_resumed($node, 'one event is too large');
is(parked(), "big 3\nbig 5 behind 3\nbig 6 behind 3\nbig 8 behind 3", 'it is parked, and what has its topic and key, of whatever type');
like(sql('SELECT reason FROM outbox.dead_letter WHERE blocked_by IS NULL'), qr/$shared.*too large/, 'with the reason');
like(sql('SELECT t.state, t.dead_letter = d.id, t.reason FROM outbox.dead_letter d, outbox.trace(d.event_id) t WHERE d.blocked_by IS NULL'),
	qr/^dead_letter\|t\|.*too large/, 'trace() says so');
is(sql('SELECT code, octet_length(value) > 640000, schema_id IS NULL, commit_time < parked_at FROM outbox.dead_letter WHERE blocked_by IS NULL'),
	'10|t|t|t', 'the code and the value');
is(sql('SELECT dead_letters, dead_letters_since = (SELECT min(parked_at) FROM outbox.dead_letter) FROM outbox.status()'),
	'4|t', 'status() counts them');
is(sql(q{SELECT parked, last_parked_at IS NOT NULL, events FROM outbox.stat_relay WHERE datname = 'postgres'}),
	'4|t|46', 'so does stat_relay, apart from events');
check_books('too large');
put($node, 'mate', 1, 'big');
put($node, 'mate', 1, 'other');
ok_resumed($node, 'later');
is(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'big'}), 5, 'the next one of that key follows');
sql(q{SELECT outbox.restart()});
put($node, 'mate', 1, 'big');
ok_resumed($node, 'another process');
is(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'big'}), 6, 'also behind a restart');
check_books('followers');

# ---- given up: the key is free when the last one is
sql(q{SELECT outbox.discard_dead_letter(id, 'test') FROM outbox.dead_letter WHERE key = 'big' AND blocked_by IS NULL});
put($node, 'mate', 1, 'big');
ok_resumed($node, 'the first one was discarded');
is(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE discarded_at IS NULL}), 6, 'the others hold the key');
sql(q{SELECT outbox.discard_dead_letter(id, 'test') FROM outbox.dead_letter WHERE discarded_at IS NULL});
put($node, 'mate', 1, 'big');
ok_resumed($node, 'all were discarded');
is(sql('SELECT dead_letters FROM outbox.status()'), 0, 'none is left, the key flows');
check_books('discarded');

# ---- without a key
sql(<<"SQL");
SELECT app.one('parks', NULL, $LARGE);
SELECT app.one('parks', NULL);
SELECT app.one('parks', NULL, $LARGE, 1);
SELECT app.one('parks', NULL, 0, 1);
SELECT app.one('parks', NULL, 0, 0);
SELECT app.one('parks', '', 0, 1);
SQL
ok_resumed($node, 'events without a key');
is(sql(q{SELECT coalesce(partition, -1) || ' ' || (blocked_by IS NULL) FROM outbox.dead_letter WHERE discarded_at IS NULL ORDER BY id}),
	"-1 true\n1 true\n1 false", 'no order without key, but in a partition that was chosen');
check_books('without a key');

# ---- a topic that Kafka does not accept: the name clashes with another's
my ($dot, $line) = (topic('cl.ash'), topic('cl_ash'));
admin($broker->bootstrap, 'create', $dot, 1);
push @topics, $dot;
sql(<<"SQL");
SELECT outbox.create_event_type('clash', format => 'json', topic => '$line', on_error => 'dead_letter');
SELECT app.one('parks', 'a');
SELECT app.one('clash', 'a');
SELECT app.one('parks', 'a');
SQL
ok_resumed($node, 'a topic that Kafka does not accept');
is(sql(qq{SELECT count(*) FROM outbox.dead_letter WHERE topic = '$line' AND code = 17}), 1, 'its event is parked');

# ---- killed when an event is parked, and what is sent with it is not committed
sql(q{SELECT outbox.discard_dead_letter(id, 'test') FROM outbox.dead_letter WHERE discarded_at IS NULL});
sql("SELECT app.one('parks', 'kill', $LARGE)");
ok_resumed($node, 'to be followed');
foreach my $round (1 .. 2)
{
	my $before = sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'kill'});
	$broker->pause;
	sql(qq{BEGIN; SELECT app.one('plain', 'k$round'); SELECT app.one('parks', 'kill'); SELECT app.one('parks', 'k$round'); COMMIT});
	ok(wait_for($node, qq{SELECT count(*) > $before FROM outbox.dead_letter WHERE key = 'kill'}), "parked, round $round");
	$round == 1 ? kill_relay() : kill9(child_pid($node));
	$broker->cont;
	ok_resumed($node, "killed, round $round");
	is(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'kill'}), $before + 1, 'it is there once');
}
check_books('killed');
foreach my $round (1 .. 3)
{
	sql("BEGIN; SELECT app.one('parks', 'x$round', $LARGE); SELECT app.one('parks', 'y$round'); COMMIT; SELECT app.one('parks', 'x$round');");
	sleep(0.3 * $round);
	kill_relay();
}
ok_resumed($node, 'killed at any time');
is(parked(q{l.key ~ '^[xy]'}) =~ s/ \d+//gr, join("\n", map { ("x$_", "x$_ behind") } 1 .. 3), 'each is parked with its follower');
check_books('killed at any time');

# ---- a crash right after it was passed: the row is as durable as the position
# Nothing else may flush: no later transaction, no WAL writer, which also wakes
# for whole pages, as the first row after a checkpoint writes them.
reload_with($node, wal_writer_delay => '10s');
sleep(0.5);
is(sql(q{SELECT app.one('parks', 'kill'); SELECT outbox.wait_published('30 s')}), "\nt", 'the last but one');
my $held = sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'kill'});
is(sql(q{SELECT app.one('parks', 'kill'); SELECT outbox.wait_published('30 s')}), "\nt", 'the last one before a crash');
ok(wait_for($node, q{SELECT recorded_lsn >= (SELECT max(commit_lsn) FROM outbox.dead_letter) FROM outbox.stat_relay WHERE datname = 'postgres'}),
	'passed by the position in Kafka');
$node->stop('immediate');
$node->append_conf('postgresql.auto.conf', "wal_writer_delay = 200ms\n");
$node->start;
ok_resumed($node, 'crashed');
is(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'kill'}), $held + 1, 'it is parked once');
check_books('crashed');

# ---- sent again by hand, as the documentation says
sql(q{SELECT outbox.discard_dead_letter(min(id), 'test') FROM outbox.dead_letter WHERE key = 'kill' AND discarded_at IS NULL});
is(sql(<<'SQL') =~ s/\s+/ /gr =~ s/ $//r, "t 4", 'emitted again and discarded, with what follows');
BEGIN;
SELECT outbox.wait_published('20 s');
CREATE TEMP TABLE again AS SELECT outbox.emit(event_type, convert_from(value, 'UTF8'), key => key, headers => headers, id => event_id)
FROM (SELECT * FROM outbox.dead_letter WHERE key = 'kill' AND discarded_at IS NULL ORDER BY commit_lsn, ordinal) d;
SELECT count(*) FROM again;
SELECT outbox.discard_dead_letter(id, 'emitted again') FROM outbox.dead_letter WHERE key = 'kill' AND discarded_at IS NULL;
COMMIT;
SELECT app.one('parks', 'kill');
SQL
ok_resumed($node, 'emitted again');
is(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'kill' AND discarded_at IS NULL}), 0, 'the key is free');
check_books('emitted again');

# ---- types that block do
sql("SELECT app.one('stands', 'k', $LARGE); SELECT app.one('parks', 'behind');");
ok_state($node, 'blocked', qq{$stands.*too large.*of type "stands"}, 'a type that blocks');
admin($broker->bootstrap, 'config', $stands, 'max.message.bytes=2000000');
ok_resumed($node, 'the limit was raised');
push @topics, $stands;

# ---- the schema registry refuses
my $registry = RegistryTest::Server->new;
my $letters = topic('letters');
push @topics, $letters;
reload_with($node, 'outbox.schema_registry_url' => $registry->url);
put($node, 'typed', 1);
ok_resumed($node, 'a schema registry');
$registry->fault('refuse:409:409:incompatible with an earlier schema', '^POST .*letters');
sql(<<"SQL");
SELECT outbox.create_event_type('letters', topic => '$letters', on_error => 'dead_letter', schema =>
	'{"type": "record", "name": "L", "fields": [{"name": "n", "type": "long"}, {"name": "fill", "type": "string"}]}');
BEGIN;
SELECT app.one('plain', 'r');
SELECT app.one('letters', 'r');
SELECT app.one('parks', 'r');
SELECT app.one('letters', 's');
COMMIT;
SQL
ok_resumed($node, 'the registry refuses a schema');
is(sql(qq{SELECT key, code, blocked_by, reason ~ '409.*incompatible' FROM outbox.dead_letter WHERE topic = '$letters' ORDER BY id}),
	"r|409||t\ns|409||t", 'its events are parked, nothing else');
is(scalar(grep { m{^POST .*letters} } $registry->calls), 1, 'it was asked once for the two');
$registry->fault(undef);
sleep(6);
sql(q{SELECT app.one('letters', 'r'); SELECT app.one('letters', 't');});
ok_resumed($node, 'it does no longer');
is(sql(qq{SELECT key, blocked_by IS NULL FROM outbox.dead_letter WHERE topic = '$letters' ORDER BY id}),
	"r|t\ns|t\nr|f", 'the parked key waits, another flows');
reload_with($node, 'outbox.schema_registry_url' => '');
ok_resumed($node, 'the built-in registry');
check_books('registry');

# ---- at_least_once
reload_with($node, 'outbox.delivery' => 'at_least_once');
ok_resumed($node, 'at_least_once');
sql(<<"SQL");
SELECT app.one('parks', 'u');
BEGIN;
SELECT app.one('parks', 'v');
SELECT app.one('parks', 'u', $LARGE);
SELECT app.one('parks', 'w');
COMMIT;
SQL
ok_resumed($node, 'at_least_once, one event is too large');
put($node, 'mate', 1, 'u');
put($node, 'mate', 1, 'w');
ok_resumed($node, 'at_least_once, later');
is(sql(q{SELECT count(*) FROM outbox.dead_letter WHERE key = 'u'}), 2, 'parked with its follower');
check_books('at_least_once', twice => 1);

$node->stop;
done_testing();
