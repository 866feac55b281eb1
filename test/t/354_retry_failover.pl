# Dead letters that are sent again, and failovers: one that loses the note of it,
# though not the retry itself; one with a synchronous standby, which cannot; one in
# the middle.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../faults/lib";
use PostgreSQL::Test::Utils;
use Test::More;
use OutboxTest;
use FaultTest;

my $broker = OutboxTest::Broker->new;
my %at = (bootstrap => $broker->bootstrap);
my $letters = topic('letters');
admin($broker->bootstrap, 'create', $letters, 1, 'max.message.bytes=2000');
my $conf = "outbox.host_identity = 'one'\noutbox.heartbeat_interval = 300\noutbox.retry_max = 1s\n";
my $old = outbox_node('old', %at, init => [ allows_streaming => 1 ], conf => $conf);
$old->safe_psql('postgres',
	"SELECT outbox.create_event_type('letters', format => 'json', topic => '$letters', on_error => 'dead_letter')");

sub limit { admin($broker->bootstrap, 'config', $letters, "max.message.bytes=$_[0]"); }

sub standby
{
	my ($name, $of) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$of->backup($name);
	$node->init_from_backup($of, $name, has_streaming => 1);
	$node->start;
	return $node;
}

# One of key k that is too large, and its follower.
sub park
{
	my ($node, $n) = @_;
	limit(2000);
	$node->safe_psql('postgres', sprintf(q{SELECT outbox.emit('letters', jsonb_build_object('n', %d, 'f', repeat('x', 9000)), key => 'k')}, $n));
	$node->safe_psql('postgres', sprintf(q{SELECT outbox.emit('letters', '{"n": %d}', key => 'k')}, $n + 1));
	ok(wait_for($node, q{SELECT count(*) = 2 FROM outbox.dead_letter WHERE state = 'parked'}), "$n is parked");
	limit(100000);
}

sub states { return $_[0]->safe_psql('postgres', q{SELECT string_agg(state, ' ' ORDER BY id) FROM outbox.dead_letter}); }
sub seen { return join(' ', map { $_->{value}{n} } consume($_[0], $letters, \%at)); }

# ---- the note is lost, the retry is not
park($old, 1);
my $new = standby('new', $old);
$old->safe_psql('postgres', 'SELECT outbox.pause()');
wait_state($old, 'paused');
$old->safe_psql('postgres', 'SELECT outbox.retry_dead_letters()');
$old->wait_for_catchup($new);
$new->stop;
$old->safe_psql('postgres', 'SELECT outbox.resume()');
ok(wait_for($old, q{SELECT count(*) = 2 FROM outbox.dead_letter WHERE state = 'published'}), 'published');
my $place = $old->safe_psql('postgres', 'SELECT max(retry_lsn) FROM outbox.parked_event');
$old->stop;
$new->start;
$new->promote;
ok_state($new, 'diverged', "committed at $place was parked on timeline 1, or sent from there", 'the new primary does not know of it');
is(states($new), 'parked parked', 'it has them as parked');
$new->safe_psql('postgres', q{SELECT outbox.resume(); SELECT outbox.adopt('test')});
ok_resumed($new, 'adopted');
is(seen($new), '1 2', 'Kafka has them, once');
$new->safe_psql('postgres', q{SELECT outbox.discard_dead_letter(id, 'published') FROM outbox.dead_letter WHERE state = 'parked'});

# ---- with a synchronous standby the note is there before the position is
my $third = standby('third', $new);
$new->append_conf('postgresql.conf', "synchronous_standby_names = 'third'\n");
$new->reload;
ok(wait_for($new, q{SELECT sync_state = 'sync' FROM pg_stat_replication}), 'a synchronous standby');
park($new, 3);
$new->safe_psql('postgres', 'SELECT outbox.pause()');
wait_state($new, 'paused');
$new->safe_psql('postgres', 'SELECT outbox.retry_dead_letters()');
my $receiver = $third->safe_psql('postgres', 'SELECT pid FROM pg_stat_wal_receiver');
kill('STOP', $receiver);
$new->safe_psql('postgres', 'SET synchronous_commit = local; SELECT outbox.resume()');
ok(wait_state($new, 'waiting_for_standby'), 'the note waits for the standby');
$place = $new->safe_psql('postgres', 'SELECT max(retry_lsn) FROM outbox.parked_event');
is($new->safe_psql('postgres', "SELECT recorded_lsn < '$place' FROM outbox.stat_relay"), 't', 'and the position for the note');
is(seen($new), '1 2', 'nothing is published meanwhile');
kill('CONT', $receiver);
ok_resumed($new, 'the standby takes it');
ok(wait_for($new, "SELECT recorded_lsn >= '$place' FROM outbox.stat_relay"), 'passed');
$new->stop('immediate');
$third->promote;
ok_resumed($third, 'the next failover');
ok(wait_for($third, q{SELECT count(*) = 2 FROM outbox.dead_letter WHERE state = 'published'}), 'the third server knows of it');
is(seen($third), '1 2 3 4', 'once');

# ---- in the middle: noted, Kafka has not committed
my $fourth = standby('fourth', $third);
park($third, 5);
$broker->pause;
$third->safe_psql('postgres', q{SELECT outbox.retry_dead_letters(); SELECT outbox.emit('letters', '{"n": 7}', key => 'k')});
ok(wait_for($third, q{SELECT count(*) = 2 FROM outbox.dead_letter WHERE state = 'retrying'}), 'noted');
$third->wait_for_catchup($fourth);
$third->stop('immediate');
$fourth->promote;
$broker->cont;
ok_resumed($fourth, 'the last failover');
ok(wait_for($fourth, q{SELECT count(*) = 0 FROM outbox.dead_letter WHERE state IN ('parked', 'retrying')}), 'the retry is met again');
is(seen($fourth), '1 2 3 4 5 6 7', 'in order, once');
$fourth->stop;
done_testing();
